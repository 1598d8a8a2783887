//! The views: what they show, and what becomes of them when they are locked, deleted, damaged or of another history.

use std::fs;
use std::time::Duration;

use omnivenue_core::engine::Books;
use omnivenue_core::journal::{Entry, Event, Journal};
use omnivenue_sqlite::{Opened, ViewsProjector, rebuild_views};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{Place, admitted, at, entry, leg, plain, prepared};

const SOON: Duration = Duration::from_secs(20);

fn event(seq: u64, execution: u64, json: Value) -> Entry {
    let event: Event = serde_json::from_value(json).unwrap();
    entry(seq, &event, Some(execution), None)
}

fn fill(trade: &str, order: &str, price: &str, quantity: &str) -> Value {
    json!({"trade_id": trade, "client_order_id": order, "venue_order_id": "v1", "symbol": "HYPE", "side": "buy", "price": price,
           "quantity": quantity, "fee": {"asset": "USDC", "amount": "0.1"}, "at": at(1).to_string()})
}

fn reported(seq: u64, execution: u64, order: &str, status: &str, filled: &str, fills: &[Value]) -> Entry {
    let report = json!({"client_order_id": order, "venue_order_id": "v1", "symbol": "HYPE", "status": status, "filled_quantity": filled,
                        "fills": fills, "at": at(seq).to_string()});
    event(seq, execution, json!({"event": "reported", "report": report}))
}

/// A signal that fills in two trades after a timeout, one that is refused, one that comes to nothing, and one that ends before its time.
fn history() -> Vec<Entry> {
    let ended = json!(["skipped", {"code": "paused", "reason": "the account is paused"}]);
    let mut skipped = leg();
    skipped["ended"] = ended;
    skipped.as_object_mut().unwrap().remove("order");
    vec![
        event(1, 0, json!({"event": "funded", "account": "hl", "asset": "USDC", "amount": "1000"})),
        admitted(2, 1, "s-1"),
        prepared(3, 1, "order1", 0),
        event(4, 1, json!({"event": "became_unknown", "order": "order1", "why": "timed out", "at": at(4).to_string()})),
        reported(5, 1, "order1", "open", "0.1", &[fill("t1", "order1", "40.1", "0.1")]),
        reported(6, 1, "order1", "filled", "12.5", &[fill("t1", "order1", "40.1", "0.1"), fill("t2", "order1", "40.12345678", "12.4")]),
        admitted(7, 2, "s-2"),
        prepared(8, 2, "order2", 0),
        event(
            9,
            2,
            json!({"event": "failed", "order": "order2", "again": false,
                   "failure": {"kind": "insufficient_funds", "effect": "refused", "code": "-2010", "message": "not enough margin"}}),
        ),
        admitted(10, 3, "s-3"),
        prepared(11, 3, "order3", 0),
        event(12, 3, json!({"event": "proved_absent", "order": "order3", "evidence": "nonce burnt", "again": true})),
        prepared(13, 3, "order3b", 1),
        event(14, 3, json!({"event": "leg_planned", "execution": 3, "plan": skipped})),
    ]
}

fn keep(opened: &mut Opened) -> ViewsProjector {
    opened.journal.keep_views().unwrap()
}

fn caught_up(views: &ViewsProjector, seq: u64) {
    assert!(views.wait_for(seq, SOON), "{} of {seq}: {:?}", views.as_of(), views.trouble());
}

/// Every row of a table, as JSON objects without what is absent.
fn rows(place: &Place, table: &str) -> Vec<Value> {
    let conn = Connection::open(place.file("trading.views.db")).unwrap();
    let mut statement = conn.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<Value> {
        let mut object = serde_json::Map::new();
        for (index, name) in names.iter().enumerate() {
            match row.get(index)? {
                rusqlite::types::Value::Text(text) => drop(object.insert(name.clone(), text.into())),
                rusqlite::types::Value::Integer(number) => drop(object.insert(name.clone(), number.into())),
                rusqlite::types::Value::Null => {}
                other => panic!("{name} is {other:?}"),
            }
        }
        Ok(Value::Object(object))
    };
    statement.query_map([], row).unwrap().collect::<Result<_, _>>().unwrap()
}

fn shows(row: &Value, expected: Value) {
    for (name, value) in expected.as_object().unwrap() {
        let shown = row.get(name).cloned().unwrap_or_default();
        assert_eq!(shown, *value, "{name} of {row}");
    }
}

fn everything(place: &Place) -> Vec<Vec<Value>> {
    ["signals", "legs", "orders", "fills", "positions", "equity", "as_of"].iter().map(|table| rows(place, table)).collect()
}

#[test]
fn they_show_what_the_engine_would() {
    let place = Place::new();
    let mut opened = place.open();
    let views = keep(&mut opened);
    opened.journal.append(&history()[..5]).unwrap();
    caught_up(&views, 5);
    shows(
        &rows(&place, "legs")[0],
        json!({"state": "working", "filled_quantity": "0.1", "client_order_id": "order1", "venue_order_id": "v1"}),
    );
    opened.journal.append(&history()[5..]).unwrap();
    caught_up(&views, 14);

    let signals = rows(&place, "signals");
    assert_eq!(signals.len(), 3);
    shows(
        &signals[0],
        json!({"signal_id": "s-1", "execution": 1, "kind": "signal", "asset": "HYPE", "direction": "long", "confidence": "0.8",
               "sizing": "notional", "size": "500", "leverage": "5", "order_type": "market", "received_at": "2026-01-01T00:00:00.002000Z"}),
    );
    let legs = rows(&place, "legs");
    assert_eq!(legs.len(), 4);
    shows(
        &legs[0],
        json!({"signal_id": "s-1", "agent": "momentum", "deployment": "main", "venue": "hyperliquid", "account": "hl", "instrument": "HYPE",
               "side": "buy", "state": "done", "outcome": "filled", "quantity": "12.5", "filled_quantity": "12.5",
               "filled_notional": "501.540864072", "average_price": "40.12326912576", "fees": "{\"USDC\":\"0.2\"}",
               "client_order_id": "order1", "venue_order_id": "v1", "planned_at": "2026-01-01T00:00:00.002000Z",
               "done_at": "2026-01-01T00:00:00.006000Z", "reason": null}),
    );
    shows(&legs[1], json!({"state": "done", "outcome": "rejected", "filled_quantity": "0", "average_price": null, "fees": "{}"}));
    assert!(legs[1]["reason"].as_str().unwrap().contains("not enough margin"));
    shows(&legs[2], json!({"leg": 0, "state": "sent", "client_order_id": "order3b", "outcome": null}));
    shows(&legs[3], json!({"leg": 1, "signal_id": "s-3", "state": "done", "outcome": "skipped", "code": "paused"}));
    let orders = rows(&place, "orders");
    let order = |id: &str| orders.iter().find(|order| order["client_order_id"] == id).unwrap();
    shows(
        order("order1"),
        json!({"state": "done", "done_reason": "filled", "purpose": "entry", "reduce_only": 0, "filled_quantity": "12.5"}),
    );
    shows(order("order2"), json!({"state": "done", "done_reason": "rejected", "venue_order_id": null}));
    shows(order("order3"), json!({"state": "done", "done_reason": "absent", "attempt": 0}));
    shows(order("order3b"), json!({"state": "sent", "attempt": 1, "execution": 3, "worst_price": "40.4"}));
    let fills = rows(&place, "fills");
    assert_eq!(fills.len(), 2);
    shows(
        &fills[1],
        json!({"trade_id": "t2", "price": "40.12345678", "quantity": "12.4", "notional": "497.530864072", "fee": "0.1", "seq": 6}),
    );

    // What needs all of the history is what the engine's own books say.
    let books = Books::read(&opened.archive).unwrap();
    let (positions, reports) = (rows(&place, "positions"), books.positions());
    assert_eq!((positions.len(), reports.len()), (1, 1));
    shows(
        &positions[0],
        json!({"agent": "momentum", "deployment": "main", "direction": "long", "quantity": reports[0].quantity.to_string(),
               "entry_price": reports[0].entry_price.unwrap().to_string(), "signals": "[\"s-1\"]", "currency": "USDC", "funding": "0"}),
    );
    let (equity, reports) = (rows(&place, "equity"), books.equity(None));
    assert_eq!(equity.len(), reports.len());
    for report in reports {
        let deployment = report.deployment.map(|id| id.to_string()).unwrap_or_default();
        let row = equity.iter().find(|row| row["deployment"] == deployment.as_str()).unwrap();
        shows(
            row,
            json!({"account": "hl", "fees": report.fees.to_string(), "committed": report.committed.to_string(),
                          "reserved": report.reserved.to_string(), "equity": null}),
        );
    }
    shows(&rows(&place, "as_of")[0], json!({"as_of_seq": 14, "namespace": opened.namespace, "hash": opened.journal.head().to_string()}));
}

#[test]
fn a_person_s_verdict_gives_way_to_the_venue_s_trades() {
    let place = Place::new();
    let mut opened = place.open();
    let views = keep(&mut opened);
    let verdict = json!({"event": "resolved", "order": "order1", "verdict": {"filled": {"quantity": "10", "price": "40"}},
                         "reason": "seen on the website", "at": at(4).to_string()});
    opened
        .journal
        .append(&[
            admitted(1, 1, "s-1"),
            prepared(2, 1, "order1", 0),
            event(3, 1, json!({"event": "became_unknown", "order": "order1", "why": "cut", "at": at(3).to_string()})),
        ])
        .unwrap();
    caught_up(&views, 3);
    shows(&rows(&place, "orders")[0], json!({"state": "unknown", "reason": "cut"}));
    shows(&rows(&place, "legs")[0], json!({"state": "unknown", "reason": "cut"}));
    opened.journal.append(&[event(4, 1, verdict)]).unwrap();
    caught_up(&views, 4);
    shows(&rows(&place, "fills")[0], json!({"adjustment": 1, "quantity": "10", "fee": null}));
    shows(&rows(&place, "legs")[0], json!({"state": "done", "outcome": "partially_filled", "filled_quantity": "10"}));
    opened.journal.append(&[reported(5, 1, "order1", "filled", "12.5", &[fill("t1", "order1", "40.1", "12.5")])]).unwrap();
    caught_up(&views, 5);
    let fills = rows(&place, "fills");
    assert_eq!(fills.len(), 1);
    shows(&fills[0], json!({"adjustment": 0, "trade_id": "t1", "quantity": "12.5"}));
    shows(&rows(&place, "legs")[0], json!({"outcome": "filled", "filled_quantity": "12.5", "average_price": "40.1"}));
}

#[test]
fn they_go_on_where_they_stopped_and_a_rebuild_gives_the_same() {
    let place = Place::new();
    let history = history();
    for cut in [3, 5, 6, 12] {
        let mut opened = place.open();
        let views = keep(&mut opened);
        let from = usize::try_from(opened.journal.last_seq()).unwrap();
        opened.journal.append(&history[from..cut]).unwrap();
        caught_up(&views, u64::try_from(cut).unwrap());
    }
    // Written while no one kept the views.
    place.open().journal.append(&history[12..]).unwrap();
    let mut opened = place.open();
    caught_up(&keep(&mut opened), 14);
    let grown = everything(&place);
    assert_eq!(rebuild_views(&place.journal).unwrap(), 14);
    assert_eq!(everything(&place), grown);
    fs::remove_file(place.file("trading.views.db")).unwrap();
    assert_eq!(rebuild_views(&place.journal).unwrap(), 14);
    assert_eq!(everything(&place), grown);
    // Beside a running projector both end at the same.
    let views = keep(&mut opened);
    opened.journal.append(&plain(15..=2_000)).unwrap();
    assert_eq!(rebuild_views(&place.journal).unwrap(), 2_000);
    caught_up(&views, 2_000);
    assert_eq!(everything(&place)[..6], grown[..6]);
}

#[test]
fn a_snapshot_and_the_entries_alone_give_the_same() {
    let place = Place::new();
    let mut opened = place.open();
    let history = history();
    {
        let views = keep(&mut opened);
        opened.journal.append(&history[..6]).unwrap();
        let book = serde_json::to_string(Books::read(&opened.archive).unwrap().book()).unwrap();
        opened.journal.snapshot(6, &book).unwrap();
        opened.journal.append(&history[6..8]).unwrap();
        caught_up(&views, 8);
    }
    // Resumes from the snapshot at 6, where the views are at 8.
    let views = keep(&mut opened);
    opened.journal.append(&history[8..]).unwrap();
    caught_up(&views, 14);
    drop(views);
    let resumed = everything(&place);
    rebuild_views(&place.journal).unwrap();
    assert_eq!(everything(&place), resumed);
}

#[test]
fn deleted_damaged_or_foreign_views_are_rebuilt_or_left_alone() {
    let place = Place::new();
    let file = place.file("trading.views.db");
    let mut opened = place.open();
    opened.journal.append(&history()).unwrap();
    caught_up(&keep(&mut opened), 14);
    let good = everything(&place);
    let check = |opened: &mut Opened, damage: &dyn Fn()| {
        damage();
        caught_up(&keep(opened), 14);
        assert_eq!(everything(&place), good);
    };
    check(&mut opened, &|| fs::remove_file(&file).unwrap());
    check(&mut opened, &|| fs::write(&file, "garbage ".repeat(2_000)).unwrap());
    check(&mut opened, &|| {
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    });
    check(&mut opened, &|| Connection::open(&file).unwrap().execute_batch("DROP TABLE as_of").unwrap());
    check(&mut opened, &|| Connection::open(&file).unwrap().execute_batch("DELETE FROM as_of").unwrap());
    check(&mut opened, &|| Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 99; DROP TABLE fills").unwrap());
    // Another journal's, or this one's from before a restored backup.
    check(&mut opened, &|| Connection::open(&file).unwrap().execute_batch("UPDATE as_of SET hash = 'other'").unwrap());
    check(&mut opened, &|| Connection::open(&file).unwrap().execute_batch("UPDATE as_of SET as_of_seq = 99").unwrap());
    check(&mut opened, &|| Connection::open(&file).unwrap().execute_batch("UPDATE as_of SET namespace = 'zzzzzz'").unwrap());
    // Deleted while they are kept.
    let views = keep(&mut opened);
    caught_up(&views, 14);
    fs::remove_file(&file).unwrap();
    opened.journal.append(&plain(15..=15)).unwrap();
    caught_up(&views, 15);
    assert_eq!(everything(&place)[..6], good[..6]);
    drop(views);
    // Someone else's database is not ours to overwrite.
    fs::remove_file(&file).unwrap();
    let _ = fs::remove_file(place.file("trading.views.db-wal"));
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let views = keep(&mut opened);
    let trouble = (0..2_000).find_map(|_| {
        assert!(!views.wait_for(1, Duration::from_millis(10)));
        views.trouble()
    });
    assert!(trouble.unwrap().contains("not a file of views"));
    assert_eq!(Connection::open(&file).unwrap().query_row("SELECT count(*) FROM theirs", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn locked_views_delay_nobody_and_catch_up() {
    let place = Place::new();
    let mut opened = place.open();
    let views = keep(&mut opened);
    opened.journal.append(&plain(1..=1)).unwrap();
    caught_up(&views, 1);
    let tool = Connection::open(place.file("trading.views.db")).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    for seq in 2..500 {
        opened.journal.append(&plain([seq])).unwrap();
    }
    assert!(!views.wait_for(499, Duration::from_millis(800)));
    tool.execute_batch("COMMIT").unwrap();
    caught_up(&views, 499);
    assert_eq!(views.trouble(), None);
}

#[test]
fn a_late_trade_of_an_execution_long_gone_is_shown() {
    let place = Place::new();
    let mut opened = place.open();
    let views = keep(&mut opened);
    let mut seq = 0;
    let mut next = || {
        seq += 1;
        seq
    };
    let mut entries = Vec::new();
    for execution in 1..=300 {
        let order = format!("order{execution}");
        entries.push(admitted(next(), execution, &format!("s-{execution}")));
        entries.push(prepared(next(), execution, &order, 0));
        entries.push(reported(next(), execution, &order, "canceled", "0", &[]));
    }
    opened.journal.append(&entries).unwrap();
    let record = omnivenue_core::engine::rebuild(&opened.archive, 1, Vec::new()).unwrap().unwrap();
    let recalled = entry(next(), &Event::Recalled(Box::new(record)), Some(1), None);
    let late = reported(next(), 1, "order1", "filled", "12.5", &[fill("t1", "order1", "40.1", "12.5")]);
    opened.journal.append(&[recalled, late]).unwrap();
    caught_up(&views, 902);
    let legs = rows(&place, "legs");
    assert_eq!(legs.len(), 300);
    shows(&legs[0], json!({"execution": 1, "state": "done", "outcome": "filled", "filled_quantity": "12.5"}));
    shows(&legs[1], json!({"execution": 2, "state": "done", "outcome": "canceled"}));
    assert_eq!((rows(&place, "fills").len(), rows(&place, "positions").len()), (1, 1));
    omnivenue_sqlite::verify(&place.journal, &Default::default(), None).unwrap();
}
