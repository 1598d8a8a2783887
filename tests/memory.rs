//! A backtest takes no more memory the longer it runs. In a process of its own, so that nothing else grows meanwhile.

use std::path::Path;
use std::sync::{Arc, Mutex};

use omnivenue::agent::{Agent, AgentInput, Context, Subscription};
use omnivenue::backtest::{Series, plan};
use omnivenue::config::Config;
use omnivenue::model::signal::Signal;
use omnivenue::paper::CandleRow;

/// Resident memory in bytes.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("Linux tells");
    let pages: usize = text.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * rustix::param::page_size()
}

/// Buys for a minute every so many candles.
struct EachSo(u64, u64);

impl Agent for EachSo {
    fn subscriptions(&self) -> Vec<Subscription> {
        vec![Subscription::candles("BTC".parse().expect("an asset"), "1m".parse().expect("a timeframe"))]
    }
    fn handle(&mut self, input: &AgentInput, context: &mut Context<'_>) {
        let AgentInput::Candle(candle) = input else { return };
        self.1 += 1;
        if !self.1.is_multiple_of(self.0) {
            return;
        }
        let made = context.emit(&candle.trigger(), |id, agent| {
            let text = format!(
                r#"{{"id":"{id}","agent":"{agent}","asset":"BTC","direction":"long","sizing":{{"notional":"100"}},"exits":{{"time_limit":"90s"}}}}"#
            );
            Signal::from_json(&text).expect("a valid signal")
        });
        made.expect("a valid trigger");
    }
}

#[test]
fn memory_does_not_grow_with_the_length_of_a_run() {
    // So that more than is ever kept (some 4,000 executions) has been let go of when it is first looked at.
    let (early, last) = match std::env::var_os("OMNIVENUE_FULL") {
        Some(_) => (100_000, 1_000_000),
        None => (11_000, 26_000),
    };
    let config = Config::from_toml(
        r#"
        [[account]]
        id = "paper"
        venue = "hyperliquid"
        [account.paper]
        balance = "1000000"
        [[agent]]
        id = "demo"
        [[deployment]]
        id = "demo"
        agent = "demo"
        accounts = [{ account = "paper" }]
        [risk]
        rates = { USDC = "1" }
        "#,
        "a test",
        Path::new("/nowhere"),
    );
    let mut plan = plan(&config.expect("a valid configuration")).expect("all is paper");
    plan.agents.push(("demo".parse().expect("a name"), Box::new(|| Box::new(EachSo(5, 0)))));
    let seen: Arc<Mutex<Vec<usize>>> = Arc::default();
    let log = Arc::clone(&seen);
    let row = move |index: i64| {
        if index == early || index == last - 1 {
            log.lock().expect("nobody panics").push(resident());
        }
        let price = |change: i64| (40_000 + (index * 37) % 200 + change).to_string().parse().expect("a price");
        Ok(CandleRow {
            line: 0,
            open_time_ms: 1_640_995_200_000 + 60_000 * index,
            open: price(0),
            high: price(20),
            low: price(-20),
            close: price(10),
            volume: None,
        })
    };
    plan.series.push(Series::rows("BTC".parse().expect("an asset"), (0..last).map(row)).expect("there are enough"));
    let report = plan.run().expect("it runs");
    assert!(report.agrees(), "{report:?}");
    let [result] = report.agents.as_slice() else { panic!("{report:?}") };
    let signals = u64::try_from(last / 5).expect("a small number");
    assert!(result.signals == signals && result.trades > signals * 9 / 10, "{result:?}");
    let seen = seen.lock().expect("nobody panics");
    let [before, after] = seen.as_slice() else { panic!("{seen:?}") };
    println!(
        "{before} bytes after {early} candles, {after} after {last}; {} signals, {} entries of the journal",
        result.signals, report.entries
    );
    assert!(*after < before + 6 * 1024 * 1024, "{before} bytes after {early} candles, {after} after {last}");
}
