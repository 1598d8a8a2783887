//! The shell around the state machine.

mod asking;
mod committer;
mod env;
mod feed;
mod handle;
mod kernel;
mod killed;
mod pending;
mod report;
mod shell;

pub use self::env::{BoxFuture, Env, SystemEnv};
pub use self::feed::{EventEntry, EventFeed};
pub use self::handle::{Engine, EngineError, OpenError, Parts, Wait};
pub use self::kernel::{Batch, Kernel, ReplayError, Replayed, Task, rebuild, replay};
pub use self::killed::{Flatness, KillForeign, KillPosition, KillReport, may_lift};
pub use self::report::{
    AccountHealth, Books, BreakerHealth, DepegHealth, DutyReport, FillSummary, Health, KillLatch, LossHealth, OrderSummary, UnknownOrder,
    WaitingSignal, opened_anything,
};
