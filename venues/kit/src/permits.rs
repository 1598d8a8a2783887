//! Permits to send: a venue's rate budget, kept so that what reduces risk is never starved.

mod window;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use self::window::Window;
use crate::clock;

/// What the venue allows: `capacity` weight in every window of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// The weight that may be spent in one window. Less than the venue's own number where others share it, since
    /// permits are counted when given and the network may push two windows together.
    pub capacity: u32,
    /// The window.
    pub window: Duration,
    /// How much of the capacity only exits may spend: the last part of it.
    pub reserved: u32,
}

/// What the permit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Use {
    /// A question.
    Read,
    /// An order that adds risk.
    Entry,
    /// What reduces risk: reducing orders, protective orders, cancels, burning a nonce.
    Exit,
}

/// Why there will never be a permit, or not in reasonable time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PermitError {
    /// The weight is above everything that this use may ever spend in one window.
    #[error("a request of weight {weight} never fits: at most {most} can be spent at once")]
    TooHeavy {
        /// The weight asked for.
        weight: u32,
        /// The most that could be given.
        most: u32,
    },
    /// Too many wait already; asking for more permits than the venue gives does not get them.
    #[error("{waiting} requests wait for a permit already")]
    Crowded {
        /// How many wait.
        waiting: usize,
    },
}

/// The permits of one budget. Share it (`Arc`) between all that the venue counts together.
///
/// Exits go before everything else and alone may spend the reserved part. Entries and reads share the rest in the order
/// they came, so neither starves the other. Dropping the future of [`Permits::take`] gives up the place in the queue;
/// a permit that was given is spent, used or not.
#[derive(Debug)]
pub struct Permits {
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    window: Window,
    paused_until: Option<Instant>,
    exits: VecDeque<Waiter>,
    others: VecDeque<Waiter>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    bell: Arc<Notify>,
}

/// The place in a queue; given up on drop.
struct Place<'a> {
    permits: &'a Permits,
    usage: Use,
    ticket: u64,
    bell: Arc<Notify>,
}

enum Turn {
    Granted,
    At(Instant),
    /// Not at the head of the queue, or exits wait: the bell rings.
    Behind,
}

impl Permits {
    /// The longest pause that one call of [`Permits::pause_for`] makes: a hint of a venue is no reason to stop for a day.
    pub const PAUSE_MAX: Duration = Duration::from_secs(300);

    /// How many may wait in each of the two queues.
    pub const WAITING_MAX: usize = 4096;

    /// Nothing spent yet. A reserve above the capacity is the whole of it.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        let state =
            State { window: Window::new(budget.window), paused_until: None, exits: VecDeque::new(), others: VecDeque::new(), tickets: 0 };
        Self { budget: Budget { reserved: budget.reserved.min(budget.capacity), ..budget }, state: Mutex::new(state) }
    }

    /// Waits for a permit to send a request of this weight and spends it. A weight of zero waits for its turn only.
    ///
    /// # Errors
    /// [`PermitError`] at once, when the weight never fits or too many wait; nothing is spent then.
    pub async fn take(&self, weight: u32, usage: Use) -> Result<(), PermitError> {
        let most = self.most(usage);
        if weight > most {
            return Err(PermitError::TooHeavy { weight, most });
        }
        let place = self.line_up(usage)?;
        loop {
            // Registered before looking, so that a bell between the look and the wait is not lost.
            let rung = place.bell.notified();
            let turn = self.lock().turn(clock::paced(), weight, usage, place.ticket, most);
            match turn {
                Turn::Granted => return Ok(()),
                Turn::Behind => rung.await,
                Turn::At(when) => {
                    tokio::select! {
                        () = rung => {}
                        () = tokio::time::sleep_until(when) => {}
                    }
                }
            }
        }
    }

    /// Spends a permit if one is free now and nobody waits before.
    #[must_use]
    pub fn try_take(&self, weight: u32, usage: Use) -> bool {
        let most = self.most(usage);
        let mut state = self.lock();
        let free = weight <= most && state.exits.is_empty() && (usage == Use::Exit || state.others.is_empty());
        free && matches!(state.grant(clock::paced(), weight, most), Turn::Granted)
    }

    /// Gives no permit for a while, as after an answer of "too many requests"; at most [`Permits::PAUSE_MAX`]. Exits wait
    /// too, and go first when it is over. A shorter pause does not end a longer one.
    pub fn pause_for(&self, length: Duration) {
        let until = clock::paced() + length.min(Self::PAUSE_MAX);
        let mut state = self.lock();
        state.paused_until = state.paused_until.max(Some(until));
    }

    /// The weight spent within the present window.
    #[must_use]
    pub fn spent(&self) -> u32 {
        self.lock().window.spent(clock::paced())
    }

    /// The weight that this use could spend at once, now; zero during a pause.
    #[must_use]
    pub fn left(&self, usage: Use) -> u32 {
        let (mut state, now) = (self.lock(), clock::paced());
        if state.paused_until.is_some_and(|until| until > now) {
            return 0;
        }
        self.most(usage).saturating_sub(state.window.spent(now))
    }

    /// How many wait for a permit.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let state = self.lock();
        state.exits.len() + state.others.len()
    }

    /// What it was made with.
    #[must_use]
    pub const fn budget(&self) -> Budget {
        self.budget
    }

    fn most(&self, usage: Use) -> u32 {
        match usage {
            Use::Exit => self.budget.capacity,
            Use::Entry | Use::Read => self.budget.capacity - self.budget.reserved,
        }
    }

    fn line_up(&self, usage: Use) -> Result<Place<'_>, PermitError> {
        let bell = Arc::new(Notify::new());
        let mut state = self.lock();
        state.tickets += 1;
        let ticket = state.tickets;
        let queue = state.queue(usage);
        if queue.len() >= Self::WAITING_MAX {
            return Err(PermitError::Crowded { waiting: queue.len() });
        }
        queue.push_back(Waiter { ticket, bell: Arc::clone(&bell) });
        drop(state);
        Ok(Place { permits: self, usage, ticket, bell })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing between two changes of the state can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queue(&mut self, usage: Use) -> &mut VecDeque<Waiter> {
        match usage {
            Use::Exit => &mut self.exits,
            Use::Entry | Use::Read => &mut self.others,
        }
    }

    fn turn(&mut self, now: Instant, weight: u32, usage: Use, ticket: u64, most: u32) -> Turn {
        let first = self.queue(usage).front().is_some_and(|head| head.ticket == ticket);
        if !first || (usage != Use::Exit && !self.exits.is_empty()) {
            return Turn::Behind;
        }
        self.grant(now, weight, most)
    }

    fn grant(&mut self, now: Instant, weight: u32, most: u32) -> Turn {
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return Turn::At(until);
        }
        match self.window.room(now, weight, most) {
            Some(when) => Turn::At(when),
            None => {
                self.window.spend(now, weight);
                Turn::Granted
            }
        }
    }

    /// Rings for the heads of both queues: one of them may be next.
    fn ring(&self) {
        for head in [self.exits.front(), self.others.front()].into_iter().flatten() {
            head.bell.notify_one();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.permits.lock();
        let queue = state.queue(self.usage);
        if let Some(at) = queue.iter().position(|waiter| waiter.ticket == self.ticket) {
            queue.remove(at);
        }
        state.ring();
    }
}

#[cfg(test)]
mod tests;
