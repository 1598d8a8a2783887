//! The simulated exchange, in every kind of identity that there is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::model::ids::{AccountId, VenueSymbol};
use omnivenue_core::model::instrument::{Instrument, InstrumentSpec, Market, Rounding};
use omnivenue_core::model::number::{Price, SignedQuantity};
use omnivenue_core::venue::{Absence, Account, OrderCapabilities, Quote, Resend, Venue};
use omnivenue_paper::{AccountTruth, Config, FaultConfig, FaultKind, Latency, PaperExchange, PriceSource, RequestKind};
use rust_decimal::Decimal;

use crate::clock;
use crate::subject::{Fault, Subject, TrueOrder, Truth, World};

/// The latest of whatever is late.
const LATE_MAX: Duration = Duration::from_millis(800);
/// How long a request may travel where requests have a window, and what is added before its absence is proved. A machine that is busy must
/// not make orders late.
const WINDOW: Absence = Absence::Window { length: Duration::from_secs(3), margin: Duration::from_millis(500) };

/// One kind of simulated exchange.
#[derive(Debug, Clone)]
pub struct Paper {
    name: String,
    config: Config,
}

fn constant<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("the constants of this file are valid")
}

impl Paper {
    /// An exchange like a preset, calm, with two accounts. Where it has a window, a shorter one.
    #[must_use]
    pub fn like(mut config: Config) -> Self {
        if matches!(config.orders.absence, Absence::Window { .. }) {
            config.orders.absence = WINDOW;
        }
        for spec in &config.instruments {
            let price = if is_traded(spec) { PriceSource::Live { holds_for: Duration::from_secs(86_400) } } else { still(spec) };
            config.prices.insert(spec.symbol.clone(), price);
        }
        let millisecond = Duration::from_millis(1);
        config.latency = Latency { request: millisecond, answer: millisecond, jitter: millisecond };
        config.faults = FaultConfig {
            late_commit_max: LATE_MAX,
            late_fill_max: LATE_MAX,
            silence_for: LATE_MAX,
            false_not_found_max: 100,
            ..FaultConfig::default()
        };
        let config = ["main", "sub"]
            .into_iter()
            .fold(config, |config, name| config.with_account(&constant(name), constant("USDC"), constant("10000")));
        Self { name: format!("paper {}", config.id), config }
    }

    /// An exchange of perpetuals with these rules of identity.
    #[must_use]
    pub fn of_kind(resend: Resend, absence: Absence) -> Self {
        let preset = match resend {
            Resend::Idempotent => Config::hyperliquid_like(),
            Resend::AfterProof => Config::ostium_like(),
        };
        let orders = OrderCapabilities { resend, absence, ..preset.orders.clone() };
        let subject = Self::like(Config { orders, ..preset });
        let absence = match absence {
            Absence::Burn => "burn",
            Absence::Window { .. } => "window",
            Absence::Never => "never",
        };
        let resend = if resend == Resend::Idempotent { "idempotent" } else { "after_proof" };
        Self { name: format!("paper {resend} {absence}"), ..subject }
    }

    /// The six kinds of identity there are: two of resending, three of absence.
    #[must_use]
    pub fn kinds() -> Vec<Self> {
        let absences = [Absence::Burn, WINDOW, Absence::Never];
        let of = |resend| absences.into_iter().map(move |absence| Self::of_kind(resend, absence));
        of(Resend::Idempotent).chain(of(Resend::AfterProof)).collect()
    }
}

/// The exchange with two accounts, hardly any latency, and lateness within bounds.
pub(super) fn calm(mut config: Config) -> Config {
    let millisecond = Duration::from_millis(1);
    config.latency = Latency { request: millisecond, answer: millisecond, jitter: millisecond };
    config.faults = FaultConfig {
        late_commit_max: LATE_MAX,
        late_fill_max: LATE_MAX,
        silence_for: LATE_MAX,
        false_not_found_max: 100,
        ..FaultConfig::default()
    };
    ["main", "sub"].into_iter().fold(config, |config, name| config.with_account(&constant(name), constant("USDC"), constant("10000")))
}

fn is_traded(spec: &InstrumentSpec) -> bool {
    spec.base.as_str() == "HYPE"
}

/// A price that stands still, within what the instrument allows.
fn still(spec: &InstrumentSpec) -> PriceSource {
    PriceSource::Fixed { price: spec.max_price.min(constant("100")) }
}

#[async_trait]
impl Subject for Paper {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn open(&self) -> Result<Box<dyn World>, String> {
        let exchange = PaperExchange::open(self.config.clone(), None).map_err(|error| error.to_string())?;
        let world = PaperWorld::new(exchange)?;
        world.set_price(constant("38")).await?;
        Ok(Box::new(world))
    }
}

/// The simulated exchange on quotes that it is given by hand.
pub(super) struct PaperWorld {
    exchange: PaperExchange,
    venue: Arc<dyn Venue>,
    accounts: Vec<Arc<dyn Account>>,
    stranger: Arc<dyn Account>,
    symbol: VenueSymbol,
    instrument: Instrument,
}

impl PaperWorld {
    pub(super) fn new(exchange: PaperExchange) -> Result<Self, String> {
        let config = exchange.config();
        let spec = config.instruments.iter().find(|spec| is_traded(spec)).ok_or("an instrument of HYPE")?;
        Ok(Self {
            venue: exchange.venue(),
            accounts: config.accounts.keys().map(|id| exchange.account(id)).collect(),
            stranger: exchange.account(&constant("stranger")),
            symbol: spec.symbol.clone(),
            instrument: Instrument::new(spec.clone()).map_err(|error| error.to_string())?,
            exchange,
        })
    }
}

const STOPPED: &str = "the exchange still runs";

#[async_trait]
impl World for PaperWorld {
    fn venue(&self) -> &Arc<dyn Venue> {
        &self.venue
    }

    fn accounts(&self) -> &[Arc<dyn Account>] {
        &self.accounts
    }

    async fn restarted(&self) -> Result<Arc<dyn Account>, String> {
        self.accounts.first().map(|first| self.exchange.account(first.id())).ok_or_else(|| "an account".into())
    }

    fn stranger(&self) -> &Arc<dyn Account> {
        &self.stranger
    }

    fn symbol(&self) -> &VenueSymbol {
        &self.symbol
    }

    async fn set_price(&self, price: Price) -> Result<(), String> {
        let higher = price.decimal().checked_mul(Decimal::new(1001, 3)).and_then(|higher| Price::new(higher).ok());
        let ask = higher.and_then(|higher| self.instrument.price_rule.round(higher, Rounding::Up)).ok_or("a price above it")?;
        let quote = Quote { symbol: self.symbol.clone(), bid: price, ask, at: clock::now(), depth: Default::default() };
        self.exchange.with(move |server| server.give_quotes(quote.at, [quote])).ok_or_else(|| STOPPED.into())
    }

    async fn strike(&self, fault: Fault) -> Result<(), String> {
        let (request, kind) = match fault {
            Fault::LostBefore => (RequestKind::Place, FaultKind::CutBefore),
            Fault::LostAfter | Fault::ServerFailure => (RequestKind::Place, FaultKind::CutAfter),
            Fault::LateCommit => (RequestKind::Place, FaultKind::LateCommit),
            // Its answer never comes, and nor does what the stream would tell meanwhile.
            Fault::Silence | Fault::Missing => (RequestKind::Place, FaultKind::Silence),
            Fault::NotLookedAt => (RequestKind::Place, FaultKind::Refuse),
            Fault::CancelLostAfter => (RequestKind::Cancel, FaultKind::CutAfter),
            Fault::FalseNotFound => (RequestKind::Order, FaultKind::FalseNotFound),
            Fault::Duplicate => (RequestKind::Update, FaultKind::DuplicateFill),
            Fault::Late => (RequestKind::Place, FaultKind::LateFill),
        };
        self.exchange.with(move |server| server.script(request, kind, 1)).ok_or_else(|| STOPPED.into())
    }

    async fn cut_streams(&self) -> Result<(), String> {
        if self.exchange.cut_streams() { Ok(()) } else { Err(STOPPED.into()) }
    }

    async fn die(&self) {
        self.exchange.stop();
    }

    async fn truth(&self, account: &AccountId) -> Result<Truth, String> {
        let mut truth = self.exchange.with(|server| server.truth()).ok_or(STOPPED)?;
        let held = truth.accounts.remove(account).ok_or_else(|| format!("an account {account}"))?;
        Ok(told(held, &self.instrument))
    }

    fn lateness(&self) -> Duration {
        LATE_MAX
    }

    fn money_decimals(&self) -> Option<u32> {
        None
    }

    fn secrets(&self) -> Vec<String> {
        // It has none: whoever has a link to it trades.
        Vec::new()
    }
}

/// The exchange's books in the words of the suite.
fn told(held: AccountTruth, spec: &InstrumentSpec) -> Truth {
    let positions: BTreeMap<VenueSymbol, SignedQuantity> = match spec.market {
        Market::Perp | Market::Future => held.positions.iter().map(|(symbol, position)| (symbol.clone(), position.quantity)).collect(),
        Market::Spot => {
            let holding = SignedQuantity::new(held.balance(&spec.base).decimal()).unwrap_or_default();
            BTreeMap::from([(spec.symbol.clone(), holding)])
        }
    };
    let order = |order: &omnivenue_paper::Order| TrueOrder {
        client_order_id: order.client_order_id().clone(),
        venue_order_id: order.venue_order_id(),
        price: order.bound(),
        status: order.status,
        filled: order.filled,
    };
    Truth {
        orders: held.orders.iter().map(order).collect(),
        fills: held.fills,
        positions: positions.into_iter().filter(|(_, quantity)| !quantity.is_zero()).collect(),
        deposits: held.deposits,
        balances: held.balances,
    }
}
