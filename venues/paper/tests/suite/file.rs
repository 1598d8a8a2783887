//! The exchange's own file: everything survives, and one exchange at a time has it.

use std::io::BufRead;
use std::path::Path;

use omnivenue_core::model::instrument::Side::{Buy, Sell};
use omnivenue_core::model::signal::TimeInForce::Gtc;
use omnivenue_paper::{Answer, Config, PaperExchange, PlaceOrder, RefusalCode, Request, Server, Store, StoreError, Truth};

use crate::world::{World, limit, moving, quiet};

fn open(path: &Path) -> World {
    World::with(quiet(Config::hyperliquid_like()), Store::open(path).unwrap())
}

#[test]
fn everything_survives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let mut world = open(&path);
    let first = world.order("a1", Buy, "5", "39");
    let report = world.place(&first).unwrap();
    let resting = world.order("a2", Sell, "2", "37");
    world.place(&limit(&resting, "45", Gtc, false)).unwrap();
    let partly = world.order("a3", Sell, "1", "37");
    world.place(&partly).unwrap();
    let refused = PlaceOrder { quantity: "100000".parse().unwrap(), ..world.order("a4", Buy, "1", "39") };
    let refusal = world.place(&refused).unwrap_err();
    world.burn("a5");
    let burned = world.order("a5", Buy, "1", "39");
    let before = world.server.truth();
    assert_eq!(Truth::read(&path).unwrap(), before, "while it runs");
    drop(world);
    assert_eq!(Truth::read(&path).unwrap(), before, "after it ended");

    let mut world = open(&path);
    assert_eq!(world.server.truth(), before);
    assert_eq!(world.place(&first).unwrap(), report, "the same bytes are the same order");
    assert_eq!(world.place(&refused).unwrap_err().message, refusal.message, "the same bytes are refused the same");
    assert_eq!(world.place(&burned).unwrap_err().code, RefusalCode::AlreadyUsed);
    let thief = PlaceOrder { client_order_id: "b1".parse().unwrap(), ..first };
    assert_eq!(world.place(&thief).unwrap_err().code, RefusalCode::BadNonce);
    world.wait(1000);
    let next = world.order("a6", Sell, "1", "37");
    let next = world.place(&next).unwrap();
    assert_eq!((next.venue_order_id.as_str(), next.fills[0].trade_id.as_str()), ("4", "t3"), "numbers go on");
    assert_eq!(world.query("a2").unwrap().filled_quantity.to_string(), "0");
}

#[test]
fn prices_go_on_where_the_clock_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let mut config = quiet(Config::hyperliquid_like());
    config.prices = Config::hyperliquid_like().prices;
    let symbol = "HYPE".parse().unwrap();
    let mut whole = World::new(config.clone());
    let started = World::with(config.clone(), Store::open(&path).unwrap());
    let later = started.now.after(std::time::Duration::from_secs(100));
    drop(started);
    let mut again = Server::new(std::sync::Arc::new(config), Store::open(&path).unwrap(), later).unwrap();
    assert_eq!(again.mark(&symbol, later), whole.server.mark(&symbol, later));
    assert_ne!(again.mark(&symbol, later).unwrap().to_string(), "38.1");
}

#[test]
fn candles_that_cannot_be_read_leave_no_file_and_start_no_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let (config, candles) = moving(Config::hyperliquid_like(), &["38", "39"]);
    drop(candles);
    let config = std::sync::Arc::new(config);
    let error = PaperExchange::open((*config).clone(), Some(path.clone())).unwrap_err();
    assert!(error.to_string().contains("hype.csv: cannot be read"), "{error}");
    assert!(!path.exists() && std::fs::read_dir(folder.path()).unwrap().next().is_none());
    let now = omnivenue_core::model::time::Timestamp::from_millis;
    Server::new(std::sync::Arc::clone(&config), Store::open(&path).unwrap(), now(1)).unwrap_err();
    let began = Server::new(std::sync::Arc::new(quiet(Config::hyperliquid_like())), Store::open(&path).unwrap(), now(2)).unwrap();
    assert_eq!(began.truth().epoch, now(2));
}

#[test]
fn one_exchange_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let world = open(&path);
    let error = Store::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }));
    let words = format!("is in use by another exchange (process {})", std::process::id());
    assert!(error.to_string().contains(&words), "{error}");
    drop(world);
    Store::open(&path).unwrap();
}

#[test]
fn files_of_others_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    drop(open(&path));
    let now = omnivenue_core::model::time::Timestamp::from_millis(1);
    let error = Server::new(std::sync::Arc::new(quiet(Config::spot_like())), Store::open(&path).unwrap(), now).unwrap_err();
    assert!(error.to_string().contains("is the file of the paper venue hyperliquid, not of spot"), "{error}");
    let other = folder.path().join("other.db");
    std::fs::write(&other, "").unwrap();
    assert!(Truth::read(&other).unwrap_err().to_string().contains("not the file of a paper exchange"));
    assert!(Truth::read(&folder.path().join("none.db")).is_err());
}

#[test]
fn instruments_in_use_must_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let mut world = open(&path);
    let order = world.order("a1", Buy, "5", "39");
    world.place(&order).unwrap();
    let now = world.now;
    drop(world);
    let mut config = quiet(Config::hyperliquid_like());
    let gone = config.instruments.remove(0).symbol;
    config.prices.remove(&gone);
    let error = Server::new(std::sync::Arc::new(config), Store::open(&path).unwrap(), now).unwrap_err();
    assert!(error.to_string().contains("open order or position of main in HYPE"), "{error}");
}

#[test]
fn an_account_is_given_its_balance_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    drop(open(&path));
    let config = quiet(Config::hyperliquid_like());
    let more = config.with_account(&World::account(), "USDC".parse().unwrap(), "99".parse().unwrap());
    let more = more.with_account(&"new".parse().unwrap(), "USDC".parse().unwrap(), "7".parse().unwrap());
    let world = World::with(more, Store::open(&path).unwrap());
    assert_eq!(world.truth().balance(&"USDC".parse().unwrap()).to_string(), "10000");
    assert_eq!(world.server.truth().accounts.len(), 2);
}

#[test]
fn an_exchange_that_cannot_write_stops_and_promises_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    let mut world = open(&path);
    let order = world.order("a1", Buy, "1", "39");
    world.place(&order).unwrap();
    let before = Truth::read(&path).unwrap();
    let saboteur = rusqlite::Connection::open(&path).unwrap();
    saboteur.execute_batch("ALTER TABLE fills RENAME TO hidden").unwrap();
    for name in ["a2", "a3"] {
        let order = world.order(name, Buy, "1", "39");
        let answer = world.ask(Request::Place { account: World::account(), wire: order.to_wire() });
        assert_eq!(answer, Some(Answer::Cut));
    }
    assert!(world.server.failure().unwrap().contains("no such table"), "{:?}", world.server.failure());
    assert_eq!(world.updates.len(), 1);
    drop(world);
    saboteur.execute_batch("ALTER TABLE hidden RENAME TO fills").unwrap();
    assert_eq!(Truth::read(&path).unwrap(), before, "nothing of it was written");
}

/// Where the child process of the test below finds its file.
const CHILD: &str = "OMNIVENUE_PAPER_TEST_CHILD";

/// Places orders for ever and says of each one that it was answered. Does nothing unless the test below has started it.
#[test]
fn child() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let mut world = open(Path::new(&path));
    let before = u64::try_from(world.truth().orders.len()).unwrap();
    world.wait(before * 1000);
    for number in before.. {
        let side = if number % 2 == 0 { Buy } else { Sell };
        let worst = if number % 2 == 0 { "39" } else { "37" };
        let order = world.order(&format!("a{number}"), side, "1", worst);
        let report = world.place(&order).unwrap();
        println!("answered {}", report.client_order_id);
    }
}

#[test]
fn what_was_answered_survives_a_killed_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exchange.db");
    for _ in 0..3 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["file::child", "--exact", "--nocapture"])
            .env(CHILD, &path)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let answered: Vec<String> = lines.by_ref().map(Result::unwrap).filter(|line| line.contains("answered a")).take(40).collect();
        child.kill().unwrap();
        let rest: Vec<String> = lines.map_while(Result::ok).filter(|line| line.contains("answered a")).collect();
        child.wait().unwrap();
        assert_eq!(answered.len(), 40);
        let truth = Truth::read(&path).unwrap();
        let account = &truth.accounts[&World::account()];
        for line in answered.iter().chain(&rest[..rest.len().saturating_sub(1)]) {
            let name = line.split("answered ").nth(1).unwrap();
            assert!(account.orders.iter().any(|order| order.client_order_id().as_str() == name), "{name}");
        }
        let traded: usize = account.orders.iter().filter(|order| !order.filled.is_zero()).count();
        assert_eq!(traded, account.fills.len(), "an order and its trade are written as one");
        drop(open(&path));
    }
}
