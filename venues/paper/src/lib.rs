#![doc = include_str!("../README.md")]

mod config;
mod contracts;
mod presets;

mod candles;
mod live;
mod prices;
mod random;

mod books;
mod exchange;
mod expiry;
mod funding;
mod funds;
mod market;
mod matching;
mod queries;
mod rules;
mod state;
mod triggers;

mod faults;
mod server;
mod wire;

mod outside;
mod rows;
mod store;

mod convert;
mod errors;
mod link;
mod probe;
mod venue;

mod clock;
mod follow;
mod thread;

pub use self::books::{AccountTruth, Order, Position, Truth, Wait};
pub use self::candles::{CandleError, CandleReader, CandleRow, Candles};
pub use self::config::{Config, ConfigError, Latency, PriceSource};
pub use self::exchange::{Burn, Exchange, PaperError};
pub use self::faults::{FaultConfig, FaultKind};
pub use self::funding::Funding;
pub use self::link::{Link, LinkError};
pub use self::presets::LeftOut;
pub use self::prices::Prices;
pub use self::probe::{Question, probe};
pub use self::random::Random;
pub use self::server::{Placement, PlacementOutcome, Polled, Server, Token};
pub use self::state::{Change, State};
pub use self::store::{Store, StoreError};
pub use self::thread::PaperExchange;
pub use self::venue::{PaperAccount, PaperVenue};
pub use self::wire::{Answer, PlaceOrder, Refusal, RefusalCode, Request, RequestKind, Response};
