//! The tables that follow the state as a whole: positions and equity.

use std::collections::BTreeMap;

use omnivenue_core::executor::Book;
use omnivenue_core::ledger::{Capital, CapitalKey, Position, PositionKey};
use omnivenue_core::model::number::Amount;
use rusqlite::{Connection, params_from_iter};

use super::project::word;
use crate::chain::ReadError;

/// The rows of a table: the key is the first columns.
pub(super) type Rows = BTreeMap<Vec<String>, Vec<Option<String>>>;

/// A table that is written row by row as its rows change.
pub(super) struct Table {
    delete: &'static str,
    insert: &'static str,
    clear: &'static str,
}

pub(super) const POSITIONS: Table = Table {
    delete: "DELETE FROM positions WHERE deployment = ?1 AND account = ?2 AND instrument = ?3",
    insert:
        "INSERT INTO positions (deployment, account, instrument, venue, asset, market, direction, quantity, entry_price, cost, leverage,
             realized_pnl, funding, currency, signals, agent)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, (SELECT agent FROM legs WHERE deployment = ?1 LIMIT 1))",
    clear: "DELETE FROM positions",
};

pub(super) const EQUITY: Table = Table {
    delete: "DELETE FROM equity WHERE account = ?1 AND deployment = ?2 AND currency = ?3",
    insert: "INSERT INTO equity (account, deployment, currency, capital, realized_pnl, fees, funding, committed, reserved, equity)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    clear: "DELETE FROM equity",
};

/// Writes the rows that are not what was shown before; all of them when that is not known.
pub(super) fn replace(conn: &Connection, table: &Table, shown: &mut Option<Rows>, rows: Rows) -> Result<(), ReadError> {
    if shown.is_none() {
        conn.prepare_cached(table.clear)?.execute([])?;
    }
    let before = shown.take().unwrap_or_default();
    for key in before.iter().filter(|(key, row)| rows.get(*key) != Some(*row)).map(|(key, _)| key) {
        conn.prepare_cached(table.delete)?.execute(params_from_iter(key))?;
    }
    for (key, row) in rows.iter().filter(|(key, row)| before.get(*key) != Some(*row)) {
        let columns = key.iter().map(Some).chain(row.iter().map(Option::as_ref));
        conn.prepare_cached(table.insert)?.execute(params_from_iter(columns))?;
    }
    *shown = Some(rows);
    Ok(())
}

pub(super) fn positions(book: &Book) -> Rows {
    let row = |(key, position): (&PositionKey, &Position)| {
        let names = [key.deployment.as_str(), key.account.as_str(), key.symbol.as_str()];
        let terms = position.terms();
        let signals: Vec<&str> = position.lots().map(|lot| lot.signal.as_str()).collect();
        let row = vec![
            Some(position.venue().to_string()),
            Some(terms.asset.to_string()),
            Some(word(&terms.market)),
            Some(if position.quantity().is_long() { "long" } else { "short" }.to_owned()),
            Some(position.quantity().magnitude().to_string()),
            position.entry_price().map(|price| price.to_string()),
            Some(position.cost().to_string()),
            Some(position.leverage().to_string()),
            Some(position.realized().to_string()),
            Some(position.funding().to_string()),
            Some(terms.settle.to_string()),
            Some(word(&signals)),
        ];
        (names.map(str::to_owned).to_vec(), row)
    };
    book.ledger().positions().map(row).collect()
}

pub(super) fn equity(book: &Book) -> Rows {
    let row = |(key, capital): (&CapitalKey, &Capital)| {
        let deployment = key.deployment.as_ref().map_or("", |deployment| deployment.as_str());
        let names = [key.account.as_str(), deployment, key.currency.as_str()];
        // What a deployment may use is configuration, not history.
        let funded = if deployment.is_empty() { book.ledger().funds(&key.account, &key.currency) } else { None };
        let ours = |(place, position): (&PositionKey, &Position)| {
            place.account == key.account
                && position.terms().settle == key.currency
                && (deployment.is_empty() || place.deployment.as_str() == deployment)
        };
        // The journal holds no prices: while something is held, equity is not known.
        let flat = !book.ledger().positions().any(ours);
        let foreign = deployment.is_empty() && book.ledger().foreign(&key.account).any(|(_, position)| !position.quantity().is_zero());
        let unknown = deployment.is_empty() && book.ledger().is_unvalued(&key.account);
        let equity = book.ledger().equity(key, funded, (flat && !foreign && !unknown).then_some(Amount::ZERO));
        let money = book.ledger().money(key).unwrap_or(*capital);
        let row = vec![
            funded.map(|amount| amount.to_string()),
            Some(money.realized.to_string()).filter(|_| !unknown),
            Some(money.fees.to_string()),
            Some(money.funding.to_string()),
            Some(capital.committed.to_string()),
            Some(capital.reserved.to_string()),
            equity.map(|amount| amount.to_string()),
        ];
        (names.map(str::to_owned).to_vec(), row)
    };
    book.ledger().capitals().map(row).collect()
}
