//! Time, chance and threads: the one door through which they come in.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::executor::Now;
use crate::model::time::Timestamp;

/// A boxed future, as traits give it.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Time, randomness and spawning. The simulator has its own.
pub trait Env: Send + Sync + fmt::Debug {
    /// The present.
    fn now(&self) -> Now;

    /// A random number.
    fn random(&self) -> u64;

    /// Completes after a length of time.
    fn sleep(&self, length: Duration) -> BoxFuture<()>;

    /// Runs something on a thread of its own.
    ///
    /// # Errors
    /// When the machine gives no thread.
    fn spawn_thread(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> std::io::Result<()>;
}

/// The real one.
#[derive(Debug, Default)]
pub struct SystemEnv;

impl SystemEnv {
    /// The real one, shared.
    #[must_use]
    pub fn shared() -> Arc<dyn Env> {
        Arc::new(Self)
    }
}

/// A clock that never goes back and counts the time the machine was suspended, where the system has one.
fn monotonic() -> u64 {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    u64::try_from(i128::from(time.tv_sec) * 1_000_000 + i128::from(time.tv_nsec) / 1_000).unwrap_or(0)
}

fn wall() -> Timestamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    let micros = i128::from(time.tv_sec) * 1_000_000 + i128::from(time.tv_nsec) / 1_000;
    Timestamp::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

impl Env for SystemEnv {
    fn now(&self) -> Now {
        Now { wall: wall(), monotonic: monotonic() }
    }

    fn random(&self) -> u64 {
        getrandom::u64().unwrap_or_else(|_| monotonic())
    }

    fn sleep(&self, length: Duration) -> BoxFuture<()> {
        Box::pin(tokio::time::sleep(length))
    }

    fn spawn_thread(&self, name: &str, body: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
        std::thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
    }
}
