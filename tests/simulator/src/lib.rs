//! The seeded test world around omnivenue: virtual time, crashes at every step, faults of every kind.
//!
//! One seed is one history: a script of signals, closes and kills runs on the real kernel, the real journal format, the real paper
//! adapters and the real exchange behind its wire; only time, chance and the medium that carries requests are the simulator's. The process
//! "dies" at the journal writes and around the venue calls that the seed picks, loses what was not durable, and starts again. At the
//! end the books must equal the venues', and no key may have taken effect twice.

mod bench;
mod check;
mod crowd;
mod limits;
mod random;
mod reasons;
mod routes;
mod scenario;
mod story;
mod wire;
mod world;

pub use self::bench::Bench;
pub use self::check::Violation;
pub use self::random::Random;
pub use self::scenario::{Action, Rule, Scenario};
pub use self::story::Story;
pub use self::world::{Coverage, History, Stop, run};
pub use omnivenue_paper::{FaultKind, RequestKind};
