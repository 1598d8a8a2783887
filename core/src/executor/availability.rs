//! Where an asset could be traded now, on what terms, and what stands in the way: asked of the same decisions that a signal meets.

use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::setup::{AccountShare, DeploymentSetup, Setup, VenueSetup};
use super::step::{Live, Now, Output, State, Step};
use crate::journal::LegPlan;
use crate::model::execution::{Outcome, Reason, Timings};
use crate::model::exit::{Distance, Exits};
use crate::model::hours::TradingHours;
use crate::model::ids::{AccountId, AgentId, Asset, DeploymentId, VenueId, VenueSymbol};
use crate::model::instrument::{Instrument, Market};
use crate::model::number::{Factor, Fraction, Leverage, Notional, Price, Quantity, Rate, exact};
use crate::model::signal::{Direction, LegPolicy, OrderType, Routing, Signal, Sizing};
use crate::model::time::Timestamp;

/// An instrument of an asset on an account, or the reason why the account has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Availability {
    /// The venue.
    pub venue: VenueId,
    /// The account.
    pub account: AccountId,
    /// Whether the account takes entries in it: `ready`, `not_listed`, `other_market`, `other_instrument` (another one of the asset is traded
    /// there), `venue_down`, `recovering`, `halted`, `killed`, `breaker`, `closed` (its hours, or it expires) or `no_price`.
    pub status: String,
    /// Why it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is traded there; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<ListedTerms>,
    /// The latest prices; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<QuoteReport>,
    /// The deployments that trade on the account, and what would become of the smallest order there now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deployments: Vec<CouldOpen>,
}

/// The terms of an instrument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedTerms {
    /// The venue's name of it.
    pub symbol: VenueSymbol,
    /// Its market.
    pub market: Market,
    /// How much of the asset one base unit is: 1000 where kPEPE is traded and PEPE was asked for.
    pub asset_per_unit: Factor,
    /// What prices are in.
    pub quote: Asset,
    /// What profit, loss and margin are in.
    pub settle: Asset,
    /// Quantities are multiples of this, in base units.
    pub lot_size: Quantity,
    /// The smallest quantity of an order, in base units.
    pub min_quantity: Quantity,
    /// The smallest notional of an order.
    pub min_notional: Notional,
    /// The highest leverage.
    pub max_leverage: Leverage,
    /// The fee rate of an order that takes liquidity.
    pub taker_fee: Rate,
    /// When it trades; always where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<TradingHours>,
    /// When it trades again, where it does not now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    /// When it expires, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry: Option<Timestamp>,
}

/// The latest prices of an instrument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteReport {
    /// The best price to sell at.
    pub bid: Price,
    /// The best price to buy at.
    pub ask: Price,
    /// From bid to ask, as a share of the middle, to 8 decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Rate>,
    /// How old it is by the venue's clock, in milliseconds.
    pub age_ms: u64,
}

/// What would become of the smallest order of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouldOpen {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Whose signals it carries out.
    pub agent: AgentId,
    /// Whether it could be opened now, in one direction at least.
    pub could_open: bool,
    /// What refuses a direction: of an order of the smallest size at the leverage that is held, of full confidence, with exits only where limits
    /// ask for them: a stop loss of 1 %.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedDirection>,
}

/// What refuses one direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedDirection {
    /// Long or short.
    pub direction: Direction,
    /// A stable code.
    pub code: String,
    /// A sentence.
    pub reason: String,
}

impl State {
    /// Where an asset could be traded now, by venue, account and instrument. Changes nothing: what is decided here is thrown away. Costs
    /// O(instruments of the asset × deployments on their accounts).
    #[must_use]
    pub fn availability(&mut self, setup: &Setup, now: Now, asset: &Asset) -> Vec<Availability> {
        let Self { book, live } = self;
        let step = Step { setup, book, live, now, out: Output::default() };
        step.availability(&setup.assets.resolve(asset).0)
    }
}

impl Step<'_> {
    fn availability(&self, asset: &Asset) -> Vec<Availability> {
        let mut shares: BTreeMap<&AccountId, Vec<(&DeploymentId, &DeploymentSetup, &AccountShare)>> = BTreeMap::new();
        for (id, deployment) in &self.setup.deployments {
            for share in &deployment.accounts {
                shares.entry(&share.account).or_default().push((id, deployment, share));
            }
        }
        let mut rows: Vec<Availability> = Vec::new();
        for (account, setup) in &self.setup.accounts {
            let row = |status: &str, reason: Option<String>| Availability {
                venue: setup.venue.clone(),
                account: account.clone(),
                status: status.to_owned(),
                reason,
                instrument: None,
                quote: None,
                deployments: Vec::new(),
            };
            let Some(venue) = self.setup.venues.get(&setup.venue) else {
                rows.push(row("venue_down", Some(format!("{} does not say what it trades", setup.venue))));
                continue;
            };
            let all: Vec<&Instrument> = venue.instruments_of(asset).collect();
            if all.is_empty() {
                rows.push(row("not_listed", Some(format!("{} lists no {asset}", setup.venue))));
            }
            for instrument in all {
                let (status, reason) = self.status(asset, account, (&setup.venue, venue), instrument);
                let deployments = shares.get(account).map(Vec::as_slice).unwrap_or_default();
                let could = |(id, deployment, share): &(&DeploymentId, &DeploymentSetup, &AccountShare)| {
                    self.could_open(asset, (id, deployment, share), &setup.venue, instrument)
                };
                // Where another instrument is traded instead, no deployment would ask for this one.
                let asks = !matches!(status, "other_market" | "other_instrument");
                rows.push(Availability {
                    instrument: Some(self.listed_terms(instrument)),
                    quote: self.quoted(&setup.venue, instrument),
                    deployments: deployments.iter().filter(|_| asks).map(could).collect(),
                    ..row(status, reason)
                });
            }
        }
        rows.sort_by(|a, b| (&a.venue, &a.account).cmp(&(&b.venue, &b.account)));
        rows
    }

    fn listed_terms(&self, instrument: &Instrument) -> ListedTerms {
        ListedTerms {
            symbol: instrument.symbol.clone(),
            market: instrument.market,
            asset_per_unit: self.setup.assets.resolve(&instrument.base).1,
            quote: instrument.quote.clone(),
            settle: instrument.settle.clone(),
            lot_size: instrument.lot_size,
            min_quantity: instrument.min_quantity,
            min_notional: instrument.min_notional,
            max_leverage: instrument.max_leverage,
            taker_fee: instrument.taker_fee,
            hours: instrument.hours.clone(),
            opens_at: instrument.opens_after(self.now.wall),
            expiry: instrument.expiry,
        }
    }

    fn quoted(&self, venue: &VenueId, instrument: &Instrument) -> Option<QuoteReport> {
        let quote = self.live.quotes.get(&(venue.clone(), instrument.symbol.clone()))?;
        let apart = exact::sub(quote.ask.decimal(), quote.bid.decimal());
        let share = apart.and_then(|apart| apart.checked_div(quote.middle().decimal()));
        let spread = share.and_then(|share| Rate::new(share.round_dp(8)).ok());
        let age_ms = u64::try_from(self.now.wall.since(quote.at).as_millis()).unwrap_or(u64::MAX);
        Some(QuoteReport { bid: quote.bid, ask: quote.ask, spread, age_ms })
    }

    /// Whether an account takes entries in an instrument, whoever's they are.
    fn status(
        &self,
        asset: &Asset,
        account: &AccountId,
        (id, venue): (&VenueId, &VenueSetup),
        instrument: &Instrument,
    ) -> (&'static str, Option<String>) {
        let configured = self.setup.accounts.get(account).and_then(|account| account.market);
        if let Some(market) = configured.filter(|market| *market != instrument.market) {
            return ("other_market", Some(format!("{account} trades {market}")));
        }
        let entered_by = self.now.wall.after(self.setup.timing.expiry_margin);
        if let Some(traded) = venue.instrument_at(asset, instrument.market, entered_by).filter(|traded| traded.symbol != instrument.symbol)
        {
            return ("other_instrument", Some(format!("{} is traded there", traded.symbol)));
        }
        let Live { accounts, quotes, .. } = &*self.live;
        let live = accounts.get(account);
        if !live.is_some_and(|live| live.ready) {
            let why = live.and_then(|live| live.failure.clone());
            return ("recovering", Some(why.unwrap_or_else(|| "its venue's truth is still being compared with ours".into())));
        }
        if let Some(why) = self.book.halt(account) {
            return ("halted", Some(format!("{}: {}", why.code, why.reason)));
        }
        if let Some((scope, kill)) = self.book.kills().find(|(scope, _)| scope.holds(None, account, id, Some(asset))) {
            return ("killed", Some(format!("the kill switch is on for {scope}: {}", kill.reason)));
        }
        for (whose, scope) in [(id.as_str(), Some(id)), ("the engine", None)] {
            if let Some(breaker) = self.book.breaker(scope) {
                let words = format!("{whose} is {} since {}: {}: {}", breaker.state, breaker.since, breaker.why.code, breaker.why.reason);
                return ("breaker", Some(words));
            }
        }
        if let Err(why) = self.check_open(instrument, &OrderType::Market) {
            return ("closed", Some(why.reason));
        }
        if quotes.contains_key(&(id.clone(), instrument.symbol.clone())) {
            ("ready", None)
        } else {
            ("no_price", Some(format!("{id} has no price for {} yet", instrument.symbol)))
        }
    }

    /// What would become of the smallest order of a deployment, in each direction.
    fn could_open(
        &self,
        asset: &Asset,
        (id, deployment, share): (&DeploymentId, &DeploymentSetup, &AccountShare),
        venue: &VenueId,
        instrument: &Instrument,
    ) -> CouldOpen {
        let refused = |direction| {
            let (_, why) = self.refusal(asset, (id, deployment, share), venue, instrument, direction)?;
            Some(RefusedDirection { direction, code: why.code, reason: why.reason })
        };
        let refused: Vec<RefusedDirection> = [Direction::Long, Direction::Short].into_iter().filter_map(refused).collect();
        CouldOpen { deployment: id.clone(), agent: deployment.agent.clone(), could_open: refused.len() < 2, refused }
    }

    /// Whether there are limits that an entry without exits cannot keep.
    fn limits_exits(&self, deployment: &DeploymentSetup, account: &AccountId) -> bool {
        let agent = self.setup.agents.get(&deployment.agent).map(|agent| &agent.limits);
        let account = self.setup.accounts.get(account).map(|account| &account.limits);
        let limits = [Some(&deployment.limits), agent, account, Some(&self.setup.limits)];
        limits.into_iter().flatten().any(|limits| {
            limits.max_risk_per_trade.is_some() || limits.max_risk_per_trade_fraction.is_some() || limits.min_reward_to_risk.is_some()
        })
    }

    /// Why the smallest order would come to nothing, if it would: the decision that a signal meets, thrown away.
    fn refusal(
        &self,
        asset: &Asset,
        (id, deployment, share): (&DeploymentId, &DeploymentSetup, &AccountShare),
        venue: &VenueId,
        instrument: &Instrument,
        direction: Direction,
    ) -> Option<(Outcome, Reason)> {
        let overflow = || (Outcome::Refused, Reason::new("overflow", "the smallest order has more digits than can be kept exactly"));
        let (seat, stands_in) = self.seat(share);
        let mut there = self.book.standing().engaged_on(&seat.account, &instrument.symbol);
        let leverage = there.find_map(|(_, engagement)| engagement.leverage()).unwrap_or(Leverage::ONE);
        let smallest = self.smallest(venue, instrument);
        let per_unit = self.setup.assets.resolve(&instrument.base).1;
        let units = exact::mul(smallest.decimal(), per_unit.decimal()).and_then(|units| Quantity::new(units).ok());
        let Some((quantity, notional)) = units.zip(Notional::new(smallest.decimal()).ok()) else { return Some(overflow()) };
        let signal = Signal {
            id: "availability".parse().expect("a constant that is a valid id"),
            agent: deployment.agent.clone(),
            asset: asset.clone(),
            market: instrument.market.into(),
            direction,
            confidence: Fraction::new(Decimal::ONE).ok(),
            created_at: None,
            valid_for: std::time::Duration::from_secs(60),
            // Of an inverse contract it is a number of quote units.
            sizing: if instrument.contract.is_inverse() { Sizing::Notional(notional) } else { Sizing::Quantity(quantity) },
            leverage,
            slippage: "0.01".parse().expect("0.01 is a fraction"),
            order: OrderType::Market,
            exits: self.limits_exits(deployment, &seat.account).then(exits),
            venues: None,
            routing: Routing::All,
            leg_policy: LegPolicy::BestEffort,
            metadata: serde_json::Map::new(),
        };
        let mut plan = LegPlan {
            deployment: id.clone(),
            agent: deployment.agent.clone(),
            account: seat.account.clone(),
            venue: self.setup.accounts.get(&seat.account).map_or_else(|| venue.clone(), |account| account.venue.clone()),
            symbol: None,
            order: None,
            ended: None,
            stands_in,
            awaiting: None,
            routed: None,
            timings: Timings::default(),
        };
        let unscaled = DeploymentSetup { scale: Factor::ONE, ..deployment.clone() };
        // User gates are asked about signals that there are, not about one that might be.
        self.decide(&signal, (id, &unscaled), (share, &seat), self.book.next_execution(), &mut plan, None).err()
    }

    /// The smallest order that the venue takes at the present price.
    fn smallest(&self, venue: &VenueId, instrument: &Instrument) -> Quantity {
        let least = instrument.min_quantity.max(instrument.lot_size);
        let Some(quote) = self.live.quotes.get(&(venue.clone(), instrument.symbol.clone())) else { return least };
        // A sale may fill lower than the bid, by as much as the slippage of the question.
        let low = Price::new(quote.bid.decimal().checked_mul(Decimal::new(98, 2)).unwrap_or_default()).unwrap_or(quote.bid);
        let worth = instrument.quantity_for(instrument.min_notional, low);
        let enough = worth.plus(instrument.lot_size).unwrap_or(worth);
        if instrument.min_notional.is_zero() { least } else { least.max(enough) }
    }
}

/// The assets that some venue lists, in our words: for suggestions.
#[must_use]
pub(super) fn listed_assets(setup: &Setup) -> BTreeSet<Asset> {
    setup.venues.values().flat_map(|venue| venue.instruments.values()).map(|of| setup.assets.resolve(&of.base).0).collect()
}

/// A stop loss near the entry, and a take profit far away.
fn exits() -> Exits {
    let at = |text: &str| Some(Distance::Fraction(text.parse().expect("a constant that is a fraction")));
    Exits { stop_loss: at("0.01"), take_profit: at("0.5"), ..Exits::default() }
}
