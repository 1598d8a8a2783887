//! `omnivenue doctor --first-order`: the smallest order that rests, through the whole engine, and its cancellation.
//!
//! It has an agent, a deployment and a journal of its own, `doctor.db`, which stays: should the process die in the middle, the next run
//! settles what it left. Its price is half the market's, so that it can only trade if the market halves while it rests.

use std::sync::Arc;
use std::time::Duration;

use omnivenue::config::{AccountConfig, AgentConfig, Config, DeploymentConfig, ShareConfig};
use omnivenue::control::Client;
use omnivenue::open;
use omnivenue_core::engine::{EngineError, Wait};
use omnivenue_core::executor::Limits;
use omnivenue_core::model::execution::Execution;
use omnivenue_core::model::ids::{Asset, SignalId};
use omnivenue_core::model::instrument::{AssetMap, Instrument, Side};
use omnivenue_core::model::number::{Factor, Notional, Price};
use omnivenue_core::model::signal::Signal;
use omnivenue_core::venue::VenueError;
use rust_decimal::Decimal;
use serde_json::json;
use tokio::time::timeout;

use super::{Checks, EXAMINE_WAIT, Verdict};
use crate::command::exit::{CommandError, chain};
use crate::command::signal::fresh_id;

/// The name of the agent and the deployment that it is sent for.
const DOCTOR: &str = "doctor";
/// How long a cancellation may take to be confirmed, and how often to look.
const CANCEL_WAIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// Tries every account at a real venue, or the one that is named.
pub(super) async fn check(checks: &mut Checks, config: &Config, named: &str, asset: &Asset) -> Result<(), CommandError> {
    if Client::connect(&config.control_path()).await?.is_some() {
        return Err(CommandError::Usage("an engine runs, and two processes must not sign with one key: stop it first".into()));
    }
    let real = || config.accounts.iter().filter(|account| account.paper.is_none());
    let chosen: Vec<&AccountConfig> = real().filter(|account| named.is_empty() || account.id.as_str() == named).collect();
    if chosen.is_empty() {
        let ids = real().map(|account| account.id.as_str()).collect::<Vec<_>>().join(", ");
        let known = if ids.is_empty() { "there are none".to_owned() } else { format!("there are {ids}") };
        return Err(CommandError::Usage(format!("--first-order takes an account at a real venue; {known}")));
    }
    for account in chosen {
        let what = format!("account {} first order", account.id);
        match first_order(config, account, asset).await {
            Ok(detail) => checks.add(what, Verdict::Ok, detail),
            Err(reason) => checks.add(what, Verdict::Bad, reason),
        }
    }
    Ok(())
}

async fn first_order(config: &Config, account: &AccountConfig, asset: &Asset) -> Result<String, String> {
    let alone = alone(config, account);
    let (price, notional) = smallest(&alone, account, asset).await?;
    let signal = json!({
        "id": fresh_id(DOCTOR), "agent": DOCTOR, "asset": asset, "market": account.market, "direction": "long",
        "order": { "type": "limit", "price": price, "post_only": true }, "sizing": { "notional": notional }, "valid_for": "1m",
    });
    let signal = Signal::from_value(signal).map_err(|error| error.to_string())?;
    let engine = open::open(&alone).await.map_err(|error| chain(&error))?;
    let result = place_and_cancel(&engine, signal).await;
    engine.shutdown().await.map_err(|error| chain(&error))?;
    result
}

async fn place_and_cancel(engine: &open::Opened, signal: Signal) -> Result<String, String> {
    let words = |error: EngineError| chain(&error);
    let id = signal.id.clone();
    let placed = engine.execute(signal, Wait::Acknowledged).await.map_err(words)?;
    let leg = placed.legs.first().ok_or("the engine planned no leg")?;
    if leg.state != "working" {
        let reason = leg.reason.as_deref().unwrap_or("no reason was given");
        return Err(format!("it does not rest, but is {} ({}): {reason}", leg.state, leg.code.as_deref().unwrap_or("no code")));
    }
    let acknowledged = leg.timings_us.acknowledged.unwrap_or_default();
    engine.cancel(&id).await.map_err(words)?;
    let ended = settled(engine, &id).await?;
    let leg = ended.legs.first().ok_or("the engine lost its leg")?;
    let named = leg.client_order_id.as_ref().map(ToString::to_string).unwrap_or_default();
    if leg.state != "done" || !leg.filled_quantity.is_zero() {
        return Err(format!(
            "order {named} is {} with {} filled, though it was canceled; look at the venue",
            leg.state, leg.filled_quantity
        ));
    }
    Ok(format!(
        "{} {} rested after {acknowledged} µs and is canceled (order {named})",
        leg.quantity.unwrap_or_default(),
        leg.instrument.as_ref().map(ToString::to_string).unwrap_or_default()
    ))
}

async fn settled(engine: &open::Opened, id: &SignalId) -> Result<Execution, String> {
    let mut waited = Duration::ZERO;
    loop {
        let execution = engine.execution(id).await.map_err(|error| chain(&error))?.ok_or("the engine lost its execution")?;
        if waited >= CANCEL_WAIT || execution.legs.iter().all(|leg| leg.state == "done") {
            return Ok(execution);
        }
        tokio::time::sleep(PAUSE).await;
        waited += PAUSE;
    }
}

/// The configuration with this account alone, and a journal beside the real one.
fn alone(config: &Config, account: &AccountConfig) -> Config {
    let mut alone = config.clone();
    alone.accounts = vec![account.clone()];
    alone.journal.path = Some(config.journal_path().with_file_name(format!("{DOCTOR}.db")));
    alone.journal.views = false;
    alone.journal.namespace = None;
    let (losses, limits) = (Default::default(), Limits::default());
    let id = DOCTOR.parse().expect("a valid name");
    alone.agents = vec![AgentConfig { id, allowed_assets: None, losses, approval: None, enabled: true, limits, strategy: None }];
    let share = ShareConfig { account: account.id.clone(), allocation: None, fallback: None };
    let id = DOCTOR.parse().expect("a valid name");
    let agent = DOCTOR.parse().expect("a valid name");
    alone.deployments = vec![DeploymentConfig {
        id,
        agent,
        accounts: vec![share],
        limits: Limits::default(),
        losses: Default::default(),
        stops: Default::default(),
        approval: None,
        scale: Factor::ONE,
        enabled: true,
    }];
    alone
}

/// Half the price that one can sell at now, and a little more than the smallest notional there.
async fn smallest(config: &Config, account: &AccountConfig, asset: &Asset) -> Result<(Price, Notional), String> {
    let logins = open::logins(config).map_err(|error| chain(&error))?;
    let venue = Arc::clone(logins.first().ok_or("it is at no real venue")?.venue());
    let asked = timeout(EXAMINE_WAIT, async { Ok::<_, VenueError>((venue.instruments().await?, venue.quotes().await?)) }).await;
    let (instruments, quotes) = asked.map_err(|_| format!("no answer within {EXAMINE_WAIT:?}"))?.map_err(|error| chain(&error))?;
    let assets = AssetMap::default();
    let of = |instrument: &&Instrument| instrument.market == account.market && assets.resolve(&instrument.base).0 == *asset;
    let instrument = instruments.iter().find(of).ok_or_else(|| format!("{} lists no {asset} {}", account.venue, account.market))?;
    let quote = quotes.iter().find(|quote| quote.symbol == instrument.symbol);
    let quote = quote.ok_or_else(|| format!("{} has no price for {}", account.venue, instrument.symbol))?;
    let half = quote.bid.decimal().checked_div(Decimal::TWO).and_then(|half| Price::new(half).ok());
    let price = half.and_then(|half| instrument.limit_price(half, Side::Buy)).ok_or("half its price is no valid price")?;
    // Half more than the smallest: whole lots are rounded down.
    let lot = instrument.notional(instrument.min_quantity, price).map_err(|error| error.to_string())?;
    let least = instrument.min_notional.max(lot).decimal();
    let notional = least.checked_mul(Decimal::new(15, 1)).and_then(|notional| Notional::new(notional.normalize()).ok());
    Ok((price, notional.ok_or("its smallest order is no amount")?))
}
