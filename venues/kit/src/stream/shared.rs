//! What the reading task and the session share.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{Counters, Data, Event, Frame, Freshness, Overflow, SessionConfig, StreamError, Subscription};
use crate::clock::{self, Monotonic};

#[derive(Debug)]
pub(super) struct Shared<M> {
    state: Mutex<State<M>>,
    bell: Notify,
}

#[derive(Debug)]
struct State<M> {
    tracks: Vec<Track>,
    by_key: HashMap<Arc<str>, usize>,
    unacknowledged: usize,
    queue: VecDeque<Waiting<M>>,
    queued_bytes: usize,
    queue_max: usize,
    queue_bytes_max: usize,
    counters: Counters,
    end: End,
}

/// One subscription.
#[derive(Debug)]
struct Track {
    key: Arc<str>,
    stale_after: Option<Duration>,
    overflow: Overflow,
    acknowledged: Option<Monotonic>,
    last: Option<Monotonic>,
    received: u64,
    dropped: u64,
    told_stale: bool,
}

#[derive(Debug)]
struct Waiting<M> {
    event: Event<M>,
    bytes: usize,
    /// The subscription, where it may be dropped.
    droppable: Option<usize>,
}

#[derive(Debug)]
enum End {
    Running,
    Failed(StreamError),
    Told,
}

impl End {
    /// Why it is over, if it is. The reason itself is told once.
    fn tell(&mut self) -> Option<StreamError> {
        match std::mem::replace(self, Self::Told) {
            Self::Running => {
                *self = Self::Running;
                None
            }
            Self::Failed(error) => Some(error),
            Self::Told => Some(StreamError::Over),
        }
    }
}

/// More subscriptions than any venue takes on one connection.
const SUBSCRIPTIONS_MAX: usize = 2048;

/// How many characters of a venue's complaint are kept.
const COMPLAINT_MAX: usize = 200;

impl<M> Shared<M> {
    pub(super) fn new(config: &SessionConfig, subscriptions: &[Subscription]) -> Result<Self, StreamError> {
        let wrong = |what: String| Err(StreamError::Config(what));
        if subscriptions.len() > SUBSCRIPTIONS_MAX {
            return wrong(format!("{} subscriptions on one connection; at most {SUBSCRIPTIONS_MAX}", subscriptions.len()));
        }
        if config.queue_max == 0 || config.ping_every.is_zero() || config.silent_after <= config.ping_every {
            return wrong("a stream needs room for an event, and a silence longer than its keep-alive".to_owned());
        }
        let mut by_key = HashMap::new();
        let mut tracks = Vec::new();
        for (at, subscription) in subscriptions.iter().enumerate() {
            let track = Track::new(subscription);
            if by_key.insert(Arc::clone(&track.key), at).is_some() {
                return wrong(format!("the subscription {} is there twice", track.key));
            }
            tracks.push(track);
        }
        let state = State {
            unacknowledged: tracks.len(),
            tracks,
            by_key,
            queue: VecDeque::new(),
            queued_bytes: 0,
            queue_max: config.queue_max,
            queue_bytes_max: config.queue_bytes_max,
            counters: Counters::default(),
            end: End::Running,
        };
        Ok(Self { state: Mutex::new(state), bell: Notify::new() })
    }

    /// Completes at the next news; there is one who waits.
    pub(super) fn news(&self) -> Notified<'_> {
        self.bell.notified()
    }

    pub(super) fn pop(&self) -> Option<Result<Event<M>, StreamError>> {
        let mut state = self.lock();
        if let Some(waiting) = state.queue.pop_front() {
            state.queued_bytes -= waiting.bytes;
            return Some(Ok(waiting.event));
        }
        state.end.tell().map(Err)
    }

    /// Whether all is acknowledged, or why that will not be.
    pub(super) fn ready(&self) -> Option<Result<(), StreamError>> {
        let mut state = self.lock();
        if state.unacknowledged == 0 {
            // What comes after is told by `next`.
            return Some(Ok(()));
        }
        state.end.tell().map(Err)
    }

    pub(super) fn unacknowledged(&self) -> Vec<String> {
        let state = self.lock();
        state.tracks.iter().filter(|track| track.acknowledged.is_none()).take(10).map(|track| track.key.to_string()).collect()
    }

    /// The first failure is the one that is told.
    pub(super) fn fail(&self, error: StreamError) {
        let mut state = self.lock();
        if matches!(state.end, End::Running) {
            state.end = End::Failed(error);
        }
        drop(state);
        self.bell.notify_one();
    }

    /// A frame that is none of the venue's messages, such as a protocol pong.
    pub(super) fn count(&self) {
        self.lock().counters.frames += 1;
    }

    /// Takes one frame, of so many bytes.
    pub(super) fn take(&self, frame: Frame<M>, bytes: usize, now: Monotonic) -> Result<(), StreamError> {
        let mut state = self.lock();
        state.counters.frames += 1;
        let taken = state.take(frame, bytes, now);
        drop(state);
        self.bell.notify_one();
        taken
    }

    /// Tells which subscriptions have become stale.
    pub(super) fn look_at_clocks(&self, now: Monotonic) {
        let mut state = self.lock();
        let State { tracks, queue, queue_max, .. } = &mut *state;
        // What finds no room is told at a later look.
        for track in tracks.iter_mut().filter(|track| !track.told_stale && track.is_stale(now)).take(queue_max.saturating_sub(queue.len()))
        {
            track.told_stale = true;
            let event = Event::Stale { key: Arc::clone(&track.key), age: track.silence(now).unwrap_or_default() };
            queue.push_back(Waiting { event, bytes: 0, droppable: None });
        }
        let news = !queue.is_empty();
        drop(state);
        if news {
            self.bell.notify_one();
        }
    }

    pub(super) fn freshness(&self, now: Monotonic) -> Vec<Freshness> {
        self.lock().tracks.iter().map(|track| track.freshness(now)).collect()
    }

    pub(super) fn counters(&self) -> Counters {
        self.lock().counters
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        // What panics is the venue's `Protocol`, which runs outside the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M> State<M> {
    fn take(&mut self, frame: Frame<M>, bytes: usize, now: Monotonic) -> Result<(), StreamError> {
        match frame {
            Frame::Ack(key) => self.acknowledge(&key, now),
            Frame::Data(key, message) => return self.data(&key, message, bytes, now),
            Frame::Pong => {}
            Frame::Error(words) => return self.complain(&words),
            Frame::Other => self.counters.other += 1,
        }
        Ok(())
    }

    fn acknowledge(&mut self, key: &str, now: Monotonic) {
        let Some(at) = self.by_key.get(key) else {
            self.counters.unclaimed += 1;
            return;
        };
        let track = &mut self.tracks[*at];
        // A second one changes nothing.
        if track.acknowledged.is_none() {
            track.acknowledged = Some(now);
            self.unacknowledged -= 1;
        }
    }

    fn data(&mut self, key: &str, message: M, bytes: usize, now: Monotonic) -> Result<(), StreamError> {
        let Some(at) = self.by_key.get(key).copied() else {
            self.counters.unclaimed += 1;
            return Ok(());
        };
        let track = &mut self.tracks[at];
        track.last = Some(now);
        track.received += 1;
        track.told_stale = false;
        let droppable = (track.overflow == Overflow::DropOldest).then_some(at);
        let data = Data { key: Arc::clone(&track.key), received: now, received_at: clock::wall(), message };
        self.make_room(bytes)?;
        self.queued_bytes += bytes;
        self.queue.push_back(Waiting { event: Event::Data(data), bytes, droppable });
        Ok(())
    }

    fn complain(&mut self, words: &str) -> Result<(), StreamError> {
        let message: String = words.chars().take(COMPLAINT_MAX).collect();
        if self.unacknowledged > 0 {
            return Err(StreamError::Subscription { message });
        }
        self.make_room(message.len())?;
        self.queued_bytes += message.len();
        self.queue.push_back(Waiting { bytes: message.len(), event: Event::Error(message), droppable: None });
        Ok(())
    }

    /// Drops the oldest messages that may go, until there is room for one more of so many bytes.
    fn make_room(&mut self, bytes: usize) -> Result<(), StreamError> {
        while self.queue.len() >= self.queue_max || (self.queued_bytes + bytes > self.queue_bytes_max && !self.queue.is_empty()) {
            let oldest = self.queue.iter().position(|waiting| waiting.droppable.is_some());
            let Some(gone) = oldest.and_then(|at| self.queue.remove(at)) else {
                return Err(StreamError::Overflow { waiting: self.queue.len() });
            };
            self.queued_bytes -= gone.bytes;
            self.counters.dropped += 1;
            if let Some(at) = gone.droppable {
                self.tracks[at].dropped += 1;
            }
        }
        Ok(())
    }
}

impl Track {
    fn new(subscription: &Subscription) -> Self {
        Self {
            key: subscription.key.as_str().into(),
            stale_after: subscription.stale_after,
            overflow: subscription.overflow,
            acknowledged: None,
            last: None,
            received: 0,
            dropped: 0,
            told_stale: false,
        }
    }

    /// Since its last news, or since it was acknowledged.
    fn silence(&self, now: Monotonic) -> Option<Duration> {
        self.last.max(self.acknowledged).map(|since| now.since(since))
    }

    fn is_stale(&self, now: Monotonic) -> bool {
        self.stale_after.zip(self.silence(now)).is_some_and(|(most, silence)| silence > most)
    }

    fn freshness(&self, now: Monotonic) -> Freshness {
        Freshness {
            key: Arc::clone(&self.key),
            age: self.last.map(|last| now.since(last)),
            received: self.received,
            dropped: self.dropped,
            stale: self.is_stale(now),
        }
    }
}
