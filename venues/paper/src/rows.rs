//! The tables of the exchange's file, and the way between their rows and changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use omnivenue_core::model::exit::Trigger;
use omnivenue_core::model::ids::{AccountId, TradeId, VenueId};
use omnivenue_core::model::movement::{FillCause, Movement};
use omnivenue_core::model::order::{Fee, FillReport};
use omnivenue_core::model::time::Timestamp;
use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::books::{Order, Position, Wait};
use crate::state::Change;
use crate::store::StoreError;
use crate::wire::PlaceOrder;

const VERSION: &str = "2";
/// Files of it are read as they are: it knew no orders that wait for a trigger.
const BEFORE: &str = "1";

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS accounts (account TEXT PRIMARY KEY) STRICT;
CREATE TABLE IF NOT EXISTS deposits (account TEXT NOT NULL, asset TEXT NOT NULL, amount TEXT NOT NULL, PRIMARY KEY (account, asset)) STRICT;
CREATE TABLE IF NOT EXISTS balances (account TEXT NOT NULL, asset TEXT NOT NULL, total TEXT NOT NULL, PRIMARY KEY (account, asset)) STRICT;
CREATE TABLE IF NOT EXISTS positions (account TEXT NOT NULL, symbol TEXT NOT NULL, quantity TEXT NOT NULL, cost TEXT NOT NULL,
    realized TEXT NOT NULL, leverage TEXT NOT NULL, PRIMARY KEY (account, symbol)) STRICT;
CREATE TABLE IF NOT EXISTS orders (number INTEGER PRIMARY KEY, account TEXT NOT NULL, client_order_id TEXT NOT NULL, symbol TEXT NOT NULL,
    side TEXT NOT NULL, quantity TEXT NOT NULL, status TEXT NOT NULL, filled TEXT NOT NULL, why TEXT,
    accepted_at_us INTEGER NOT NULL, updated_at_us INTEGER NOT NULL, wire TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS waits (number INTEGER PRIMARY KEY, kind TEXT NOT NULL, trigger_price TEXT NOT NULL, entry INTEGER,
    armed TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS fills (number INTEGER PRIMARY KEY, account TEXT NOT NULL, trade_id TEXT NOT NULL UNIQUE, client_order_id TEXT,
    venue_order_id TEXT NOT NULL, symbol TEXT NOT NULL, side TEXT NOT NULL, price TEXT NOT NULL, quantity TEXT NOT NULL,
    fee_asset TEXT NOT NULL, fee TEXT NOT NULL, at_us INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS forced (trade_id TEXT PRIMARY KEY, cause TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS movements (number INTEGER PRIMARY KEY, account TEXT NOT NULL, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
    asset TEXT NOT NULL, amount TEXT NOT NULL, symbol TEXT, at_us INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS burned (account TEXT NOT NULL, client_order_id TEXT NOT NULL, PRIMARY KEY (account, client_order_id)) STRICT;
CREATE TABLE IF NOT EXISTS refused (account TEXT NOT NULL, client_order_id TEXT NOT NULL, wire TEXT NOT NULL, code TEXT NOT NULL,
    message TEXT NOT NULL, PRIMARY KEY (account, client_order_id)) STRICT;
";

/// What is wrong with a row; the file is added by whoever knows it.
pub(crate) enum RowError {
    Sqlite(rusqlite::Error),
    Value(&'static str, &'static str, String),
    Incompatible(String),
}

impl From<rusqlite::Error> for RowError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl RowError {
    pub(crate) fn at(self, file: &Path) -> StoreError {
        let file = file.to_owned();
        match self {
            Self::Sqlite(source) => StoreError::Sqlite { file, source },
            Self::Value(table, column, value) => StoreError::Unreadable { file, table, column, value },
            Self::Incompatible(reason) => StoreError::Incompatible { file, reason },
        }
    }
}

/// Makes a connection the writer's, and the tables where they are not there.
pub(crate) fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.execute_batch(SCHEMA)
}

fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

/// Names an empty file after its venue and starts its time.
pub(crate) fn begin(connection: &Connection, venue: &VenueId, now: Timestamp) -> Result<(), RowError> {
    if meta(connection, "version")?.is_none() {
        let micros = now.as_micros().to_string();
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('version', ?1), ('venue', ?2), ('epoch_us', ?3)",
            [VERSION, venue.as_str(), &micros],
        )?;
    }
    Ok(())
}

fn has_table(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1", [table], |row| row.get::<_, bool>(0))
}

/// Makes a file that was checked one of this version: an older program must not trade on with orders that it does not understand.
pub(crate) fn upgrade(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE meta SET value = ?1 WHERE key = 'version'", [VERSION]).map(|_| ())
}

/// The epoch of a file of this version or the one before, and of this venue where one is named.
pub(crate) fn check(connection: &Connection, venue: Option<&VenueId>) -> Result<Timestamp, RowError> {
    let version = if has_table(connection, "meta")? { meta(connection, "version")? } else { None };
    match version.as_deref() {
        Some(VERSION | BEFORE) => {}
        Some(other) => {
            return Err(RowError::Incompatible(format!(
                "is a paper exchange's file of version {other}, but this is version {VERSION}; use the version that wrote it, or another file"
            )));
        }
        None => {
            return Err(RowError::Incompatible("is not the file of a paper exchange".into()));
        }
    }
    let owner = meta(connection, "venue")?.unwrap_or_default();
    if let Some(venue) = venue.filter(|venue| venue.as_str() != owner) {
        return Err(RowError::Incompatible(format!("is the file of the paper venue {owner}, not of {venue}")));
    }
    let epoch = meta(connection, "epoch_us")?.unwrap_or_default();
    epoch.parse().map(Timestamp::from_micros).map_err(|_| RowError::Value("meta", "value", epoch))
}

/// The name of a fieldless variant, as serde writes it.
fn name(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Writes changes in one transaction.
pub(crate) fn write(connection: &mut Connection, changes: &[Change]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for change in changes {
        write_one(&transaction, change)?;
    }
    transaction.commit()
}

fn write_one(to: &Connection, change: &Change) -> rusqlite::Result<()> {
    let run = |sql: &str, values: &[&dyn ToSql]| to.prepare(sql)?.execute(values).map(|_| ());
    match change {
        Change::Opened { account, deposits } => {
            run("INSERT INTO accounts (account) VALUES (?1)", params![account.as_str()])?;
            for (asset, amount) in deposits {
                let values: [&dyn ToSql; 3] = [&account.as_str(), &asset.as_str(), &amount.to_string()];
                run("INSERT INTO deposits (account, asset, amount) VALUES (?1, ?2, ?3)", &values)?;
                run("INSERT INTO balances (account, asset, total) VALUES (?1, ?2, ?3)", &values)?;
            }
            Ok(())
        }
        Change::Balance { account, asset, total } => run(
            "INSERT INTO balances (account, asset, total) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET total = excluded.total",
            params![account.as_str(), asset.as_str(), total.to_string()],
        ),
        Change::Position { account, symbol, position } => run(
            "INSERT OR REPLACE INTO positions (account, symbol, quantity, cost, realized, leverage) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                account.as_str(),
                symbol.as_str(),
                position.quantity.to_string(),
                position.cost.to_string(),
                position.realized.to_string(),
                position.leverage.to_string()
            ],
        ),
        Change::Order { account, order } => write_order(to, account, order),
        Change::Fill { account, fill } => write_fill(to, account, fill),
        Change::Moved { account, movement } => run(
            "INSERT INTO movements (account, id, kind, asset, amount, symbol, at_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                account.as_str(),
                movement.id.as_str(),
                name(movement.kind),
                movement.asset.as_str(),
                movement.amount.to_string(),
                movement.symbol.as_ref().map(omnivenue_core::model::ids::VenueSymbol::as_str),
                movement.at.as_micros(),
            ],
        ),
        Change::Burned { account, client_order_id } => {
            run("INSERT INTO burned (account, client_order_id) VALUES (?1, ?2)", params![account.as_str(), client_order_id.as_str()])
        }
        Change::Refused { account, client_order_id, wire, code, message } => run(
            "INSERT OR IGNORE INTO refused (account, client_order_id, wire, code, message) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![account.as_str(), client_order_id.as_str(), wire, name(code), message],
        ),
    }
}

fn write_order(to: &Connection, account: &AccountId, order: &Order) -> rusqlite::Result<()> {
    to.prepare(
        "INSERT INTO orders (number, account, client_order_id, symbol, side, quantity, status, filled, why, accepted_at_us, updated_at_us, wire)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT DO UPDATE SET status = excluded.status, filled = excluded.filled, why = excluded.why, updated_at_us = excluded.updated_at_us",
    )?
    .execute(params![
        i64::try_from(order.number).unwrap_or(i64::MAX),
        account.as_str(),
        order.client_order_id().as_str(),
        order.place.symbol.as_str(),
        name(order.place.side),
        order.place.quantity.to_string(),
        name(order.status),
        order.filled.to_string(),
        order.why,
        order.accepted_at.as_micros(),
        order.updated_at.as_micros(),
        order.wire,
    ])?;
    match (order.place.trigger, order.wait) {
        (Some(trigger), Some(wait)) => write_wait(to, order.number, trigger, wait),
        _ => Ok(()),
    }
}

fn write_wait(to: &Connection, number: u64, trigger: Trigger, wait: Wait) -> rusqlite::Result<()> {
    to.prepare(
        "INSERT INTO waits (number, kind, trigger_price, entry, armed) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO UPDATE SET armed = excluded.armed",
    )?
    .execute(params![
        i64::try_from(number).unwrap_or(i64::MAX),
        name(trigger.kind),
        trigger.price.to_string(),
        wait.entry.map(|entry| i64::try_from(entry).unwrap_or(i64::MAX)),
        wait.armed.to_string(),
    ])
    .map(|_| ())
}

fn write_fill(to: &Connection, account: &AccountId, fill: &FillReport) -> rusqlite::Result<()> {
    if let Some(cause) = fill.cause {
        to.prepare("INSERT INTO forced (trade_id, cause) VALUES (?1, ?2)")?.execute([fill.trade_id.as_str(), &name(cause)])?;
    }
    to.prepare(
        "INSERT INTO fills (account, trade_id, client_order_id, venue_order_id, symbol, side, price, quantity, fee_asset, fee, at_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute(params![
        account.as_str(),
        fill.trade_id.as_str(),
        fill.client_order_id.as_ref().map(omnivenue_core::model::ids::ClientOrderId::as_str),
        fill.venue_order_id.as_str(),
        fill.symbol.as_str(),
        name(fill.side),
        fill.price.to_string(),
        fill.quantity.to_string(),
        fill.fee.asset.as_str(),
        fill.fee.amount.to_string(),
        fill.at.as_micros(),
    ])
    .map(|_| ())
}

/// One row while it is read: knows its table, so that a value that cannot be read is named.
struct Cells<'a> {
    row: &'a Row<'a>,
    table: &'static str,
}

impl Cells<'_> {
    fn text(&self, column: &'static str) -> Result<String, RowError> {
        Ok(self.row.get(column)?)
    }

    fn parse<T: FromStr>(&self, column: &'static str) -> Result<T, RowError> {
        let text = self.text(column)?;
        text.parse().map_err(|_| RowError::Value(self.table, column, text))
    }

    fn named<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, RowError> {
        let text = self.text(column)?;
        serde_json::from_value(serde_json::Value::String(text.clone())).map_err(|_| RowError::Value(self.table, column, text))
    }

    fn number(&self, column: &'static str) -> Result<u64, RowError> {
        let value: i64 = self.row.get(column)?;
        u64::try_from(value).map_err(|_| RowError::Value(self.table, column, value.to_string()))
    }

    fn optional_number(&self, column: &'static str) -> Result<Option<u64>, RowError> {
        let value: Option<i64> = self.row.get(column)?;
        value.map(|value| u64::try_from(value).map_err(|_| RowError::Value(self.table, column, value.to_string()))).transpose()
    }

    fn time(&self, column: &'static str) -> Result<Timestamp, RowError> {
        Ok(Timestamp::from_micros(self.row.get(column)?))
    }
}

fn each(
    connection: &Connection,
    table: &'static str,
    order: &str,
    changes: &mut Vec<Change>,
    read: impl Fn(&Cells<'_>) -> Result<Change, RowError>,
) -> Result<(), RowError> {
    let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY {order}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        changes.push(read(&Cells { row, table })?);
    }
    Ok(())
}

/// Everything in the file, as the changes that lead to it.
pub(crate) fn read(connection: &Connection) -> Result<Vec<Change>, RowError> {
    let mut changes = Vec::new();
    let deposits = read_deposits(connection)?;
    each(connection, "accounts", "account", &mut changes, |row| {
        let account: AccountId = row.parse("account")?;
        let deposits = deposits.get(&account).cloned().unwrap_or_default();
        Ok(Change::Opened { account, deposits })
    })?;
    each(connection, "balances", "account, asset", &mut changes, |row| {
        Ok(Change::Balance { account: row.parse("account")?, asset: row.parse("asset")?, total: row.parse("total")? })
    })?;
    each(connection, "positions", "account, symbol", &mut changes, |row| {
        let position = Position {
            quantity: row.parse("quantity")?,
            cost: row.parse("cost")?,
            realized: row.parse("realized")?,
            leverage: row.parse("leverage")?,
        };
        Ok(Change::Position { account: row.parse("account")?, symbol: row.parse("symbol")?, position })
    })?;
    let waits = read_waits(connection)?;
    each(connection, "orders", "number", &mut changes, |row| read_order(row, &waits))?;
    let mut fills = Vec::new();
    each(connection, "fills", "number", &mut fills, read_fill)?;
    let forced = read_forced(connection)?;
    for change in &mut fills {
        if let Change::Fill { fill, .. } = change {
            fill.cause = forced.get(&fill.trade_id).copied();
        }
    }
    changes.append(&mut fills);
    if has_table(connection, "movements")? {
        each(connection, "movements", "number", &mut changes, read_movement)?;
    }
    each(connection, "burned", "account, client_order_id", &mut changes, |row| {
        Ok(Change::Burned { account: row.parse("account")?, client_order_id: row.parse("client_order_id")? })
    })?;
    each(connection, "refused", "account, client_order_id", &mut changes, |row| {
        Ok(Change::Refused {
            account: row.parse("account")?,
            client_order_id: row.parse("client_order_id")?,
            wire: row.text("wire")?,
            code: row.named("code")?,
            message: row.text("message")?,
        })
    })?;
    Ok(changes)
}

type Deposits = BTreeMap<AccountId, BTreeMap<omnivenue_core::model::ids::Asset, omnivenue_core::model::number::Amount>>;

fn read_deposits(connection: &Connection) -> Result<Deposits, RowError> {
    let mut deposits = Deposits::new();
    let mut statement = connection.prepare("SELECT * FROM deposits")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = Cells { row, table: "deposits" };
        deposits.entry(row.parse("account")?).or_default().insert(row.parse("asset")?, row.parse("amount")?);
    }
    Ok(deposits)
}

fn read_forced(connection: &Connection) -> Result<BTreeMap<TradeId, FillCause>, RowError> {
    let mut forced = BTreeMap::new();
    if !has_table(connection, "forced")? {
        return Ok(forced);
    }
    let mut statement = connection.prepare("SELECT * FROM forced")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = Cells { row, table: "forced" };
        forced.insert(row.parse("trade_id")?, row.named("cause")?);
    }
    Ok(forced)
}

fn read_movement(row: &Cells<'_>) -> Result<Change, RowError> {
    let symbol: Option<String> = row.row.get("symbol")?;
    let symbol = symbol.map(|text| text.parse().map_err(|_| RowError::Value("movements", "symbol", text))).transpose()?;
    let movement = Movement {
        id: row.parse("id")?,
        kind: row.named("kind")?,
        asset: row.parse("asset")?,
        amount: row.parse("amount")?,
        symbol,
        at: row.time("at_us")?,
    };
    Ok(Change::Moved { account: row.parse("account")?, movement })
}

fn read_waits(connection: &Connection) -> Result<BTreeMap<u64, Wait>, RowError> {
    let mut waits = BTreeMap::new();
    if !has_table(connection, "waits")? {
        return Ok(waits);
    }
    let mut statement = connection.prepare("SELECT * FROM waits")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let row = Cells { row, table: "waits" };
        waits.insert(row.number("number")?, Wait { entry: row.optional_number("entry")?, armed: row.parse("armed")? });
    }
    Ok(waits)
}

fn read_order(row: &Cells<'_>, waits: &BTreeMap<u64, Wait>) -> Result<Change, RowError> {
    let wire = row.text("wire")?;
    let number = row.number("number")?;
    let place: PlaceOrder = serde_json::from_str(&wire).map_err(|_| RowError::Value("orders", "wire", wire.clone()))?;
    let wait = waits.get(&number).copied();
    if place.trigger.is_some() != wait.is_some() {
        return Err(RowError::Value("waits", "number", format!("nothing that fits order {number}")));
    }
    let order = Order {
        number,
        place,
        wire,
        wait,
        status: row.named("status")?,
        filled: row.parse("filled")?,
        why: row.row.get("why")?,
        accepted_at: row.time("accepted_at_us")?,
        updated_at: row.time("updated_at_us")?,
    };
    Ok(Change::Order { account: row.parse("account")?, order: Box::new(order) })
}

fn read_fill(row: &Cells<'_>) -> Result<Change, RowError> {
    let client_order_id: Option<String> = row.row.get("client_order_id")?;
    let client_order_id =
        client_order_id.map(|text| text.parse().map_err(|_| RowError::Value("fills", "client_order_id", text))).transpose()?;
    let fill = FillReport {
        trade_id: row.parse("trade_id")?,
        client_order_id,
        venue_order_id: row.parse("venue_order_id")?,
        symbol: row.parse("symbol")?,
        side: row.named("side")?,
        price: row.parse("price")?,
        quantity: row.parse("quantity")?,
        fee: Fee { asset: row.parse("fee_asset")?, amount: row.parse("fee")? },
        at: row.time("at_us")?,
        cause: None,
    };
    Ok(Change::Fill { account: row.parse("account")?, fill })
}
