use omnivenue_core::agent::Runner;
use omnivenue_core::executor::Now;
use omnivenue_core::model::exit::ExitKind;
use omnivenue_core::model::number::Leverage;

use super::*;

fn config(change: impl FnOnce(&mut MomentumConfig)) -> MomentumConfig {
    let mut config = MomentumConfig::new("BTC".parse().unwrap());
    change(&mut config);
    config
}

fn candle(index: i64, close: &str) -> AgentInput {
    let price: Price = close.parse().unwrap();
    AgentInput::Candle(Candle {
        venue: "paper".parse().unwrap(),
        symbol: "BTC".parse().unwrap(),
        timeframe: "1m".parse().unwrap(),
        open_time: Timestamp::from_millis(index * 60_000),
        open: price,
        high: price,
        low: price,
        close: price,
        volume: None,
    })
}

struct Desk(Runner);

impl Desk {
    fn new(config: MomentumConfig) -> Self {
        Self(Runner::new("m".parse().unwrap(), || Box::new(Momentum::new(config))).unwrap())
    }

    fn tell(&mut self, input: &AgentInput) -> Vec<Signal> {
        self.0.handle(Now::default(), input).unwrap().signals
    }

    fn closes(&mut self, from: i64, closes: &[&str]) -> Vec<Signal> {
        (from..).zip(closes).flat_map(|(index, close)| self.tell(&candle(index, close))).collect()
    }
}

#[test]
fn it_enters_once_when_the_threshold_is_crossed() {
    let mut desk = Desk::new(config(|_| {}));
    assert_eq!(desk.closes(0, &["100"; 12]), [], "there are too few bars yet");
    assert_eq!(desk.closes(12, &["101.9"]), [], "not far enough");
    let signals = desk.closes(13, &["102.1", "102.5", "103", "101", "102.4"]);
    let told: Vec<(&str, Direction, String)> =
        signals.iter().map(|signal| (signal.id.as_str(), signal.direction, signal.confidence.unwrap().to_string())).collect();
    // Crossed at 13, and once more at 17 after it had fallen back.
    let expected = [
        ("m/paper/BTC/1m/780000/0", Direction::Long, "0.5249".to_owned()),
        ("m/paper/BTC/1m/1020000/0", Direction::Long, "0.5999".to_owned()),
    ];
    assert_eq!(told, expected);
    let signal = &signals[0];
    assert_eq!((signal.leverage.to_string().as_str(), signal.created_at), ("5", Some(Timestamp::from_millis(14 * 60_000))));
    let exits = signal.exits.unwrap();
    let (entry, leverage) = ("100".parse().unwrap(), signal.leverage);
    let stop = |best: &str| exits.trigger_price(ExitKind::StopLoss, Direction::Long, entry, leverage, best.parse().unwrap()).unwrap();
    assert_eq!([stop("101.9"), stop("102"), stop("104")].map(|price| price.to_string()), ["97", "99.96", "101.92"]);
    assert_eq!(exits.take_profit_price(Direction::Long, entry, leverage), Some("105".parse().unwrap()));
}

#[test]
fn the_same_candles_give_the_same_signals() {
    let run = || {
        let mut desk = Desk::new(config(|_| {}));
        desk.closes(0, &["100"; 12]);
        desk.closes(12, &["97"])
    };
    let signals = run();
    assert_eq!((signals.len(), signals[0].direction), (1, Direction::Short));
    assert_eq!(signals, run());
}

#[test]
fn a_gap_in_the_candles_starts_over() {
    let mut desk = Desk::new(config(|_| {}));
    desk.closes(0, &["100"; 12]);
    assert_eq!(desk.closes(13, &["110"; 12]), [], "a minute is missing");
    assert_eq!(desk.closes(25, &["113"]).len(), 1);
}

#[test]
fn it_holds_no_more_positions_than_it_may_and_never_turns() {
    let mut desk = Desk::new(config(|config| config.max_positions = 1));
    desk.closes(0, &["100"; 12]);
    let first = desk.closes(12, &["103"]).remove(0);
    assert_eq!(desk.closes(13, &["101", "103"]), [], "one is on its way");
    desk.tell(&AgentInput::Refused { signal: first.id, code: "x".into(), reason: "x".into() });
    assert_eq!(desk.closes(15, &["101", "103"]).len(), 1, "it came to nothing");
    let position = |signals: &str, direction: &str| {
        let text = format!(
            r#"[{{"agent":"m","deployment":"m","venue":"paper","account":"a","instrument":"BTC","direction":"{direction}","quantity":"1","realized_pnl":"0","signals":[{signals}],"protection":"venue","exits":[]}}]"#
        );
        AgentInput::Positions(serde_json::from_str(&text).unwrap())
    };
    let mut desk = Desk::new(config(|config| config.max_positions = 2));
    desk.tell(&position(r#""s-1""#, "short"));
    desk.closes(0, &["100"; 12]);
    assert_eq!(desk.closes(12, &["103"]), [], "it holds the opposite");
    desk.tell(&position(r#""s-1""#, "long"));
    assert_eq!(desk.closes(13, &["101", "103"]).len(), 1);
}

#[test]
fn the_usual_numbers_fit_together() {
    let usual = config(|_| {});
    assert_eq!(usual.check(), Ok(()));
    assert_eq!(usual.leverage(), "5".parse::<Leverage>().unwrap());
}

/// TRAPS: a trailing stop of 10 % of price can never fire behind a take profit of 5 % and a stop of 3 %.
#[test]
fn impossible_combinations_are_refused_with_their_numbers() {
    let check = |change: fn(&mut MomentumConfig), key: &str, words: &[&str]| {
        let said = config(change).check().unwrap_err();
        assert_eq!(said.key, key);
        words.iter().for_each(|word| assert!(said.problem.contains(word), "{said}\nshould contain {word}"));
    };
    check(|c| c.trailing = c.trailing.map(Trail::of_price), "trailing", &["can never fire", "take profit at 0.05"]);
    check(
        |c| c.trailing = Some(Trail { fraction: "0.1".parse().unwrap(), of: TrailOf::Price, activation: "0".parse().unwrap() }),
        "trailing",
        &["can never fire", "0.1 of the price", "0.945", "0.97", "smaller than 0.0761", "of = \"margin\""],
    );
    check(
        |c| c.trailing = Some(Trail { fraction: "0.5".parse().unwrap(), of: TrailOf::Margin, activation: "0.1".parse().unwrap() }),
        "trailing",
        &["0.5 of the margin, at leverage 5 0.1 of the price"],
    );
    check(|c| c.max_leverage = "1".parse().unwrap(), "max_leverage", &["got 1", "1.67 times the equity"]);
    check(
        |c| (c.stop_loss, c.risk) = ("0.25".parse().unwrap(), "1".parse().unwrap()),
        "stop_loss",
        &["got 0.25", "leverage 12", "0.0833", "liquidated"],
    );
    check(|c| c.leverage = Some("30".parse().unwrap()), "leverage", &["got 30", "max_leverage is 25"]);
    check(|c| c.bars = 0, "bars", &["got 0", "1 to 1000"]);
    check(|c| c.threshold = "0".parse().unwrap(), "threshold", &["got 0"]);
    check(|c| c.max_positions = 0, "max_positions", &["at least 1"]);
    check(|c| c.market = omnivenue_core::model::instrument::Market::Spot, "max_leverage", &["on spot it must be 1"]);
}
