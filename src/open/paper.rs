//! What the simulated exchange behind a venue is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::ids::{VenueId, VenueSymbol};
use omnivenue_core::model::instrument::Market;
use omnivenue_core::venue::Venue;
use omnivenue_paper::{FaultConfig, Funding, Latency, PriceSource};

use crate::config::{AccountConfig, FaultsConfig, FundingConfig, Preset};

/// What the exchange of a venue is: its preset, changed as the accounts at it say, which have been checked to agree.
pub(super) fn paper(venue: &VenueId, members: &[&AccountConfig]) -> Result<omnivenue_paper::Config, String> {
    let given = members.first().and_then(|account| account.paper.as_ref()).ok_or("no paper account is at it")?;
    let mut paper = preset(given.preset);
    paper.id = venue.clone();
    paper.instruments.iter_mut().for_each(|spec| spec.venue = venue.clone());
    paper.orders.resend = given.resend.unwrap_or(paper.orders.resend);
    paper.orders.absence = given.absence.unwrap_or(paper.orders.absence);
    paper.faults = faults(&given.faults);
    if let Some(latency) = given.latency {
        paper.latency = Latency { request: latency, answer: latency, jitter: Duration::ZERO };
    }
    for source in paper.prices.values_mut() {
        if let PriceSource::Walk { seed, .. } = source {
            *seed = seed.wrapping_add(given.prices.walk_seed.wrapping_sub(1).wrapping_mul(1_000_003));
        }
    }
    let candles =
        given.prices.candles.iter().map(|(symbol, path)| (symbol, PriceSource::Candles { path: path.clone(), speed: given.prices.speed }));
    let fixed = given.prices.fixed.iter().map(|(symbol, price)| (symbol, PriceSource::Fixed { price: *price }));
    for (symbol, source) in candles.chain(fixed) {
        let known = || paper.instruments.iter().map(|spec| spec.symbol.as_str()).collect::<Vec<_>>().join(", ");
        if !paper.prices.contains_key(symbol) {
            return Err(format!("prices names {symbol}, but its instruments are {}", known()));
        }
        paper.prices.insert(symbol.clone(), source);
    }
    paper.funding = funding(given.funding.as_ref(), &paper)?;
    fund(paper, members)
}

/// Funding of every perpetual there.
fn funding(given: Option<&FundingConfig>, paper: &omnivenue_paper::Config) -> Result<BTreeMap<VenueSymbol, Funding>, String> {
    let Some(given) = given else { return Ok(BTreeMap::new()) };
    let perpetuals: Vec<&VenueSymbol> =
        paper.instruments.iter().filter(|spec| spec.market == Market::Perp).map(|spec| &spec.symbol).collect();
    if let Some(symbol) = given.files.keys().find(|symbol| !perpetuals.contains(symbol)) {
        let known = perpetuals.iter().map(|symbol| symbol.as_str()).collect::<Vec<_>>().join(", ");
        return Err(format!("funding names {symbol}, but its perpetuals are {known}"));
    }
    let of = |symbol: &VenueSymbol| Funding { rate: given.rate, every: given.every, series: given.files.get(symbol).cloned() };
    Ok(perpetuals.into_iter().map(|symbol| (symbol.clone(), of(symbol))).collect())
}

/// Gives each account what it starts with.
fn fund(mut paper: omnivenue_paper::Config, members: &[&AccountConfig]) -> Result<omnivenue_paper::Config, String> {
    let settle = paper.instruments.first().map(|spec| spec.settle.clone()).ok_or("it has no instruments")?;
    for account in members {
        let balance = account.paper.as_ref().map(|paper| paper.balance.amount()).unwrap_or_default();
        paper = paper.with_account(&account.id, settle.clone(), balance);
    }
    Ok(paper)
}

fn faults(given: &FaultsConfig) -> FaultConfig {
    let usual = FaultConfig::default();
    FaultConfig {
        seed: given.seed,
        refuse: given.refuse,
        delay: given.delay,
        cut_before: given.cut_before,
        cut_after: given.cut_after,
        late_commit: given.late_commit,
        false_not_found: given.false_not_found,
        duplicate_fill: given.duplicate_fill,
        late_fill: given.late_fill,
        silence: given.silence,
        delay_max: given.delay_max.unwrap_or(usual.delay_max),
        late_commit_max: given.late_commit_max.unwrap_or(usual.late_commit_max),
        late_fill_max: given.late_fill_max.unwrap_or(usual.late_fill_max),
        silence_for: given.silence_for.unwrap_or(usual.silence_for),
        ..usual
    }
}

/// How long a venue may take to say what it trades.
const INSTRUMENTS_WAIT: Duration = Duration::from_secs(20);

/// What the exchange of a venue is that follows the real one: its instruments, rules and prices.
pub(super) async fn live(members: &[&AccountConfig], feed: &Arc<dyn Venue>) -> Result<omnivenue_paper::Config, String> {
    let first = members.first().ok_or("no paper account is at it")?;
    let given = first.paper.as_ref().ok_or("no paper account is at it")?;
    let asked = tokio::time::timeout(INSTRUMENTS_WAIT, feed.instruments()).await;
    let mut instruments = asked.map_err(|_| "the venue does not say what it trades".to_owned())?.map_err(|error| error.to_string())?;
    instruments.retain(|instrument| instrument.market == first.market);
    let (mut paper, left_out) = omnivenue_paper::Config::live(feed.id(), feed.capabilities(), &instruments);
    for instrument in left_out {
        tracing::info!(venue = %feed.id(), symbol = %instrument.symbol, reason = %instrument.reason, "not traded on paper");
    }
    // What a venue does not tell of itself: what resting costs, how wide a price is that it tells the middle of, how deep its book.
    let usual = preset(given.preset);
    (paper.maker_fee, paper.spread, paper.slippage, paper.depth) = (usual.maker_fee, usual.spread, usual.slippage, usual.depth);
    paper.faults = faults(&given.faults);
    if let Some(latency) = given.latency {
        paper.latency = Latency { request: latency, answer: latency, jitter: Duration::ZERO };
    }
    paper.funding = funding(given.funding.as_ref(), &paper)?;
    fund(paper, members)
}

fn preset(preset: Preset) -> omnivenue_paper::Config {
    match preset {
        Preset::Hyperliquid => omnivenue_paper::Config::hyperliquid_like(),
        Preset::Ostium => omnivenue_paper::Config::ostium_like(),
        Preset::Spot => omnivenue_paper::Config::spot_like(),
        Preset::Coin => omnivenue_paper::Config::coin_like(),
    }
}
