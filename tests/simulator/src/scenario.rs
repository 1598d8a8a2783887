//! What happens in one history: venues, limits and a script of actions, all from the seed.

use std::collections::BTreeMap;
use std::time::Duration;

use omnivenue_core::executor::{
    AccountSetup, AccountShare, AgentSetup, Breakers, DeploymentSetup, DriftPolicy, Limits, LossLimits, Setup, Timing,
};
use omnivenue_core::journal::{KillMode, KillScope, LossScope, OnBreach};
use omnivenue_core::model::close::{CloseRequest, CloseTarget, Part};
use omnivenue_core::model::contract::{Contract, MoneyRule};
use omnivenue_core::model::ids::{AccountId, SignalId, VenueId};
use omnivenue_core::model::instrument::{AssetMap, Side};
use omnivenue_core::model::movement::FillCause;
use omnivenue_core::model::number::{Amount, Factor, Quantity, Rate};
use omnivenue_core::model::signal::Signal;
use omnivenue_core::venue::{Absence, Resend};
use omnivenue_paper::{Config, FaultConfig, FaultKind, Funding, PriceSource, RequestKind};

use crate::Random;

/// How a venue treats repetition and absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Whether the same bytes may be sent twice.
    pub resend: Resend,
    /// How absence becomes proof.
    pub absence: Absence,
}

const WINDOW: Absence = Absence::Window { length: Duration::from_secs(4), margin: Duration::from_secs(2) };

impl Rule {
    /// Every kind of venue there is.
    pub const ALL: [Self; 6] = [
        Self { resend: Resend::Idempotent, absence: Absence::Burn },
        Self { resend: Resend::Idempotent, absence: WINDOW },
        Self { resend: Resend::Idempotent, absence: Absence::Never },
        Self { resend: Resend::AfterProof, absence: Absence::Burn },
        Self { resend: Resend::AfterProof, absence: WINDOW },
        Self { resend: Resend::AfterProof, absence: Absence::Never },
    ];
}

/// Something a person or an agent does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Sends a signal.
    Execute(Box<Signal>),
    /// Closes positions.
    Close(CloseRequest),
    /// Answers whether a signal may be carried out.
    Approve(SignalId, bool),
    /// Cancels what rests of a signal.
    Cancel(SignalId),
    /// Throws the kill switch.
    Kill(KillScope, KillMode),
    /// Lifts it.
    Resume(KillScope),
    /// From now on the journal cannot be written, until the process dies and there is room again.
    FillDisk,
    /// Something happens on an account without the engine.
    Outside(usize, AccountId, Outside),
    /// The process dies.
    Die,
}

/// What can happen on an account without the engine.
#[derive(Debug, Clone)]
pub enum Outside {
    /// Somebody trades HYPE by hand.
    Trade(Side, Quantity),
    /// Everybody who holds HYPE there pays or receives funding.
    Funding(Rate),
    /// Money comes in or goes out.
    Money(Amount),
    /// The venue closes part of a position.
    Force(Quantity, FillCause),
}

/// One history's premises.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The exchanges, with one rule each.
    pub exchanges: Vec<Config>,
    /// The configuration of the engine, without instruments.
    pub setup: Setup,
    /// What is done, and when, in milliseconds from the start.
    pub script: Vec<(u64, Action)>,
    /// Faults, per mille, of each kind.
    pub faults_per_mille: u16,
    /// Faults of the first requests of a kind, on every exchange.
    pub faults: Vec<(RequestKind, FaultKind, usize)>,
    /// At which opportunities the process dies, counted over the whole history; empty is never.
    pub crashes: Vec<u64>,
}

pub(crate) fn name<T: std::str::FromStr>(text: &str) -> T {
    text.parse().ok().expect("names in the scenario are valid")
}

impl Scenario {
    /// The premises of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let rules: Vec<Rule> = (0..2).map(|_| *random.pick(&Rule::ALL)).collect();
        let faults = *random.pick(&[0, 0, 20, 60, 150]);
        let mut scenario = Self::with(&rules, &mut random, faults);
        if random.chance(12) {
            scenario.fill_the_disk(&mut random);
        }
        // Chance of its own: what else a seed tells stays as it was.
        let mut nerves = Random::new(seed ^ 0x6e65_7276_6573);
        if nerves.chance(35) {
            scenario.be_nervous(&mut nerves);
        }
        let mut thrift = Random::new(seed ^ 0x7468_7269_6674);
        if thrift.chance(30) {
            scenario.lose_little(&mut thrift);
        }
        if random.chance(25) {
            scenario.ask(&mut random);
        }
        let crashes = random.below(4);
        scenario.crashes = (0..crashes).map(|_| 1 + random.below(120)).collect();
        scenario.crashes.sort_unstable();
        if random.chance(40) {
            scenario.let_others_act(&mut random);
        }
        let mut ways = Random::new(seed ^ 0x7761_7973);
        if ways.chance(60) {
            crate::routes::vary(&mut scenario, &mut ways);
        }
        let mut coins = Random::new(seed ^ 0x636f_696e_7321);
        if coins.chance(40) {
            scenario.trade_in_coins(&mut coins);
        }
        scenario
    }

    /// Bitcoin is traded in contracts that are not settled in dollars: inverse ones on every other exchange, quanto ones on the others.
    fn trade_in_coins(&mut self, random: &mut Random) {
        let money = MoneyRule::nearest(8);
        for (index, exchange) in self.exchanges.iter_mut().enumerate() {
            let inverse = index % 2 == 0;
            let quanto = Contract::Quanto { multiplier: name("0.001"), money };
            for spec in exchange.instruments.iter_mut().filter(|spec| spec.base.as_str() == "BTC") {
                spec.contract = if inverse { Contract::Inverse { money } } else { quanto };
                (spec.quote, spec.settle) = (name("USD"), name(if inverse { "BTC" } else { "COIN" }));
                (spec.lot_size, spec.min_quantity) = {
                    let lot = name(if inverse { "10" } else { "0.1" });
                    (lot, lot)
                };
            }
            for balances in exchange.accounts.values_mut() {
                balances.extend([(name("BTC"), name("0.25")), (name("COIN"), name("10000"))]);
            }
            if random.chance(50) {
                let every = Duration::from_millis(4_000 + random.below(9_000));
                exchange.funding.insert(name("BTC"), Funding { rate: name("0.00037"), every, series: None });
            }
        }
        self.setup.rates.extend([(name("USD"), Factor::ONE), (name("BTC"), name("40000")), (name("COIN"), Factor::ONE)]);
    }

    /// Signals of one agent wait for a person, who answers most of them: in time or too late, yes or no.
    fn ask(&mut self, random: &mut Random) {
        let deployment = self.setup.deployments.get_mut(&name("two")).expect("the scenario has it");
        deployment.approval = Some(Duration::from_millis(500 + random.below(8_000)));
        let signal =
            |(at, action): &(u64, Action)| if let Action::Execute(signal) = action { Some((*at, signal.id.clone())) } else { None };
        let signals: Vec<(u64, SignalId)> = self.script.iter().filter_map(signal).collect();
        for (at, id) in signals {
            let answer = random.chance(80);
            if random.chance(80) {
                self.script.push((at + random.below(6_000), Action::Approve(id, answer)));
            }
        }
        self.script.sort_by_key(|(at, _)| *at);
    }

    /// Others act on the same accounts, each of which has a policy of its own for that; some exchanges pay funding.
    fn let_others_act(&mut self, random: &mut Random) {
        for account in self.setup.accounts.values_mut() {
            account.drift = *random.pick(&[DriftPolicy::HaltEntries, DriftPolicy::Adopt, DriftPolicy::Flatten]);
        }
        for exchange in &mut self.exchanges {
            if random.chance(30) {
                let every = Duration::from_millis(4_000 + random.below(9_000));
                exchange.funding.insert(name("HYPE"), Funding { rate: name("0.00037"), every, series: None });
            }
        }
        let last = self.script.last().map_or(0, |(at, _)| *at);
        for _ in 0..(1 + random.below(5)) {
            let index = usize::try_from(random.below(self.exchanges.len() as u64)).unwrap_or(0);
            let accounts: Vec<AccountId> = self.exchanges[index].accounts.keys().cloned().collect();
            let quantity = name(&format!("{}.{:02}", random.below(30), 1 + random.below(99)));
            let outside = match random.below(8) {
                0..=3 => Outside::Trade(if random.chance(50) { Side::Buy } else { Side::Sell }, quantity),
                4 => Outside::Funding(name(random.pick::<&str>(&RATES))),
                5 | 6 => Outside::Money(name(random.pick::<&str>(&SUMS))),
                _ => Outside::Force(quantity, *random.pick(&[FillCause::Liquidation, FillCause::Deleveraging])),
            };
            let at = random.below(last + 10_000);
            self.script.push((at, Action::Outside(index, random.pick(accounts.as_slice()).clone(), outside)));
        }
        self.script.sort_by_key(|(at, _)| *at);
    }

    /// The disk fills up while positions are open; a person closes everything; the process dies, and there is room again.
    fn fill_the_disk(&mut self, random: &mut Random) {
        let mut at = self.script.last().map_or(0, |(at, _)| *at) / 2 + random.below(2_000);
        self.script.push((at, Action::FillDisk));
        at += 500 + random.below(1_000);
        self.script.push((at, Action::Close(CloseRequest::new(name("in-an-emergency"), CloseTarget::All))));
        at += 2_000 + random.below(8_000);
        self.script.push((at, Action::Die));
        self.script.sort_by_key(|(at, _)| *at);
    }

    /// Losses are limited so closely that fees and a few steps of the price are too much, now and then with a night in between.
    fn lose_little(&mut self, random: &mut Random) {
        let scopes = [
            LossScope::Global,
            LossScope::Agent(name("one")),
            LossScope::Deployment(name("two")),
            LossScope::Account(self.setup.accounts.keys().next().expect("there are accounts").clone()),
        ];
        for scope in scopes {
            let bounds = ["1", "3", "8", "0.01%", "0.2%"];
            let daily = random.chance(60).then(|| name(random.pick::<&str>(&bounds)));
            let drawdown = random.chance(40).then(|| name(random.pick::<&str>(&bounds)));
            let on_breach = *random.pick(&[OnBreach::HaltEntries, OnBreach::Flatten, OnBreach::StopAgent]);
            let limits = LossLimits { max_daily_loss: daily, max_drawdown: drawdown, on_breach };
            if !limits.is_empty() {
                self.setup.losses.insert(scope, limits);
            }
        }
        let last = self.script.last().map_or(0, |(at, _)| *at);
        for scope in [KillScope::Agent(name("one")), KillScope::Agent(name("two")), KillScope::All] {
            if random.chance(30) {
                self.script.push((random.below(last + 5_000), Action::Resume(scope)));
            }
        }
        self.script.sort_by_key(|(at, _)| *at);
    }

    /// Circuit breakers that open at the slightest, and often a paper account that stands in.
    fn be_nervous(&mut self, random: &mut Random) {
        self.setup.breakers = Breakers {
            window: Duration::from_secs(10),
            errors_high: 1 + u32::from(random.chance(50)),
            errors_critical: 2 + u32::from(random.chance(50)),
            latency_high: Duration::from_millis(40 + random.below(200)),
            stale_high: Duration::from_secs(2),
            unknown_high: Duration::from_secs(1 + random.below(4)),
            cool_down: Duration::from_secs(1 + random.below(6)),
        };
        if random.chance(70) {
            let rule = *random.pick(&Rule::ALL);
            let paper = exchange(self.exchanges.len(), rule, random, self.faults_per_mille);
            let account = paper.accounts.keys().next().expect("an exchange has accounts").clone();
            for id in paper.accounts.keys() {
                let limits = Limits { max_notional: Some(name("4000")), ..Limits::default() };
                let setup = AccountSetup { venue: paper.id.clone(), market: None, limits, drift: Default::default() };
                self.setup.accounts.insert(id.clone(), setup);
            }
            let shares = self.setup.deployments.values_mut().flat_map(|deployment| &mut deployment.accounts);
            shares.for_each(|share| share.fallback = Some(account.clone()));
            self.exchanges.push(paper);
        }
    }

    /// The same small story on two venues of one rule, with one fault: two signals, a repetition, a close.
    #[must_use]
    pub fn small(rule: Rule, fault: Option<(RequestKind, FaultKind, usize)>) -> Self {
        let mut scenario = Self::with(&[rule, rule], &mut Random::new(7), 0);
        for exchange in &mut scenario.exchanges {
            exchange.latency = Default::default();
            exchange.latency.request = Duration::from_millis(10);
            exchange.depth = None;
        }
        let signal = |id: &str, agent: &str| {
            let text = format!(r#"{{"id":"{id}","agent":"{agent}","asset":"HYPE","direction":"long","sizing":{{"notional":"100"}}}}"#);
            Action::Execute(Box::new(Signal::from_json(&text).expect("the scenario writes valid signals")))
        };
        scenario.script = vec![
            (0, signal("s0", "one")),
            (100, signal("s0", "one")),
            (200, signal("s1", "two")),
            (3_000, Action::Close(CloseRequest::new(name("c0"), CloseTarget::Signal(name("s0"))))),
        ];
        scenario.faults = fault.into_iter().collect();
        scenario
    }

    /// A small story of groups, in which the second venue trades less than is asked: one that needs every leg, and one that does not.
    #[must_use]
    pub fn group(rule: Rule, fault: Option<(RequestKind, FaultKind, usize)>) -> Self {
        let mut scenario = Self::small(rule, fault);
        scenario.exchanges[1].depth = Some(name("60"));
        let signal = |id: &str, agent: &str, policy: &str| {
            let text = format!(
                r#"{{"id":"{id}","agent":"{agent}","asset":"HYPE","direction":"long","sizing":{{"notional":"100"}},"leg_policy":{policy}}}"#
            );
            Action::Execute(Box::new(Signal::from_json(&text).expect("the scenario writes valid signals")))
        };
        scenario.script = vec![
            (0, signal("s0", "one", r#""all_or_none""#)),
            (150, signal("s1", "two", r#"{"at_least":1}"#)),
            (300, signal("s0", "one", r#""all_or_none""#)),
        ];
        scenario
    }

    /// A scenario on venues of these rules.
    #[must_use]
    pub fn with(rules: &[Rule], random: &mut Random, faults_per_mille: u16) -> Self {
        let exchanges: Vec<Config> =
            rules.iter().enumerate().map(|(index, rule)| exchange(index, *rule, random, faults_per_mille)).collect();
        let timing = Timing {
            leg_deadline: Duration::from_secs(2),
            reconcile_every: Duration::from_secs(5),
            protection_deadline: Duration::from_secs(2),
            stop_move_every: Duration::from_millis(500),
            ..Timing::default()
        };
        let account_limits = Limits { max_notional: Some(name("4000")), ..Limits::default() };
        let accounts: BTreeMap<AccountId, AccountSetup> = exchanges
            .iter()
            .flat_map(|exchange| {
                exchange.accounts.keys().map(|account| {
                    (
                        account.clone(),
                        AccountSetup { venue: exchange.id.clone(), market: None, limits: account_limits, drift: Default::default() },
                    )
                })
            })
            .collect();
        let shares: Vec<AccountShare> = accounts
            .keys()
            .map(|account| AccountShare { account: account.clone(), allocation: Some(name("3000")), fallback: None })
            .collect();
        // Now and then each account is one agent's alone.
        let apart = shares.len() > 1 && random.chance(40);
        let of = |agent: &str| -> Vec<AccountShare> {
            let mine = |index: usize| !apart || index.is_multiple_of(2) == (agent == "one");
            shares.iter().enumerate().filter(|(index, _)| mine(*index)).map(|(_, share)| share.clone()).collect()
        };
        let deployment = |agent: &str| DeploymentSetup {
            agent: name(agent),
            accounts: of(agent),
            limits: Limits {
                max_order_notional: Some(name("1500")),
                max_asset_notional: Some(name("2500")),
                max_notional: Some(name("5000")),
                ..Limits::default()
            },
            stops: Default::default(),
            approval: None,
            scale: Factor::ONE,
        };
        let setup = Setup {
            venues: BTreeMap::new(),
            accounts,
            agents: ["one", "two"].iter().map(|agent| (name(agent), AgentSetup::default())).collect(),
            deployments: ["one", "two"].iter().map(|agent| (name(agent), deployment(agent))).collect(),
            limits: Limits { max_notional: Some(name("8000")), ..Limits::default() },
            rates: BTreeMap::from([(name("USDC"), Factor::ONE)]),
            assets: AssetMap::default(),
            timing,
            breakers: Default::default(),
            losses: Default::default(),
            depeg: Default::default(),
        };
        let script = script(random);
        Self { exchanges, setup, script, faults_per_mille, faults: Vec::new(), crashes: Vec::new() }
    }
}

pub(crate) fn exchange(index: usize, rule: Rule, random: &mut Random, faults_per_mille: u16) -> Config {
    let mut config = Config::hyperliquid_like();
    let id: VenueId = name(&format!("venue{index}"));
    config.instruments.retain(|spec| ["HYPE", "BTC"].contains(&spec.base.as_str()));
    for spec in &mut config.instruments {
        spec.venue = id.clone();
    }
    let fixed = random.chance(30);
    config.prices = config
        .instruments
        .iter()
        .map(|spec| {
            let start = name(if spec.base.as_str() == "HYPE" { "38" } else { "40000" });
            let walk = PriceSource::Walk { seed: random.next(), start, step: name("0.0005"), every: Duration::from_millis(500) };
            (spec.symbol.clone(), if fixed { PriceSource::Fixed { price: start } } else { walk })
        })
        .collect();
    config.orders.resend = rule.resend;
    config.orders.absence = rule.absence;
    config.orders.reduce_only = random.chance(50);
    config.depth = random.chance(30).then(|| name("400"));
    config.id = id;
    let count = 1 + random.below(2);
    config.accounts =
        (0..count).map(|account| (name(&format!("account{index}{account}")), BTreeMap::from([(name("USDC"), name("10000"))]))).collect();
    config.latency.request = Duration::from_millis(random.below(30));
    config.latency.answer = Duration::from_millis(random.below(30));
    config.latency.jitter = Duration::from_millis(random.below(60));
    config.faults = FaultConfig::all(random.next(), faults_per_mille);
    config
}

fn script(random: &mut Random) -> Vec<(u64, Action)> {
    let mut script = Vec::new();
    let mut at = 0;
    let mut ids: Vec<String> = Vec::new();
    for index in 0..(3 + random.below(8)) {
        at += random.below(1_500);
        let roll = random.below(100);
        let action = if roll < 68 || ids.is_empty() {
            let id = format!("s{index}");
            ids.push(id.clone());
            Action::Execute(Box::new(signal(&id, random)))
        } else if roll < 78 {
            // The same signal again: as it was, so that nothing new may come of it.
            let earlier = script
                .iter()
                .filter_map(|(_, action)| if let Action::Execute(signal) = action { Some(signal.clone()) } else { None })
                .next();
            Action::Execute(earlier.expect("a signal was sent before"))
        } else if roll < 82 {
            Action::Cancel(name(random.pick(ids.as_slice()).as_str()))
        } else if roll < 92 {
            Action::Close(close(&format!("c{index}"), random.pick(ids.as_slice()).as_str(), random))
        } else if roll < 96 {
            Action::Kill(kill_scope(random), *random.pick(&[KillMode::Pause, KillMode::Cancel, KillMode::Flatten]))
        } else {
            Action::Resume(KillScope::All)
        };
        script.push((at, action));
    }
    script
}

/// Funding that an exchange pays all of a sudden.
const RATES: [&str; 2] = ["0.0001", "-0.00025"];
/// Money that comes and goes.
const SUMS: [&str; 2] = ["250.55", "-1200.07"];

/// Close enough to the entry that prices reach them within a history.
const EXITS: [&str; 8] = [
    r#"{"stop_loss":{"fraction":"0.002"}}"#,
    r#"{"stop_loss":{"fraction":"0.001"},"take_profit":{"fraction":"0.002"}}"#,
    r#"{"stop_loss":{"fraction":"0.01"},"take_profit":{"fraction":"0.001"}}"#,
    r#"{"stop_loss":{"roe":"0.005"},"trailing":{"fraction":"0.002","activation":"0.001"}}"#,
    r#"{"trailing":{"fraction":"0.001"}}"#,
    r#"{"stop_loss":{"fraction":"0.05"},"time_limit":"15s"}"#,
    r#"{"take_profit":{"fraction":"0.001"},"time_limit":"30s"}"#,
    r#"{"stop_loss":{"fraction":"0.2"},"take_profit":{"fraction":"0.2"}}"#,
];

/// A wish to close: all of something, or a part of it.
fn close(id: &str, signal: &str, random: &mut Random) -> CloseRequest {
    let target = match random.below(8) {
        0..3 => CloseTarget::All,
        3..6 => CloseTarget::Signal(name(signal)),
        6 => CloseTarget::Agent(name("one")),
        _ => CloseTarget::Asset(name("HYPE")),
    };
    let fraction = *random.pick(&["0.001", "0.25", "0.5", "0.99", "1"]);
    let quantity = *random.pick(&["0.005", "1.234", "20"]);
    let part = match random.below(4) {
        0 => Some(Part::Fraction(name(fraction))),
        1 => Some(Part::Quantity(name(quantity))),
        _ => None,
    };
    CloseRequest { part, ..CloseRequest::new(name(id), target) }
}

fn kill_scope(random: &mut Random) -> KillScope {
    match random.below(5) {
        0 => KillScope::All,
        1 => KillScope::Agent(name("one")),
        2 => KillScope::Account(name("account00")),
        3 => KillScope::Venue(name("venue1")),
        _ => KillScope::Asset(name("HYPE")),
    }
}

fn signal(id: &str, random: &mut Random) -> Signal {
    let agent = *random.pick(&["one", "two"]);
    let asset = *random.pick(&["HYPE", "BTC", "HYPE"]);
    let direction = if random.chance(75) { "long" } else { "short" };
    let notional = 50 + random.below(1_600);
    let order = match random.below(10) {
        0 => r#"{"type":"limit","price":"37.9","time_in_force":"gtc"}"#,
        1 => r#"{"type":"limit","price":"38.5","time_in_force":"ioc"}"#,
        _ => r#"{"type":"market"}"#,
    };
    let order = if asset == "BTC" { r#"{"type":"market"}"# } else { order };
    let routing = if random.chance(20) { "first" } else { "all" };
    let leverage = *random.pick(&["1", "2", "5"]);
    let valid_for = *random.pick(&["2s", "10s", "60s"]);
    let exits = if random.chance(60) { format!(r#""exits":{},"#, random.pick(&EXITS)) } else { String::new() };
    let groups = routing == "all" && !order.contains("gtc") && random.chance(25);
    let policy = if groups { *random.pick(&[r#""all_or_none""#, r#"{"at_least":1}"#, r#"{"at_least":2}"#]) } else { r#""best_effort""# };
    let text = format!(
        r#"{{"id":"{id}","agent":"{agent}","asset":"{asset}","direction":"{direction}","sizing":{{"notional":"{notional}"}},"leverage":"{leverage}","order":{order},{exits}"routing":"{routing}","leg_policy":{policy},"valid_for":"{valid_for}"}}"#
    );
    Signal::from_json(&text).expect("the scenario writes valid signals")
}
