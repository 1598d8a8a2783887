//! What a kill switch has come to: each entry and each position in its scope, and what confirms it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::report::Present;
use crate::executor::{Book, CommandError, Kill, KilledEntry, Setup};
use crate::journal::{KillMode, KillScope};
use crate::ledger::PositionKey;
use crate::model::ids::{AccountId, AgentId, Asset, DeploymentId, VenueId, VenueSymbol};
use crate::model::number::SignedQuantity;
use crate::model::secret::Secret;
use crate::model::time::Timestamp;

/// How a position in the scope of a kill switch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flatness {
    /// The venue's own snapshot, begun after the last that became known of our orders there, shows nothing of ours.
    FlatConfirmed,
    /// Our books say that nothing is left; the venue has not confirmed it.
    FlatUnconfirmed,
    /// It is being closed.
    Closing,
    /// It must become flat, and is not on its way there.
    Stuck,
    /// The switch's mode leaves it as it is.
    Held,
}

/// A position that a kill switch found, or that arose while it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillPosition {
    /// Whose it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// Where its signals were carried out.
    pub deployment: DeploymentId,
    /// The venue.
    pub venue: VenueId,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: VenueSymbol,
    /// How much there was at the throw, in base units, positive is long; zero when it arose later.
    pub then: SignedQuantity,
    /// How much our books say there is.
    pub now: SignedQuantity,
    /// How it stands.
    pub state: Flatness,
    /// When the venue's snapshot came in that confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// Why it is stuck or not confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Protective orders of it that wait at the venue, or may: they go once it is flat.
    pub exits_waiting: usize,
}

/// What an account holds that is not ours: it was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillForeign {
    /// The venue.
    pub venue: VenueId,
    /// The account.
    pub account: AccountId,
    /// The instrument.
    pub instrument: VenueSymbol,
    /// How much is booked as not ours; positive is long.
    pub quantity: SignedQuantity,
    /// How much more the venue shows than is explained: not closed, since nothing says whose it is.
    pub unexplained: SignedQuantity,
}

/// What a kill switch has come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillReport {
    /// What it stops.
    pub scope: KillScope,
    /// What it does beside keeping entries from leaving.
    pub mode: KillMode,
    /// When it was thrown in this mode.
    pub since: Timestamp,
    /// Why.
    pub reason: String,
    /// Whether its mode is carried out in full: nothing is done by `pause` beside the latch; with `cancel` no entry is left that could
    /// trade; with `flatten` every position is confirmed flat as well, and no order that protected one is left.
    pub complete: bool,
    /// Entries that could trade at the throw, and those of which more became known since.
    pub entries: Vec<KilledEntry>,
    /// Positions at the throw, and those that arose since.
    pub positions: Vec<KillPosition>,
    /// What is not ours and was left.
    pub foreign: Vec<KillForeign>,
    /// Why the journal cannot be written, if it cannot: the switch may then hold in this process only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// What a latch has come to; `None` when there is none for this scope. Without an engine nothing is confirmed.
pub(super) fn kill_report(book: &Book, setup: &Setup, present: Option<Present<'_>>, scope: &KillScope) -> Option<KillReport> {
    let kill = book.kill(scope)?;
    let look = Look { book, setup, present, scope, kill };
    let entries: Vec<KilledEntry> = kill.entries.values().cloned().collect();
    let positions: Vec<KillPosition> = look.keys().iter().filter_map(|key| look.position(key)).collect();
    let over = entries.iter().all(|entry| entry.state.is_over());
    let flat = positions.iter().all(|position| position.state == Flatness::FlatConfirmed && position.exits_waiting == 0);
    Some(KillReport {
        scope: scope.clone(),
        mode: kill.mode,
        since: kill.at,
        reason: kill.reason.clone(),
        complete: match kill.mode {
            KillMode::Pause => true,
            KillMode::Cancel => over,
            KillMode::Flatten => over && flat,
        },
        foreign: look.foreign(&positions),
        entries,
        positions,
        failure: present.and_then(|present| present.state.failed()).map(str::to_owned),
    })
}

/// Whether a latch may be lifted with what was given: a halt alone needs nothing.
///
/// # Errors
/// [`CommandError::Denied`]; it tells nothing of either secret.
pub fn may_lift(book: &Book, scope: &KillScope, secret: Option<&Secret>, given: Option<&Secret>) -> Result<(), CommandError> {
    let Some(secret) = secret.filter(|_| book.kill(scope).is_some() || book.is_broken_within(scope)) else { return Ok(()) };
    let words = match given {
        Some(given) if secret.is_same_as(given) => return Ok(()),
        Some(_) => "that is not the secret of the kill switch; it stays on",
        None => "the kill switch has a secret of its own, and is lifted only with it; it stays on",
    };
    Err(CommandError::Denied(words.into()))
}

struct Look<'a> {
    book: &'a Book,
    setup: &'a Setup,
    present: Option<Present<'a>>,
    scope: &'a KillScope,
    kill: &'a Kill,
}

impl Look<'_> {
    fn agent(&self, deployment: &DeploymentId) -> Option<&AgentId> {
        self.setup.deployments.get(deployment).map(|setup| &setup.agent).or_else(|| self.book.agent_of(deployment))
    }

    /// What the fold has noted, and whatever else is held in the scope.
    fn keys(&self) -> BTreeSet<PositionKey> {
        let held = self.book.ledger().positions().filter(|(key, position)| {
            self.scope.holds(self.agent(&key.deployment), &key.account, position.venue(), Some(&position.terms().asset))
        });
        self.kill.positions.keys().cloned().chain(held.map(|(key, _)| key.clone())).collect()
    }

    fn position(&self, key: &PositionKey) -> Option<KillPosition> {
        let found = self.kill.positions.get(key);
        let held = self.book.ledger().position(key);
        let now = held.map_or(SignedQuantity::ZERO, |position| position.quantity());
        let (state, confirmed_at, why) = self.flatness(key, now);
        Some(KillPosition {
            agent: self.agent(&key.deployment).cloned(),
            deployment: key.deployment.clone(),
            venue: found.map(|found| found.venue.clone()).or_else(|| held.map(|position| position.venue().clone()))?,
            account: key.account.clone(),
            instrument: key.symbol.clone(),
            then: found.map_or(SignedQuantity::ZERO, |found| found.then),
            now,
            state,
            confirmed_at,
            why,
            exits_waiting: self.present.map_or(0, |present| present.state.exits_waiting(key)),
        })
    }

    fn flatness(&self, key: &PositionKey, now: SignedQuantity) -> (Flatness, Option<Timestamp>, Option<String>) {
        let Some(present) = self.present else {
            let state = match (now.is_zero(), self.kill.mode) {
                (true, _) => Flatness::FlatUnconfirmed,
                (false, KillMode::Flatten) => Flatness::Stuck,
                (false, _) => Flatness::Held,
            };
            return (state, None, Some("no engine runs, so no venue is asked".into()));
        };
        if now.is_zero() {
            return match present.state.confirmed_flat(key) {
                Ok(at) => (Flatness::FlatConfirmed, Some(at), None),
                Err(why) => (Flatness::FlatUnconfirmed, None, Some(why)),
            };
        }
        if self.kill.mode != KillMode::Flatten {
            return (Flatness::Held, None, None);
        }
        match present.state.stuck(present.setup, key) {
            Some(why) => (Flatness::Stuck, None, Some(why)),
            None => (Flatness::Closing, None, None),
        }
    }

    /// What is not ours on the accounts of the scope; of an agent, where it has positions.
    fn foreign(&self, positions: &[KillPosition]) -> Vec<KillForeign> {
        let mut found = Vec::new();
        for (account, setup) in &self.setup.accounts {
            let booked = self.book.ledger().instruments_of(account);
            let shown = self.present.into_iter().flat_map(|present| present.state.shown_on(account));
            let symbols: BTreeSet<&VenueSymbol> = booked.chain(shown).collect();
            for symbol in symbols {
                let quantity = self.book.ledger().external_quantity(account, symbol).unwrap_or_default();
                let unexplained = self.present.map(|present| present.state.unexplained(account, symbol)).unwrap_or_default();
                let ours = || positions.iter().any(|position| position.account == *account && position.instrument == *symbol);
                if (quantity.is_zero() && unexplained.is_zero()) || !(self.is_within(account, &setup.venue, symbol) || ours()) {
                    continue;
                }
                let (venue, account, instrument) = (setup.venue.clone(), account.clone(), symbol.clone());
                found.push(KillForeign { venue, account, instrument, quantity, unexplained });
            }
        }
        found
    }

    fn is_within(&self, account: &AccountId, venue: &VenueId, symbol: &VenueSymbol) -> bool {
        let instrument = self.setup.venues.get(venue).and_then(|venue| venue.instruments.get(symbol));
        let asset: Option<Asset> = instrument.map(|instrument| self.setup.assets.resolve(&instrument.base).0);
        self.scope.holds(None, account, venue, asset.as_ref())
    }
}
