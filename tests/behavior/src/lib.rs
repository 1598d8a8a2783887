#![doc = include_str!("../README.md")]

mod case;
mod cases;
mod clock;
mod desk;
mod ear;
mod run;
mod stage;
mod subject;
mod subjects;

pub use self::case::{Case, Failed, Need, Verdict, expect};
pub use self::cases::all;
pub use self::desk::{Desk, Nonces, Wish, careless};
pub use self::ear::Ear;
pub use self::run::{Report, run};
pub use self::stage::{PATIENCE, Stage, evidence, is_near};
pub use self::subject::{Fault, Subject, TrueOrder, Truth, World};
pub use self::subjects::{HyperliquidSubject, Paper, PaperOnHyperliquid};
