//! What must be true of the files when everything has ended: the journal and the simulated exchanges tell the same story.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use omnivenue::Config;
use omnivenue::engine::Books;
use omnivenue::journal::{Archive, ChainKey, Event, LegRef};
use omnivenue::ledger::CapitalKey;
use omnivenue::model::execution::{Execution, ExecutionStatus};
use omnivenue::model::ids::{AccountId, Asset, ClientOrderId, DeploymentId, SignalId, VenueId, VenueSymbol};
use omnivenue::model::number::{Amount, Price, Quantity, SignedQuantity};
use omnivenue::model::order::Purpose;
use omnivenue::paper::{AccountTruth, Truth};
use omnivenue::sqlite::SqliteArchive;
use serde_json::Value;

use crate::support::Home;

/// The key of an entry: at most one order of it ever takes effect.
pub(crate) type Key = (SignalId, DeploymentId, AccountId);

/// One trade, as a venue recorded it.
#[derive(Debug, Clone)]
pub(crate) struct Traded {
    order: Option<ClientOrderId>,
    symbol: VenueSymbol,
    price: Price,
    quantity: Quantity,
    fee: Amount,
}

/// What a venue recorded of an account.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// Every order ever taken, in order.
    orders: Vec<ClientOrderId>,
    fills: Vec<Traded>,
    /// What is held, and what it cost.
    positions: BTreeMap<VenueSymbol, (SignedQuantity, Amount)>,
    /// Settled, in the currency of everything here.
    balance: Amount,
}

fn currency() -> Asset {
    "USDC".parse().unwrap()
}

impl Seen {
    fn on_paper(truth: &AccountTruth) -> Self {
        let fill = |fill: &omnivenue::model::order::FillReport| Traded {
            order: fill.client_order_id.clone(),
            symbol: fill.symbol.clone(),
            price: fill.price,
            quantity: fill.quantity,
            fee: fill.fee.amount,
        };
        Self {
            orders: truth.orders.iter().map(|order| order.client_order_id().clone()).collect(),
            fills: truth.fills.iter().map(fill).collect(),
            positions: truth.positions.iter().map(|(symbol, held)| (symbol.clone(), (held.quantity, held.cost))).collect(),
            balance: truth.balance(&currency()),
        }
    }

    /// What the testnet's Hyperliquid says of an address; every order there has our name, or the test fails.
    pub(crate) fn on_hyperliquid(truth: &Value, address: &str) -> Self {
        let account = &truth["venues"]["hyperliquid"]["accounts"][address];
        assert!(account.is_object(), "the testnet knows no {address}: {truth}");
        let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no text: {value} in {account}")).to_owned();
        let ours = |cloid: &Value| text(cloid).strip_prefix("0x").unwrap().parse::<ClientOrderId>().unwrap();
        let rows = |key: &str| account[key].as_array().unwrap().clone();
        let names: BTreeMap<u64, ClientOrderId> =
            rows("orders").iter().map(|order| (order["oid"].as_u64().unwrap(), ours(&order["cloid"]))).collect();
        let fill = |fill: &Value| Traded {
            order: names.get(&fill["oid"].as_u64().unwrap()).cloned(),
            symbol: text(&fill["coin"]).parse().unwrap(),
            price: text(&fill["px"]).parse().unwrap(),
            quantity: text(&fill["sz"]).parse().unwrap(),
            fee: text(&fill["fee"]).parse().unwrap(),
        };
        let held = |(symbol, held): (&String, &Value)| {
            (symbol.parse().unwrap(), (text(&held["quantity"]).parse().unwrap(), text(&held["cost"]).parse().unwrap()))
        };
        Self {
            orders: rows("orders").iter().map(|order| ours(&order["cloid"])).collect(),
            fills: rows("fills").iter().map(fill).collect(),
            positions: account["positions"].as_object().unwrap().iter().map(held).collect(),
            balance: text(&account["balances"]["perp"]["USDC"]).parse().unwrap(),
        }
    }

    /// The equity at these prices.
    fn equity(&self, marks: &BTreeMap<&VenueSymbol, Price>) -> Amount {
        let open = self.positions.iter().filter(|(_, (quantity, _))| !quantity.is_zero());
        let worth = open.map(|(symbol, (quantity, cost))| {
            let value = quantity.decimal().checked_mul(marks[symbol].decimal()).unwrap();
            Amount::new(value).unwrap().minus(*cost).unwrap()
        });
        self.balance.plus(sum(worth)).unwrap()
    }
}

/// The journal of a configuration and what the venues recorded, as their files tell.
pub(crate) struct Files {
    pub(crate) archive: SqliteArchive,
    pub(crate) books: Books,
    pub(crate) venues: BTreeMap<AccountId, Seen>,
    /// The orders that the exchanges took, by the key they are for; closes apart.
    pub(crate) entries: BTreeMap<Key, Vec<ClientOrderId>>,
    pub(crate) closes: usize,
    /// Orders of which the engine did not know, when it started, what had become of them.
    pub(crate) interrupted: usize,
}

fn sum(amounts: impl IntoIterator<Item = Amount>) -> Amount {
    amounts.into_iter().fold(Amount::ZERO, |sum, amount| sum.plus(amount).unwrap())
}

/// Legs and orders as the journal's entries tell, each for itself.
struct Written {
    keys: BTreeMap<LegRef, (Key, Purpose)>,
    orders: BTreeMap<ClientOrderId, LegRef>,
    interrupted: usize,
}

impl Written {
    fn read(archive: &SqliteArchive) -> Self {
        let mut written = Self { keys: BTreeMap::new(), orders: BTreeMap::new(), interrupted: 0 };
        let mut commands = BTreeMap::new();
        let mut seq = 0;
        loop {
            let page = archive.entries_after(seq, 1_000).unwrap();
            let Some(last) = page.last() else { return written };
            seq = last.seq;
            for entry in &page {
                match entry.event().unwrap() {
                    Event::Admitted(admission) => {
                        let purpose = if admission.valid_until.is_some() { Purpose::Entry } else { Purpose::Close };
                        let id = admission.command.id().clone();
                        for (leg, plan) in admission.legs.iter().enumerate() {
                            let key = (id.clone(), plan.deployment.clone(), plan.account.clone());
                            written.keys.insert(LegRef { execution: admission.number, leg }, (key, purpose));
                        }
                        commands.insert(admission.number, (id, purpose, admission.legs.len()));
                    }
                    Event::LegPlanned { execution, plan } => {
                        let (id, purpose, legs) = commands.get_mut(&execution).unwrap();
                        let key = (id.clone(), plan.deployment, plan.account);
                        written.keys.insert(LegRef { execution, leg: *legs }, (key, *purpose));
                        *legs += 1;
                    }
                    Event::Prepared(intent) => {
                        let before = written.orders.insert(intent.client_order_id().clone(), intent.leg);
                        assert_eq!(before, None, "an id of an order was used twice");
                    }
                    Event::BecameUnknown { why, .. } => written.interrupted += usize::from(why.starts_with("the process ended")),
                    _ => {}
                }
            }
        }
    }
}

impl Files {
    /// Reads everything; `elsewhere` is what venues recorded that have no file here. Checks the chain, and that the venues took no order
    /// that the journal did not know before.
    pub(crate) fn read(config: &Config, elsewhere: BTreeMap<AccountId, Seen>) -> Self {
        let journal = config.journal_path();
        let verified = omnivenue::sqlite::verify(&journal, &ChainKey::default(), None).unwrap();
        let archive = SqliteArchive::read(&journal, ChainKey::default()).unwrap();
        let books = Books::read(&archive).unwrap();
        assert_eq!(books.seq(), verified.entries);
        let paper: BTreeSet<&VenueId> =
            config.accounts.iter().filter(|account| account.paper.is_some()).map(|account| &account.venue).collect();
        let mut venues = elsewhere;
        for venue in paper {
            let truth = Truth::read(&config.exchange_path(venue)).unwrap();
            venues.extend(truth.accounts.iter().map(|(account, truth)| (account.clone(), Seen::on_paper(truth))));
        }
        let written = Written::read(&archive);
        let (mut entries, mut closes) = (BTreeMap::<Key, Vec<ClientOrderId>>::new(), 0);
        for (account, seen) in &venues {
            for id in &seen.orders {
                let leg = written.orders.get(id).unwrap_or_else(|| panic!("the journal knows nothing of {id} on {account}"));
                let (key, purpose) = &written.keys[leg];
                assert_eq!(key.2, *account, "{id} is on an account it is not for");
                match purpose {
                    Purpose::Entry => entries.entry(key.clone()).or_default().push(id.clone()),
                    Purpose::Close | Purpose::Protect => closes += 1,
                }
            }
        }
        Self { archive, books, venues, entries, closes, interrupted: written.interrupted }
    }

    /// What became of a signal.
    pub(crate) fn execution(&self, id: &SignalId) -> Option<Execution> {
        self.books.execution(&self.archive, id).unwrap()
    }

    /// At most one order for each key.
    pub(crate) fn assert_exactly_once(&self) {
        for (key, orders) in &self.entries {
            assert_eq!(orders.len(), 1, "{key:?} took effect {} times: {orders:?}", orders.len());
        }
    }

    /// Every signal has ended, and each of its legs says of itself what the exchange says of it. Gives back how many legs traded.
    pub(crate) fn assert_answered<'a>(&self, signals: impl IntoIterator<Item = &'a SignalId>, legs: usize) -> usize {
        let mut traded = 0;
        for id in signals {
            let execution = self.execution(id).unwrap_or_else(|| panic!("signal {id} was never answered"));
            assert_eq!((execution.status, execution.legs.len()), (ExecutionStatus::Done, legs), "{execution:?}");
            for leg in &execution.legs {
                let key = (id.clone(), leg.deployment.clone(), leg.account.clone());
                let orders = self.entries.get(&key).map_or(&[][..], Vec::as_slice);
                let fills = self.venues[&leg.account].fills.iter();
                let ours = fills.filter(|fill| fill.order.as_ref().is_some_and(|id| orders.contains(id)));
                let filled = ours.fold(Quantity::ZERO, |sum, fill| sum.plus(fill.quantity).unwrap());
                assert_eq!(leg.filled_quantity, filled, "{key:?}: the exchange says {filled} of {leg:?}");
                traded += usize::from(!filled.is_zero());
            }
        }
        traded
    }

    /// Quantities, fees and equity of every account are the exchange's, to the last digit; nothing is unknown, held back or halted.
    pub(crate) fn assert_books_equal_venues(&self) {
        let book = self.books.book();
        assert_eq!(self.books.health().unknown, [], "nothing is unknown any more");
        assert_eq!(book.unsettled().next(), None, "nothing is on its way any more");
        assert_eq!(book.planned().next(), None, "nothing waits any more");
        for (account, seen) in &self.venues {
            assert_eq!(book.halt(account), None, "no drift on {account}");
            let symbols: BTreeSet<&VenueSymbol> = seen.positions.keys().chain(book.ledger().instruments_of(account)).collect();
            for symbol in symbols {
                let theirs = seen.positions.get(symbol).map_or(SignedQuantity::ZERO, |(quantity, _)| *quantity);
                assert_eq!(book.ledger().venue_quantity(account, symbol).unwrap(), theirs, "{account} {symbol}");
            }
            let key = CapitalKey { account: account.clone(), deployment: None, currency: currency() };
            let capital = book.ledger().capital(&key);
            assert_eq!(capital.fees, sum(seen.fills.iter().map(|fill| fill.fee)), "fees of {account}");
            assert!(capital.reserved.is_zero(), "{account} still holds back {}", capital.reserved);

            // Equity at the latest trades: any common price will do, since both sides are valued at it.
            let marks: BTreeMap<&VenueSymbol, Price> = seen.fills.iter().map(|fill| (&fill.symbol, fill.price)).collect();
            let held = book.ledger().positions().filter(|(key, _)| key.account == *account);
            let unrealized = sum(held.map(|(key, position)| position.unrealized(marks[&key.symbol]).unwrap()));
            let funded = book.ledger().funded(account, &currency()).unwrap();
            let ours = funded.plus(capital.realized).unwrap().plus(unrealized).unwrap().minus(capital.fees).unwrap();
            assert_eq!(ours, seen.equity(&marks), "equity of {account}");
        }
    }

    /// How many orders the venue took on each account, for a person.
    pub(crate) fn orders(&self) -> String {
        self.venues.iter().map(|(account, seen)| format!("{account} {}", seen.orders.len())).collect::<Vec<_>>().join(", ")
    }

    /// Whether no position is left anywhere.
    pub(crate) fn is_flat(&self) -> bool {
        self.venues.values().flat_map(|seen| seen.positions.values()).all(|(quantity, _)| quantity.is_zero())
            && self.books.positions().is_empty()
    }
}

/// Reads the files of the configuration in a folder.
pub(crate) fn files(folder: &Path) -> Files {
    let path = folder.join("omnivenue.toml");
    let config = if path.exists() { Config::load(&path).unwrap() } else { Config::built_in(folder) };
    Files::read(&config, BTreeMap::new())
}

#[test]
fn the_checks_notice_what_is_wrong() {
    let tampered = |sql: &str| {
        let home = Home::new();
        home.run(&["signal", "--asset", "HYPE", "--long", "--notional", "500", "--id", "s-1"]).well();
        let conn = rusqlite::Connection::open(home.file(".omnivenue/exchange-hyperliquid.db")).unwrap();
        conn.execute_batch(sql).unwrap();
        drop(conn);
        std::panic::catch_unwind(|| {
            let files = files(home.path());
            files.assert_exactly_once();
            files.assert_books_equal_venues();
            assert_eq!(files.assert_answered(&["s-1".parse().unwrap()], 2), 2);
        })
        .is_err()
    };
    assert!(!tampered("SELECT 1"));
    for sql in [
        "UPDATE positions SET quantity = '13'",
        "UPDATE positions SET cost = '495'",
        "UPDATE balances SET total = '10000'",
        "UPDATE fills SET fee = '0.3'",
        "UPDATE fills SET quantity = '12'",
        "UPDATE orders SET wire = json_set(wire, '$.client_order_id', 'unheardof')",
        "INSERT INTO orders SELECT number + 1, account, client_order_id, symbol, side, quantity, status, filled, why, accepted_at_us,
             updated_at_us, wire FROM orders",
        "DELETE FROM orders; DELETE FROM fills",
    ] {
        assert!(tampered(sql), "nothing was noticed of: {sql}");
    }
}
