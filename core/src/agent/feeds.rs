//! Who is told which prices: by instrument, each summed up once for all who want the same.

use std::collections::{BTreeMap, BTreeSet};

use super::candles::Aggregator;
use super::input::{AgentInput, Candle, Feed, Subject, Subscription, Timeframe};
use crate::executor::Setup;
use crate::model::ids::{AgentId, VenueId, VenueSymbol};
use crate::model::time::Timestamp;
use crate::venue::Quote;

/// Subscriptions that one agent may have.
pub const SUBSCRIPTIONS_MAX: usize = 64;

type Key = (VenueId, VenueSymbol);

/// A candle under way, and who wants it.
#[derive(Debug)]
struct Bars {
    aggregator: Aggregator,
    agents: BTreeSet<AgentId>,
}

/// Who is told which prices. Its size is bounded by the agents and their subscriptions.
#[derive(Debug, Default)]
pub struct Feeds {
    wants: BTreeMap<AgentId, Vec<Subscription>>,
    quotes: BTreeMap<Key, BTreeSet<AgentId>>,
    candles: BTreeMap<Key, BTreeMap<Timeframe, Bars>>,
}

impl Feeds {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on this agent is told what it wants, and nothing else. Candles under way go on.
    pub fn subscribe(&mut self, setup: &Setup, agent: &AgentId, mut wanted: Vec<Subscription>) {
        if wanted.len() > SUBSCRIPTIONS_MAX {
            tracing::warn!(%agent, wanted = wanted.len(), "an agent may have {SUBSCRIPTIONS_MAX} subscriptions; the others are left out");
            wanted.truncate(SUBSCRIPTIONS_MAX);
        }
        for subscription in wanted.iter().filter(|subscription| resolve(setup, agent, &subscription.of).is_none()) {
            tracing::warn!(%agent, of = ?subscription.of, "no venue of the agent lists this yet: it is told nothing of it");
        }
        self.wants.insert(agent.clone(), wanted);
        self.resolve(setup);
    }

    /// This agent is told nothing more.
    pub fn unsubscribe(&mut self, setup: &Setup, agent: &AgentId) {
        self.wants.remove(agent);
        self.resolve(setup);
    }

    /// Finds the instruments again: a venue may have said only now what it trades.
    pub fn resolve(&mut self, setup: &Setup) {
        self.quotes.clear();
        self.candles.values_mut().flat_map(BTreeMap::values_mut).for_each(|bars| bars.agents.clear());
        for (agent, wanted) in &self.wants {
            for Subscription { of, feed } in wanted {
                let Some(key) = resolve(setup, agent, of) else { continue };
                let agents = match feed {
                    Feed::Quotes => self.quotes.entry(key).or_default(),
                    Feed::Candles(timeframe) => {
                        let aggregator = || Aggregator::new(key.0.clone(), key.1.clone(), *timeframe);
                        let bars = self.candles.entry(key.clone()).or_default().entry(*timeframe);
                        &mut bars.or_insert_with(|| Bars { aggregator: aggregator(), agents: BTreeSet::new() }).agents
                    }
                };
                agents.insert(agent.clone());
            }
        }
        self.candles.retain(|_, bars| {
            bars.retain(|_, bars| !bars.agents.is_empty());
            !bars.is_empty()
        });
    }

    /// Every instrument that anyone wants candles of, with the timeframes.
    pub fn wanted_candles(&self) -> impl Iterator<Item = (&VenueId, &VenueSymbol, Timeframe)> {
        self.candles.iter().flat_map(|((venue, symbol), bars)| bars.keys().map(move |timeframe| (venue, symbol, *timeframe)))
    }

    /// Who is told this quote.
    #[must_use]
    pub fn quote(&self, venue: &VenueId, quote: &Quote) -> Vec<(AgentId, AgentInput)> {
        if self.quotes.is_empty() {
            return Vec::new();
        }
        let agents = self.quotes.get(&(venue.clone(), quote.symbol.clone()));
        let told = |agent: &AgentId| (agent.clone(), AgentInput::Quote { venue: venue.clone(), quote: quote.clone() });
        agents.into_iter().flatten().map(told).collect()
    }

    /// Makes candles of a quote that came at `now`; says who is told those that it ends.
    pub fn price(&mut self, now: Timestamp, venue: &VenueId, quote: &Quote) -> Vec<(AgentId, AgentInput)> {
        if self.candles.is_empty() {
            return Vec::new();
        }
        let all = self.candles.get_mut(&(venue.clone(), quote.symbol.clone()));
        let price = quote.middle();
        each(all, |aggregator| aggregator.price(now, price))
    }

    /// Makes candles of a shorter or equal one; says who is told those that it ends.
    pub fn candle(&mut self, part: &Candle) -> Vec<(AgentId, AgentInput)> {
        let all = self.candles.get_mut(&(part.venue.clone(), part.symbol.clone()));
        each(all, |aggregator| aggregator.candle(part))
    }

    /// Ends the candles that are over by now; says who is told them.
    pub fn close(&mut self, now: Timestamp) -> Vec<(AgentId, AgentInput)> {
        self.candles.values_mut().flat_map(|all| each(Some(all), |aggregator| aggregator.close(now))).collect()
    }

    /// When the next candle under way is over.
    #[must_use]
    pub fn next_close(&self) -> Option<Timestamp> {
        self.candles.values().flat_map(BTreeMap::values).filter_map(|bars| bars.aggregator.closes_at()).min()
    }
}

/// Hands each aggregator of an instrument something, and its ended candles to whoever wants them.
fn each<I: IntoIterator<Item = Candle>>(
    all: Option<&mut BTreeMap<Timeframe, Bars>>,
    mut take: impl FnMut(&mut Aggregator) -> I,
) -> Vec<(AgentId, AgentInput)> {
    let mut told = Vec::new();
    for bars in all.into_iter().flat_map(BTreeMap::values_mut) {
        for candle in take(&mut bars.aggregator) {
            told.extend(bars.agents.iter().map(|agent| (agent.clone(), AgentInput::Candle(candle.clone()))));
        }
    }
    told
}

/// The instrument that is meant.
fn resolve(setup: &Setup, agent: &AgentId, subject: &Subject) -> Option<Key> {
    let (asset, market) = match subject {
        Subject::Instrument { venue, symbol } => return Some((venue.clone(), symbol.clone())),
        Subject::Asset { asset, market } => (asset, *market),
    };
    let accounts = setup.deployments.values().filter(|deployment| deployment.agent == *agent).flat_map(|deployment| &deployment.accounts);
    accounts.filter_map(|share| setup.accounts.get(&share.account)).find_map(|account| {
        if account.market.is_some_and(|trades| trades != market) {
            return None;
        }
        let instrument = setup.venues.get(&account.venue)?.instrument_of(asset, market)?;
        Some((account.venue.clone(), instrument.symbol.clone()))
    })
}
