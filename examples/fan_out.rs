//! One signal, two simulated venues: opens, prints the legs, closes. Run it with `cargo run --example fan_out`.

use omnivenue::model::execution::LegReport;
use omnivenue::{CloseRequest, CloseTarget, Config, Signal, Wait};

const SIGNAL: &str =
    r#"{"id": "hype-1", "agent": "demo", "asset": "HYPE", "direction": "long", "sizing": {"notional": "500"}, "leverage": "5"}"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let engine = omnivenue::open(&Config::built_in(folder.path())).await?;

    let opened = engine.execute(Signal::from_json(SIGNAL)?, Wait::Settled).await?;
    opened.legs.iter().for_each(|leg| print("opened", leg));

    let request = CloseRequest::new("close-hype-1".parse()?, CloseTarget::Signal(opened.signal_id));
    let closed = engine.close_positions(request, Wait::Settled).await?;
    closed.legs.iter().for_each(|leg| print("closed", leg));

    engine.shutdown().await?;
    Ok(())
}

fn print(what: &str, leg: &LegReport) {
    let price = leg.average_price.map(|price| format!(" at {price}")).unwrap_or_default();
    let reason = leg.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    println!("{what} {}: {} {}{price}{reason}", leg.account, leg.state, leg.filled_quantity);
}
