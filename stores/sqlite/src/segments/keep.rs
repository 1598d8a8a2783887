//! What the journal itself lets go of: entries of old segments, a few with each commit, oldest first, in the very transaction of that commit.

use omnivenue_core::journal::{ChainKey, Event};
use rusqlite::Connection;

use super::{Segment, seal};
use crate::chain::{self, Head, ReadError, from_sql, to_sql};
use crate::erase;
use crate::schema;

/// The fewest entries that go with a commit, while there are any to go.
const LEAST: usize = 64;

/// Up to which entry the journal may let go: what lies in closed segments beyond those that stay, and before every snapshot that is kept.
pub(crate) fn spare(conn: &Connection, segments: &[Segment], retain: Option<u32>) -> Result<u64, ReadError> {
    let retain = retain.and_then(|retain| usize::try_from(retain).ok());
    let dropped = retain.and_then(|retain| segments.len().checked_sub(retain)).and_then(|count| segments.get(count.checked_sub(1)?));
    let Some(dropped) = dropped else { return Ok(0) };
    let oldest: Option<i64> = conn.query_row("SELECT min(seq) FROM snapshots", [], |row| row.get(0))?;
    Ok(oldest.map_or(0, |oldest| dropped.last.min(from_sql(oldest).saturating_sub(1))))
}

/// Lets go of some of the entries up to `spare`, within the transaction of the caller, which writes `written` entries: always more go than come.
/// The ids stay, and so do the hashes of bodies. Says up to which entry they are gone.
pub(crate) fn let_go(conn: &Connection, key: &ChainKey, spare: u64, written: usize) -> Result<Head, ReadError> {
    let base = super::base(conn, key)?;
    if spare <= base.seq {
        return Ok(base);
    }
    let most = LEAST.max(written.saturating_mul(2)).min(usize::try_from(spare - base.seq).unwrap_or(usize::MAX));
    let mut commands = Vec::new();
    let head = chain::walk(conn, key, base, most, |entry| {
        if let Event::Admitted(admission) = entry.event()? {
            commands.push((admission.command.id().clone(), admission.body_hash));
        }
        Ok(())
    })?;
    for (id, hash) in &commands {
        let mut body = conn.prepare_cached("INSERT OR IGNORE INTO bodies (signal_id, body_hash) VALUES (?1, ?2)")?;
        body.execute((id.as_str(), hash))?;
    }
    erase::let_go_up_to(conn, head.seq)?;
    conn.prepare_cached("DELETE FROM entries WHERE seq <= ?1")?.execute([to_sql(head.seq)])?;
    let seal = seal(key, head);
    conn.prepare_cached("INSERT OR REPLACE INTO base (one, seq, hash, seal) VALUES (1, ?1, ?2, ?3)")?.execute((
        to_sql(head.seq),
        head.hash.as_bytes(),
        seal.as_bytes(),
    ))?;
    if base.seq == 0 {
        conn.pragma_update(None, "user_version", schema::FORMAT_WITHOUT_BEGINNING)?;
    }
    Ok(head)
}
