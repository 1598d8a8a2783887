//! `omnivenue signal` and `execution`: one signal, from flags or JSON, and what became of it.

use std::path::Path;

use clap::{ArgGroup, Args};
use omnivenue::config::Config;
use omnivenue::control::{Request, WaitFor};
use omnivenue_core::engine::{Env, SystemEnv};
use omnivenue_core::model::execution::Execution;
use omnivenue_core::model::ids::SignalId;
use omnivenue_core::model::signal::Signal;
use serde_json::{Map, Value, json};

use super::backend::Backend;
use super::exit::{CommandError, Done};
use super::{Options, input, show};

/// `omnivenue signal`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("direction").args(["long", "short"]), group = ArgGroup::new("sizing").args(["notional", "quantity", "equity_fraction", "risk_fraction"]))]
pub(crate) struct SendSignal {
    /// The signal as JSON, a file that holds it, or `-` for stdin; instead of the flags
    #[arg(value_name = "JSON", conflicts_with_all = ["asset", "direction", "sizing", "take_profit", "stop_loss", "trailing", "time_limit", "leg_policy"])]
    json_input: Option<String>,
    /// What to trade, such as HYPE
    #[arg(long, required_unless_present = "json_input")]
    asset: Option<String>,
    /// Gain when the price rises
    #[arg(long)]
    long: bool,
    /// Gain when the price falls
    #[arg(long)]
    short: bool,
    /// This much in quote units per leg, such as 500
    #[arg(long, value_name = "MONEY")]
    notional: Option<String>,
    /// This much of the asset per leg, such as 1.5
    #[arg(long, value_name = "NUMBER")]
    quantity: Option<String>,
    /// This share of the deployment's equity on the account as margin, such as 0.08
    #[arg(long, value_name = "FRACTION")]
    equity_fraction: Option<String>,
    /// This share of that equity is lost at the stop, such as 0.01; needs --stop-loss
    #[arg(long, value_name = "FRACTION")]
    risk_fraction: Option<String>,
    /// How many times its margin each leg is worth
    #[arg(long, value_name = "NUMBER")]
    leverage: Option<String>,
    /// The venues that may take part, such as hyperliquid,ostium [default: all of the deployment]
    #[arg(long, value_delimiter = ',', value_name = "VENUES")]
    venues: Option<Vec<String>>,
    /// all (every venue), first (the first one where it can be opened), best (the best price after fees), or split:hyperliquid=0.7,ostium=0.3
    #[arg(long, value_parser = routing)]
    routing: Option<Value>,
    /// perp, spot, future or any
    #[arg(long)]
    market: Option<String>,
    /// A limit order at this price instead of a market order
    #[arg(long, value_name = "PRICE")]
    limit: Option<String>,
    /// How long a limit order may rest: gtc, ioc or fok
    #[arg(long, requires = "limit", value_name = "TIF")]
    time_in_force: Option<String>,
    /// A limit order that is refused rather than filled at once
    #[arg(long, requires = "limit")]
    post_only: bool,
    /// How far from the quote a market order may fill, such as 0.01
    #[arg(long, value_name = "FRACTION")]
    slippage: Option<String>,
    /// How long an order may still be sent for it, such as 60s
    #[arg(long, value_name = "LENGTH")]
    valid_for: Option<String>,
    /// Close at this gain: 0.05 (of the price), price:40, or roe:0.5 (of the margin)
    #[arg(long, value_name = "DISTANCE", value_parser = distance)]
    take_profit: Option<Value>,
    /// Close at this loss, given in the same way
    #[arg(long, value_name = "DISTANCE", value_parser = distance)]
    stop_loss: Option<Value>,
    /// A stop so far behind the best price, such as 0.1
    #[arg(long, value_name = "FRACTION")]
    trailing: Option<String>,
    /// The gain from which on it follows, such as 0.05 [default: at once]
    #[arg(long, requires = "trailing", value_name = "FRACTION")]
    trailing_activation: Option<String>,
    /// Close so long after the first fill, such as 12h
    #[arg(long, value_name = "LENGTH")]
    time_limit: Option<String>,
    /// best_effort, all_or_none or at_least:N: what becomes of the other legs when one fails
    #[arg(long, value_name = "POLICY", value_parser = leg_policy)]
    leg_policy: Option<Value>,
    /// How sure the agent is, 0 to 1
    #[arg(long, value_name = "FRACTION")]
    confidence: Option<String>,
    /// Unique for ever: the same id with the same body is the same execution [default: a fresh one]
    #[arg(long)]
    id: Option<String>,
    /// Whose signal it is [default: the only agent of the configuration]
    #[arg(long)]
    agent: Option<String>,
    /// journaled, acknowledged or settled [default: settled, or acknowledged for what may rest or wait]
    #[arg(long, value_parser = wait, value_name = "STAGE")]
    wait: Option<WaitFor>,
}

/// Reads the name of a stage to wait for.
pub(super) fn wait(text: &str) -> Result<WaitFor, String> {
    serde_json::from_value(Value::String(text.to_owned())).map_err(|_| "give journaled, acknowledged or settled".to_owned())
}

/// Reads how far an exit is: a fraction of the price, or with a prefix a price or a return on margin.
fn distance(text: &str) -> Result<Value, String> {
    let (kind, number) = text.split_once(':').unwrap_or(("fraction", text));
    match kind {
        "fraction" | "price" | "roe" => Ok(json!({ kind: number })),
        _ => Err("give a fraction such as 0.05, price:40 or roe:0.5".into()),
    }
}

/// Reads how the venues are chosen.
fn routing(text: &str) -> Result<Value, String> {
    let Some(weights) = text.strip_prefix("split:") else { return Ok(json!(text)) };
    let weight = |part: &str| {
        let (venue, weight) = part.split_once('=')?;
        Some((venue.to_owned(), json!(weight)))
    };
    let weights: Option<Map<String, Value>> = weights.split(',').map(weight).collect();
    weights.map(|weights| json!({ "split": weights })).ok_or_else(|| "give split:VENUE=WEIGHT,VENUE=WEIGHT".to_owned())
}

/// Reads what becomes of the other legs when one fails.
fn leg_policy(text: &str) -> Result<Value, String> {
    let fits = || "give best_effort, all_or_none or at_least:N".to_owned();
    match text.split_once(':') {
        None if matches!(text, "best_effort" | "all_or_none") => Ok(json!(text)),
        Some(("at_least", count)) => count.parse::<usize>().map(|count| json!({ "at_least": count })).map_err(|_| fits()),
        _ => Err(fits()),
    }
}

/// A name that no other signal has: 80 random bits.
pub(super) fn fresh_id(prefix: &str) -> String {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let random = u128::from(SystemEnv.random()) << 64 | u128::from(SystemEnv.random());
    let letter = |place: u32| char::from(LETTERS[usize::try_from((random >> (5 * place)) & 31).unwrap_or(0)]);
    format!("{prefix}-{}", (0..16).map(letter).collect::<String>())
}

impl SendSignal {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let body = self.body(&config)?;
        let signal = Signal::from_value(body.clone()).map_err(|error| CommandError::Usage(error.to_string()))?;
        let rests = body
            .get("order")
            .is_some_and(|order| order["type"] == "limit" && matches!(order["time_in_force"].as_str(), None | Some("gtc")));
        let asked = config.agents.iter().any(|agent| agent.id == signal.agent && agent.approval.is_some())
            || config.deployments.iter().any(|deployment| deployment.agent == signal.agent && deployment.approval.is_some());
        let wait = self.wait.unwrap_or(if rests || asked { WaitFor::Acknowledged } else { WaitFor::Settled });
        let mut backend = Backend::acting(&config, output).await?;
        let answer = async {
            let execution = backend.ask(Request::Execute { signal: body, wait }).await?;
            let positions = if output.json { Value::Null } else { backend.ask(Request::Positions).await? };
            Ok::<_, CommandError>((execution, positions))
        }
        .await;
        let left = backend.close().await?;
        let (execution, positions) = answer?;
        let typed = typed(&execution)?;
        output.either(&typed, || {
            let ours: Vec<&Value> = positions.as_array().into_iter().flatten().filter(|row| holds(row, &signal.id)).collect();
            format!("{}\n\n{}", show::execution(&execution), show::positions_table(ours, "no position of this signal"))
        })?;
        Ok(left.and(Done::from(&typed)))
    }

    /// The signal in its published form, with a fresh id and the only agent where none is given.
    fn body(&self, config: &Config) -> Result<Value, CommandError> {
        let mut body = match &self.json_input {
            Some(given) => from_json(given)?,
            None => self.flags()?,
        };
        let mut set = |key: &str, value: Option<&String>| {
            if let Some(value) = value {
                body.insert(key.to_owned(), Value::String(value.clone()));
            }
        };
        set("id", self.id.as_ref());
        set("agent", self.agent.as_ref());
        if !body.contains_key("id") {
            body.insert("id".into(), Value::String(fresh_id("cli")));
        }
        if !body.contains_key("agent") {
            let [only] = config.agents.as_slice() else {
                let names = config.agents.iter().map(|agent| agent.id.as_str()).collect::<Vec<_>>().join(", ");
                return Err(CommandError::Usage(format!("whose signal is it? give --agent, one of {names}")));
            };
            body.insert("agent".into(), json!(only.id));
        }
        Ok(Value::Object(body))
    }

    fn flags(&self) -> Result<Map<String, Value>, CommandError> {
        let mut body = Map::new();
        let mut set = |key: &str, value: Option<&String>| value.map(|value| body.insert(key.to_owned(), json!(value)));
        set("asset", self.asset.as_ref());
        set("leverage", self.leverage.as_ref());
        set("market", self.market.as_ref());
        set("slippage", self.slippage.as_ref());
        set("valid_for", self.valid_for.as_ref());
        set("confidence", self.confidence.as_ref());
        let direction = match (self.long, self.short) {
            (true, _) => "long",
            (_, true) => "short",
            _ => return Err(CommandError::Usage("give --long or --short".into())),
        };
        body.insert("direction".into(), json!(direction));
        let sizes = [
            ("notional", &self.notional),
            ("quantity", &self.quantity),
            ("equity_fraction", &self.equity_fraction),
            ("risk_fraction", &self.risk_fraction),
        ];
        let sizing = sizes.into_iter().find_map(|(name, size)| size.as_ref().map(|size| json!({ name: size })));
        let none = || CommandError::Usage("give --notional or --quantity, --equity-fraction or --risk-fraction".into());
        body.insert("sizing".into(), sizing.ok_or_else(none)?);
        if let Some(routing) = &self.routing {
            body.insert("routing".into(), routing.clone());
        }
        if let Some(policy) = &self.leg_policy {
            body.insert("leg_policy".into(), policy.clone());
        }
        if let Some(exits) = self.exits() {
            body.insert("exits".into(), exits);
        }
        if let Some(venues) = &self.venues {
            body.insert("venues".into(), json!(venues));
        }
        if let Some(price) = &self.limit {
            let mut order = json!({ "type": "limit", "price": price, "post_only": self.post_only });
            if let Some(time_in_force) = &self.time_in_force {
                order["time_in_force"] = json!(time_in_force);
            }
            body.insert("order".into(), order);
        }
        Ok(body)
    }
}

impl SendSignal {
    /// The exits, if any is given.
    fn exits(&self) -> Option<Value> {
        let mut exits = Map::new();
        let mut set = |key: &str, value: Option<Value>| value.map(|value| exits.insert(key.to_owned(), value));
        set("take_profit", self.take_profit.clone());
        set("stop_loss", self.stop_loss.clone());
        set("time_limit", self.time_limit.as_ref().map(|length| json!(length)));
        let trailing = self.trailing.as_ref().map(|fraction| match &self.trailing_activation {
            Some(activation) => json!({ "fraction": fraction, "activation": activation }),
            None => json!({ "fraction": fraction }),
        });
        set("trailing", trailing);
        (!exits.is_empty()).then_some(Value::Object(exits))
    }
}

/// A signal given as JSON, as a file or through stdin.
fn from_json(given: &str) -> Result<Map<String, Value>, CommandError> {
    let text = if given.trim_start().starts_with('{') { given.to_owned() } else { input::read_all(Path::new(given))? };
    match serde_json::from_str(&text) {
        Ok(Value::Object(body)) => Ok(body),
        Ok(_) => Err(CommandError::Usage("a signal is a JSON object".into())),
        Err(error) => Err(CommandError::Usage(format!("the signal is not valid JSON: {error}"))),
    }
}

/// Whether a position is made of this signal's fills.
fn holds(position: &Value, signal: &SignalId) -> bool {
    position["signals"].as_array().is_some_and(|signals| signals.iter().any(|id| id == signal.as_str()))
}

/// The engine's answer as an execution.
pub(super) fn typed(answer: &Value) -> Result<Execution, CommandError> {
    serde_json::from_value(answer.clone()).map_err(|error| CommandError::failed(format!("the engine's answer is no execution: {error}")))
}

/// `omnivenue execution`.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// The signal's id, or the id of a request to close
    id: SignalId,
}

impl Find {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let execution = Backend::reading(&config).await?.ask(Request::Execution { id: self.id.clone() }).await?;
        if execution.is_null() {
            return Err(CommandError::failed(format!("no signal {} is known", self.id)));
        }
        let typed = typed(&execution)?;
        options.output().either(&typed, || show::execution(&execution))?;
        Ok(Done::from(&typed))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Test {
        #[command(flatten)]
        signal: SendSignal,
    }

    fn body(arguments: &[&str]) -> Result<Value, String> {
        let parsed = Test::try_parse_from(std::iter::once(&"signal").chain(arguments)).map_err(|error| error.to_string())?;
        let body = parsed.signal.body(&Config::built_in(Path::new(""))).map_err(|error| error.to_string())?;
        Signal::from_value(body.clone()).map_err(|error| error.to_string())?;
        Ok(body)
    }

    #[test]
    fn flags_and_json_say_the_same() {
        let flags = body(&[
            "--asset",
            "HYPE",
            "--short",
            "--quantity",
            "1.5",
            "--leverage",
            "5",
            "--venues",
            "hyperliquid,ostium",
            "--limit",
            "38.1",
            "--id",
            "x",
        ]);
        let json = r#"{"id":"x","agent":"demo","asset":"HYPE","direction":"short","sizing":{"quantity":"1.5"},"leverage":"5",
            "venues":["hyperliquid","ostium"],"order":{"type":"limit","price":"38.1","post_only":false}}"#;
        assert_eq!(flags.unwrap(), body(&[json]).unwrap());
    }

    #[test]
    fn exits_and_leg_policies_are_given_as_flags_too() {
        let flags = ["--asset", "HYPE", "--long", "--notional", "500", "--id", "x", "--take-profit", "0.05", "--stop-loss", "price:36"];
        let more = ["--trailing", "0.1", "--trailing-activation", "0.05", "--time-limit", "12h", "--leg-policy", "at_least:2"];
        let json = r#"{"id":"x","agent":"demo","asset":"HYPE","direction":"long","sizing":{"notional":"500"},"leg_policy":{"at_least":2},
            "exits":{"take_profit":{"fraction":"0.05"},"stop_loss":{"price":"36"},"trailing":{"fraction":"0.1","activation":"0.05"},
            "time_limit":"12h"}}"#;
        assert_eq!(body(&[&flags[..], &more].concat()).unwrap(), body(&[json]).unwrap());
        let roe = body(&[&flags[..9], &["--stop-loss", "roe:0.5", "--leg-policy", "all_or_none"]].concat()).unwrap();
        assert_eq!((&roe["exits"]["stop_loss"]["roe"], &roe["leg_policy"]), (&json!("0.5"), &json!("all_or_none")));
    }

    #[test]
    fn sizes_and_routes_are_given_as_flags_too() {
        let flags = ["--asset", "HYPE", "--long", "--id", "x", "--market", "any", "--risk-fraction", "0.01", "--stop-loss", "0.03"];
        let more = ["--routing", "split:hyperliquid=0.7,ostium=0.3"];
        let json = r#"{"id":"x","agent":"demo","asset":"HYPE","market":"any","direction":"long","sizing":{"risk_fraction":"0.01"},
            "exits":{"stop_loss":{"fraction":"0.03"}},"routing":{"split":{"hyperliquid":"0.7","ostium":"0.3"}}}"#;
        assert_eq!(body(&[&flags[..], &more].concat()).unwrap(), body(&[json]).unwrap());
        let best = body(&["--asset", "HYPE", "--long", "--equity-fraction", "0.08", "--routing", "best"]).unwrap();
        assert_eq!((&best["sizing"]["equity_fraction"], &best["routing"]), (&json!("0.08"), &json!("best")));
    }

    #[test]
    fn ids_are_fresh_unless_given() {
        let flags = ["--asset", "HYPE", "--long", "--notional", "500"];
        let (one, two) = (body(&flags).unwrap(), body(&flags).unwrap());
        assert_ne!(one["id"], two["id"]);
        assert_eq!(one["agent"], "demo");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let check = |arguments: &[&str], words: &str| {
            let error = body(arguments).unwrap_err();
            assert!(error.contains(words), "{error}\nshould contain {words}");
        };
        check(&[], "--asset");
        check(&["--asset", "HYPE", "--notional", "5"], "--long or --short");
        check(&["--asset", "HYPE", "--long"], "--notional or --quantity");
        check(&["--asset", "HYPE", "--long", "--short", "--notional", "5"], "cannot be used with");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--quantity", "5"], "cannot be used with");
        check(&["--asset", "HYPE", "--long", "--notional", "5e2"], "not a decimal number");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--routing", "worst"], "routing");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--routing", "split:a"], "split:VENUE=WEIGHT");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--routing", "split:a=0.5"], "adds up to 0.5");
        check(&["--asset", "HYPE", "--long", "--risk-fraction", "0.01"], "needs exits.stop_loss");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--wait", "soon"], "settled");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--post-only"], "--limit");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--stop-loss", "points:5"], "price:40 or roe:0.5");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--stop-loss", "1.5"], "between 0 and 1");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--trailing-activation", "0.1"], "--trailing");
        check(&["--asset", "HYPE", "--long", "--notional", "5", "--leg-policy", "some"], "at_least:N");
        check(&["{}"], "signal");
        check(&["/nonexistent/signal.json"], "cannot be read");
        check(&["{\"id\":1"], "not valid JSON");
    }
}
