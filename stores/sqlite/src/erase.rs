//! What callers attached to signals, and erasing it from the file itself.
//!
//! A text is overwritten in its place with as many blanks, and no row is ever deleted from among others: SQLite would move its neighbors within
//! the file and leave copies of them behind, which no later erasure would find. Where the journal lets go of old entries, a new table is begun
//! with each closed segment, and a table of which nothing is kept goes as a whole; its pages are zeroed. The write-ahead log is emptied after
//! an erasure. The entries hold only a hash of the text, so that the chain stays whole.

use omnivenue_core::model::ids::SignalId;
use rusqlite::{Connection, OptionalExtension};

use crate::chain::to_sql;

/// The first of the tables; the others have the number of a segment behind it.
const FIRST: &str = "metadata";

/// The tables, oldest first.
fn tables(conn: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut names =
        conn.prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'table' AND name GLOB 'metadata*' ORDER BY length(name), name")?;
    names.query_map([], |row| row.get(0))?.collect()
}

/// The table that new texts go to.
pub(crate) fn latest_table(conn: &Connection) -> rusqlite::Result<String> {
    Ok(tables(conn)?.pop().unwrap_or_else(|| FIRST.to_owned()))
}

/// Begins a new table, as a segment was closed; within the transaction of the caller.
pub(crate) fn begin_table(conn: &Connection, segment: u64) -> rusqlite::Result<String> {
    let name = format!("{FIRST}_{segment:012}");
    conn.execute_batch(&format!("CREATE TABLE IF NOT EXISTS {name} (seq INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT"))?;
    Ok(name)
}

/// Keeps what was attached to the signal of an entry.
pub(crate) fn attach(conn: &Connection, table: &str, seq: u64, body: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(&format!("INSERT INTO {table} (seq, body) VALUES (?1, ?2)"))?.execute((to_sql(seq), body)).map(drop)
}

/// What is attached to a signal; what was erased is blank and counts as nothing.
pub(crate) fn attached(conn: &Connection, signal: &SignalId) -> rusqlite::Result<Option<String>> {
    for table in tables(conn)? {
        let mut find = conn.prepare_cached(&format!(
            "SELECT m.body FROM signals s JOIN entries e ON e.execution = s.execution JOIN {table} m ON m.seq = e.seq
             WHERE s.signal_id = ?1 AND trim(m.body) <> '' ORDER BY m.seq LIMIT 1"
        ))?;
        if let Some(body) = find.query_row([signal.as_str()], |row| row.get(0)).optional()? {
            return Ok(Some(body));
        }
    }
    Ok(None)
}

/// Overwrites what was attached to a signal, within the transaction of the caller. Says whether there was anything.
pub(crate) fn blank(conn: &Connection, signal: &SignalId) -> rusqlite::Result<bool> {
    let mut any = false;
    for table in tables(conn)? {
        let found: Vec<(i64, i64)> = {
            let mut find = conn.prepare_cached(&format!(
                "SELECT m.seq, length(CAST(m.body AS BLOB)) FROM signals s JOIN entries e ON e.execution = s.execution
                 JOIN {table} m ON m.seq = e.seq WHERE s.signal_id = ?1 AND trim(m.body) <> ''"
            ))?;
            find.query_map([signal.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
        };
        overwrite(conn, &table, &found)?;
        any |= !found.is_empty();
    }
    Ok(any)
}

/// Overwrites everything that was attached to entries up to one, and lets go of the tables that hold nothing else.
pub(crate) fn let_go_up_to(conn: &Connection, seq: u64) -> rusqlite::Result<()> {
    let tables = tables(conn)?;
    for (place, table) in tables.iter().enumerate() {
        let found: Vec<(i64, i64)> = {
            let sql = format!("SELECT seq, length(CAST(body AS BLOB)) FROM {table} WHERE seq <= ?1 AND trim(body) <> ''");
            let mut find = conn.prepare_cached(&sql)?;
            find.query_map([to_sql(seq)], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
        };
        overwrite(conn, table, &found)?;
        let last: Option<i64> = conn.prepare_cached(&format!("SELECT max(seq) FROM {table}"))?.query_row([], |row| row.get(0))?;
        let over = last.is_none_or(|last| last <= to_sql(seq)) && place + 1 < tables.len();
        if over {
            conn.flush_prepared_statement_cache();
            conn.execute_batch(&format!("DROP TABLE {table}"))?;
        }
    }
    Ok(())
}

fn overwrite(conn: &Connection, table: &str, found: &[(i64, i64)]) -> rusqlite::Result<()> {
    let blanks = |length: i64| " ".repeat(usize::try_from(length).unwrap_or(0));
    let mut update = conn.prepare_cached(&format!("UPDATE {table} SET body = ?2 WHERE seq = ?1"))?;
    found.iter().try_for_each(|(seq, length)| update.execute((seq, blanks(*length))).map(drop))
}
