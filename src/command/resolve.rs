//! `omnivenue resolve`: a person's verdict on an order whose fate no evidence tells.

use clap::{ArgGroup, Args};
use omnivenue::control::Request;
use omnivenue_core::journal::Verdict;
use omnivenue_core::model::ids::ClientOrderId;

use super::Options;
use super::backend::Backend;
use super::exit::{CommandError, Done};
use super::table::shown;

/// `omnivenue resolve`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("verdict").required(true).args(["absent", "filled"]))]
pub(crate) struct Resolve {
    /// The order, by our name: see `omnivenue status`
    order: ClientOrderId,
    /// It never took effect, and never will
    #[arg(long)]
    absent: bool,
    /// It traded this much at this average price, such as 1.5@38.1
    #[arg(long, value_parser = filled, value_name = "QTY@PRICE")]
    filled: Option<Verdict>,
    /// How you know; kept in the journal for ever
    #[arg(long)]
    reason: String,
}

fn filled(text: &str) -> Result<Verdict, String> {
    let (quantity, price) = text.split_once('@').ok_or("write QUANTITY@PRICE, such as 1.5@38.1")?;
    let verdict = Verdict::Filled {
        quantity: quantity.parse().map_err(|error| format!("quantity: {error}"))?,
        price: price.parse().map_err(|error| format!("price: {error}"))?,
    };
    Ok(verdict)
}

impl Resolve {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        if self.reason.trim().is_empty() {
            return Err(CommandError::Usage("--reason is empty: say how you know".into()));
        }
        let (config, _) = options.load()?;
        let output = options.output();
        let verdict = self.filled.unwrap_or(Verdict::Absent);
        let order = self.order.clone();
        let mut backend = Backend::acting(&config, output).await?;
        let answer = backend.ask(Request::Resolve { order: self.order, verdict, reason: self.reason }).await;
        let left = backend.close().await?;
        let answer = answer?;
        output.either(&answer, || {
            let more = if answer.is_null() { String::new() } else { format!("\n{}", shown(Some(&answer))) };
            format!("{order} is settled{more}")
        })?;
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fill_is_a_quantity_at_a_price() {
        assert_eq!(filled("1.50@38.1").unwrap(), Verdict::Filled { quantity: "1.5".parse().unwrap(), price: "38.1".parse().unwrap() });
        for wrong in ["1.5", "1.5@", "@38", "x@38", "1.5@-1", "1@0"] {
            assert!(filled(wrong).is_err(), "{wrong}");
        }
    }
}
