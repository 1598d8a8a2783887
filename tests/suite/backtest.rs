//! Agents over recorded candles in virtual time: two agents on one account add up to the exchange's own books, one seed gives the same
//! bytes, nobody knows the future, and the command does the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use omnivenue::agent::{Agent, AgentInput, Context, Factory, Subscription};
use omnivenue::agents::Strategy;
use omnivenue::agents::momentum::MomentumConfig;
use omnivenue::backtest::{Plan, Report, Series, add_file, plan};
use omnivenue::config::Config;
use omnivenue::model::number::Amount;
use omnivenue::model::signal::Signal;
use omnivenue::paper::CandleRow;
use serde_json::json;

use crate::candles::{btc, data, minutes, write_gz};
use crate::support::{Home, contains, eventually};

/// Two agents on one account: a conservative one with 3 positions of 8 % and a confidence of 0.70, an aggressive one with 5 of 12 % and 0.60.
const TWO: &str = r#"
    [[account]]
    id = "paper"
    venue = "hyperliquid"
    [account.paper]
    balance = "20000"

    [[agent]]
    id = "conservative"
    strategy = { name = "momentum", asset = "BTC", timeframe = "15m", equity_fraction = "0.08", leverage = "5", max_positions = 3 }
    [[agent]]
    id = "aggressive"
    strategy = { name = "momentum", asset = "BTC", timeframe = "5m", threshold = "0.01", equity_fraction = "0.12", leverage = "5", max_positions = 5 }

    [[deployment]]
    id = "conservative"
    agent = "conservative"
    accounts = [{ account = "paper", allocation = "10000" }]
    limits = { min_confidence = "0.70", max_open_positions = 3 }
    [[deployment]]
    id = "aggressive"
    agent = "aggressive"
    accounts = [{ account = "paper", allocation = "10000" }]
    limits = { min_confidence = "0.60", max_open_positions = 5 }
    [risk]
    rates = { USDC = "1" }
"#;

fn config(text: &str) -> Config {
    Config::from_toml(text, "a test", Path::new("/nowhere")).unwrap_or_else(|error| panic!("{error}"))
}

fn sum(all: impl IntoIterator<Item = Amount>) -> Amount {
    all.into_iter().try_fold(Amount::ZERO, Amount::plus).unwrap()
}

/// What must hold between agents, the whole and the exchange, to the last digit.
fn adds_up(report: &Report) {
    let [combined] = report.combined.as_slice() else { panic!("{report:?}") };
    let of = |what: fn(&omnivenue::backtest::AgentResult) -> Amount| sum(report.agents.iter().map(what));
    assert_eq!(combined.realized_pnl, of(|agent| agent.realized_pnl));
    assert_eq!(combined.unrealized_pnl, of(|agent| agent.unrealized_pnl));
    assert_eq!(combined.fees, of(|agent| agent.fees));
    assert_eq!(combined.funding, of(|agent| agent.funding));
    assert_eq!(combined.pnl, of(|agent| agent.pnl));
    for agent in &report.agents {
        let pnl = agent.realized_pnl.plus(agent.unrealized_pnl).unwrap().minus(agent.fees).unwrap().plus(agent.funding).unwrap();
        assert_eq!((agent.pnl, agent.equity), (pnl, agent.capital.map(|capital| capital.plus(pnl).unwrap())));
    }
    assert_eq!(report.venues.len(), 1);
    for venue in &report.venues {
        assert_eq!(venue.difference, Amount::ZERO, "the exchange's own books say otherwise: {report:#?}");
        assert_eq!(venue.equity, combined.equity);
        // What is realized, less fees, is in the exchange's balance; what is open is not.
        if report.agents.iter().all(|agent| agent.open == 0) {
            let booked = combined.realized_pnl.minus(combined.fees).unwrap().plus(combined.funding).unwrap();
            assert_eq!(venue.balance, venue.deposited.plus(booked).unwrap());
        }
    }
    assert!(report.agrees());
}

#[test]
fn two_agents_on_one_account_add_up_to_the_exchanges_own_books() {
    let folder = tempfile::tempdir().unwrap();
    // Made ones must move as far as recorded ones do in a rough month, or nobody would trade.
    let file = if data().is_some() { btc(folder.path()) } else { made(folder.path(), 45_031, 12_000) };
    println!("over {} candles: {}", if data().is_some() { "recorded" } else { "made" }, file.display());
    let mut plan = plan(&config(TWO)).unwrap();
    add_file(&mut plan, "BTC".parse().unwrap(), &file).unwrap();
    let report = plan.run().unwrap();
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    adds_up(&report);
    assert_eq!(report.series[0].candles, 45_031);
    for agent in &report.agents {
        assert!(agent.fills > 0 && agent.trades > 0, "{agent:?}");
        assert_eq!((agent.restarts, agent.missed, agent.failed.as_deref()), (0, 0, None));
    }
    assert_eq!(report.breakers, []);
}

/// Candles that move far, made from a seed.
fn wild(folder: &Path, count: usize) -> std::path::PathBuf {
    made(folder, count, 30_000)
}

fn made(folder: &Path, count: usize, change: u64) -> std::path::PathBuf {
    let path = folder.join("wild.csv.gz");
    write_gz(&path, &minutes(7, count, 4_631_900, change));
    path
}

#[test]
fn one_seed_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let file = wild(folder.path(), 1_500);
    // Slow and faulty as well: chance is the seed's.
    let faults = r#"latency = "80ms"
    faults = { seed = 3, delay = 50, cut_after = 20, duplicate_fill = 100 }"#;
    let text = TWO.replace(r#"balance = "20000""#, &format!("balance = \"20000\"\n    {faults}")).replace("15m", "1m");
    let run = |seed: u64| {
        let mut plan = plan(&config(&text)).unwrap();
        plan.seed = seed;
        add_file(&mut plan, "BTC".parse().unwrap(), &file).unwrap();
        plan.run().unwrap()
    };
    let first = run(1);
    adds_up(&first);
    assert!(first.agents.iter().any(|agent| agent.fills > 0), "{first:?}");
    assert_eq!(first, run(1));
    assert_ne!(first.journal, run(2).journal, "another seed is another chance");
}

/// An agent that is a closure.
struct Each<F>(F);

impl<F: FnMut(&AgentInput, &mut Context<'_>) + Send> Agent for Each<F> {
    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::candles("BTC".parse().unwrap(), "1m".parse().unwrap()), Subscription::quotes("BTC".parse().unwrap())]
    }
    fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>) {
        (self.0)(input, context);
    }
}

fn each(handle: impl Fn(&AgentInput, &mut Context<'_>) + Send + Sync + 'static) -> Factory {
    let handle = Arc::new(handle);
    Box::new(move || {
        let handle = Arc::clone(&handle);
        Box::new(Each(move |input: &AgentInput, context: &mut Context<'_>| handle(input, context)))
    })
}

fn rows(closes: &'static [i64]) -> Series {
    let price = |whole: i64| whole.to_string().parse().unwrap();
    let row = move |(index, close): (usize, &i64)| {
        let open = if index == 0 { *close } else { closes[index - 1] + 10 };
        let (low, high) = (open.min(*close) - 5, open.max(*close) + 5);
        let open_time_ms = 1_640_995_200_000 + 60_000 * i64::try_from(index).unwrap();
        Ok(CandleRow { line: 0, open_time_ms, open: price(open), high: price(high), low: price(low), close: price(*close), volume: None })
    };
    Series::rows("BTC".parse().unwrap(), closes.iter().enumerate().map(row)).unwrap()
}

fn one(handle: impl Fn(&AgentInput, &mut Context<'_>) + Send + Sync + 'static, series: Series) -> Plan {
    let text = TWO.lines().filter(|line| !line.contains("strategy")).collect::<Vec<_>>().join("\n");
    let mut plan = plan(&config(&text)).unwrap();
    plan.agents.push(("aggressive".parse().unwrap(), each(handle)));
    plan.series.push(series);
    plan
}

fn buy(trigger: &str, context: &mut Context<'_>) {
    let made = context.emit(trigger, |id, agent| {
        let text = format!(
            r#"{{"id":"{id}","agent":"{agent}","asset":"BTC","direction":"long","confidence":"1","sizing":{{"notional":"1000"}}}}"#
        );
        Signal::from_json(&text).unwrap()
    });
    made.unwrap();
}

#[test]
fn nobody_knows_the_future_and_a_signal_of_a_close_fills_at_the_next_open() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    let agent = move |input: &AgentInput, context: &mut Context<'_>| {
        let line = match input {
            AgentInput::Started { .. } => format!("{} started", context.now()),
            AgentInput::Candle(candle) => {
                assert_eq!(context.now(), candle.close_time());
                if candle.close == "40200".parse().unwrap() {
                    buy(&candle.trigger(), context);
                }
                format!("{} candle {}", context.now(), candle.close)
            }
            AgentInput::Quote { quote, .. } => format!("{} price {}", context.now(), quote.middle()),
            AgentInput::Fill(fill) => format!("fill {} at {}", fill.price, fill.at),
            _ => return,
        };
        log.lock().unwrap().push(line);
    };
    let mut plan = one(agent, rows(&[40_000, 40_100, 40_200, 40_500]));
    plan.exchanges[0].spread = "0".parse().unwrap();
    plan.exchanges[0].slippage = "0".parse().unwrap();
    adds_up(&plan.run().unwrap());
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], "2022-01-01T00:00:00Z started");
    // The candle is over before the next one's first price; the order that it causes fills at that one.
    let at = seen.iter().position(|line| line == "2022-01-01T00:03:00Z candle 40200").expect("it is told");
    assert_eq!(seen[at + 1], "2022-01-01T00:03:00Z price 40210");
    assert!(seen[at + 2].starts_with("fill 40210 at 2022-01-01T00:03:00."), "{seen:#?}");
}

#[test]
fn an_agent_that_panics_in_a_backtest_is_restarted_with_its_checkpoint_as_live() {
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&seen);
    let agent = move |input: &AgentInput, context: &mut Context<'_>| match input {
        AgentInput::Started { checkpoint, restarts, positions } => {
            log.lock().unwrap().push(format!("{restarts} {} {}", checkpoint.clone().unwrap_or_default(), positions.len()));
        }
        AgentInput::Candle(candle) => {
            buy(&candle.trigger(), context);
            context.checkpoint(candle.open_time.as_millis().into()).unwrap();
        }
        AgentInput::Missed { inputs } => log.lock().unwrap().push(format!("missed {inputs}")),
        AgentInput::Fill(_) => panic!("a bug in a strategy"),
        _ => {}
    };
    let report = one(agent, rows(&[40_000, 40_100, 40_200, 40_500, 40_400])).run().unwrap();
    adds_up(&report);
    let result = report.agents.iter().find(|result| result.agent.as_str() == "aggressive").unwrap();
    // Four of the five candles have a price after them; the last one's signal is not carried out.
    assert_eq!((result.restarts, result.fills, result.open, result.failed.as_deref()), (4, 4, 1, None));
    let seen = seen.lock().unwrap();
    assert_eq!(seen[0], "0 null 0");
    let missed: Vec<&String> = seen.iter().filter(|line| line.starts_with("missed")).collect();
    assert_eq!(missed.len(), 4, "{seen:?}");
    assert!(seen.contains(&"1 1640995200000 1".to_owned()), "{seen:?}");
}

#[test]
fn what_cannot_be_run_is_refused_with_what_fits() {
    let folder = tempfile::tempdir().unwrap();
    let file = wild(folder.path(), 100);
    let run = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan(&config(TWO)).unwrap();
        change(&mut plan);
        plan.run().unwrap_err().to_string()
    };
    let add = |plan: &mut Plan, asset: &str| add_file(plan, asset.parse().unwrap(), &file).unwrap();
    contains(&run(&|_| {}), &["no candles"]);
    contains(&run(&|plan| add(plan, "DOGE")), &["candles of DOGE", "no simulated exchange"]);
    contains(&run(&|plan| (0..2).for_each(|_| add(plan, "BTC"))), &["BTC", "twice"]);
    contains(
        &run(&|plan| {
            add(plan, "BTC");
            plan.from = Some("2023-01-01T00:00:00Z".parse().unwrap());
        }),
        &["wild.csv.gz", "no candles", "from 2023-01-01T00:00:00Z"],
    );
    let mut overlap = plan(&config(TWO)).unwrap();
    let row = |minute: i64| CandleRow {
        line: 0,
        open_time_ms: 1_640_995_200_000 + minute,
        open: "1".parse().unwrap(),
        high: "1".parse().unwrap(),
        low: "1".parse().unwrap(),
        close: "1".parse().unwrap(),
        volume: None,
    };
    overlap.series.push(Series::rows("BTC".parse().unwrap(), [0, 60_000, 90_000].into_iter().map(move |at| Ok(row(at)))).unwrap());
    contains(&overlap.run().unwrap_err().to_string(), &["1m long", "before the one before it is over"]);
    let odd = Series::rows("BTC".parse().unwrap(), [0, 7_000].into_iter().map(move |at| Ok(row(at)))).unwrap_err();
    contains(&odd.to_string(), &["BTC", "cannot be used"]);
    let real =
        TWO.replace("[account.paper]\n    balance = \"20000\"", "environment = \"testnet\"\n    credentials = { private_key = \"env:X\" }");
    contains(&plan(&config(&real)).unwrap_err().to_string(), &["paper", "not paper"]);
}

#[test]
fn the_command_runs_the_configurations_agents_and_tells_what_they_came_to() {
    let home = Home::with_config(&TWO.replace("15m", "1m"));
    let candles = format!("BTC={}", wild(home.path(), 400).display());
    let report: Report = serde_json::from_value(home.json(&["backtest", "--candles", &candles])).unwrap();
    adds_up(&report);
    assert_eq!(report.series[0].candles, 400);
    let agents: BTreeSet<&str> = report.agents.iter().map(|result| result.agent.as_str()).collect();
    assert_eq!(agents, BTreeSet::from(["aggressive", "conservative"]));
    let table = home.run(&["backtest", "--candles", &candles, "--to", "2022-01-01T00:00:00Z"]).well();
    contains(&table, &["59 candles from 2021-12-31T23:01:00Z", "conservative", "aggressive", "agree with its own books"]);
    home.run(&["backtest", "--candles", "BTC"]).failed(2, &["ASSET=FILE"]);
    // No engine runs: the agents are listed all the same.
    let listed = home.json(&["agents"]);
    assert_eq!(
        (&listed[0]["agent"], &listed[0]["state"], &listed[0]["strategy"]),
        (&json!("conservative"), &json!("offline"), &json!("momentum"))
    );
}

#[test]
fn run_puts_the_configured_agents_to_work_until_it_is_told_to_stop() {
    let home = Home::with_config(TWO);
    let mut process = home.start(&["run"]);
    let state = || home.json(&["agents"])[0]["state"].clone();
    eventually("the agents run", || (state() == json!("running")).then_some(()));
    let listed = home.json(&["agents"]);
    assert_eq!((listed.as_array().map(Vec::len), &listed[1]["restarts"], &listed[1]["positions"]), (Some(2), &json!(0), &json!(0)));
    process.end_input();
    assert!(process.is_running(), "it stays for its agents");
    process.terminate();
    assert_eq!(state(), json!("offline"));
}

#[test]
fn a_strategy_is_read_with_its_usual_numbers_and_each_mistake_is_named() {
    let with = |strategy: &str| {
        TWO.replace(
            r#"name = "momentum", asset = "BTC", timeframe = "15m", equity_fraction = "0.08", leverage = "5", max_positions = 3"#,
            strategy,
        )
    };
    let read = config(&with(r#"name = "momentum", asset = "BTC""#));
    let Some(Strategy::Momentum(momentum)) = &read.agents[0].strategy else { panic!("{read:?}") };
    assert_eq!(*momentum, MomentumConfig::new("BTC".parse().unwrap()));
    assert_eq!(read.agents[0].losses.max_daily_loss.map(|bound| bound.to_string()).as_deref(), Some("20%"), "it brings its limit along");
    let none = config(&with(r#"name = "momentum", asset = "BTC", trailing = "none", daily_loss = "0.125""#));
    let Some(Strategy::Momentum(momentum)) = &none.agents[0].strategy else { panic!("{none:?}") };
    assert_eq!(momentum.trailing, None);
    assert_eq!(none.agents[0].losses.max_daily_loss.map(|bound| bound.to_string()).as_deref(), Some("12.5%"));
    let wrong = |strategy: &str, words: &[&str]| {
        let error = Config::from_toml(&with(strategy), "a test", Path::new("/nowhere")).unwrap_err().to_string();
        contains(&error, words);
    };
    wrong(r#"asset = "BTC""#, &["agent[0].strategy.name", "is missing", "\"momentum\""]);
    wrong(r#"name = "momentun", asset = "BTC""#, &["strategy.name", "momentun", "did you mean `momentum`"]);
    wrong(r#"name = "momentum""#, &["strategy.asset", "is missing"]);
    wrong(r#"name = "momentum", asset = "BTC", timeframe = "7m""#, &["strategy.timeframe", "`7m`", "divide a day"]);
    wrong(r#"name = "momentum", asset = "BTC", threshold = 0.02"#, &["strategy.threshold", "write \"0.02\""]);
    wrong(r#"name = "momentum", asset = "BTC", treshold = "0.02""#, &["strategy.treshold", "did you mean `threshold`"]);
    wrong(r#"name = "momentum", asset = "BTC", risk = "0.05", equity_fraction = "0.1""#, &["strategy.equity_fraction", "not both"]);
    wrong(
        r#"name = "momentum", asset = "BTC", trailing = { fraction = "0.10", of = "price", activation = "0.04" }"#,
        &["strategy.trailing", "can never fire", "0.945", "0.97"],
    );
}
