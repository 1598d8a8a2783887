//! What a venue brings to the suite: fresh worlds to trade in, faults on request, and the truth to compare with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::model::ids::{AccountId, Asset, ClientOrderId, VenueOrderId, VenueSymbol};
use omnivenue_core::model::number::{Amount, Price, Quantity, SignedQuantity};
use omnivenue_core::model::order::{FillReport, OrderStatus};
use omnivenue_core::venue::{Account, Venue};

/// A venue under test.
#[async_trait]
pub trait Subject: Send + Sync {
    /// Its name in what is printed, and in the filter of the command line.
    fn name(&self) -> String;

    /// A world of its own for one case: nothing has been traded in it, and no other case sees it.
    ///
    /// # Errors
    /// A sentence that says why there is none.
    async fn open(&self) -> Result<Box<dyn World>, String>;
}

/// What goes wrong next, once. The venue decides what the client sees; the suite knows what is true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The next order is lost on its way: the connection breaks, and it was not done.
    LostBefore,
    /// The answer to the next order is lost: the connection breaks, and it was done.
    LostAfter,
    /// The next order is done, and the answer is a failure of the server where the venue knows one; otherwise it is lost.
    ServerFailure,
    /// The connection of the next order breaks, and it is done later, within [`World::lateness`], as the venue's rules still allow then.
    LateCommit,
    /// The next order is done, and no answer ever comes.
    Silence,
    /// The next order is refused without being looked at, as when too many requests came.
    NotLookedAt,
    /// The answer to the next cancel is lost: the connection breaks, and it was done.
    CancelLostAfter,
    /// The next time an order is asked for by its id, the venue denies it.
    FalseNotFound,
    /// The next report of a trade comes twice on the stream.
    Duplicate,
    /// The next report of a trade comes late on the stream, within [`World::lateness`].
    Late,
    /// The next reports never come on the stream.
    Missing,
}

/// A venue, its accounts, and the powers of whoever runs it. Dropping it ends it.
#[async_trait]
pub trait World: Send + Sync {
    /// The venue as the engine sees it.
    fn venue(&self) -> &Arc<dyn Venue>;

    /// At least two accounts: the first with 10,000 of the quote currency, the others with 500 or more. Where the venue has signers, one
    /// signs for all.
    fn accounts(&self) -> &[Arc<dyn Account>];

    /// The first account as a process sees it that has just started: the same login, and nothing remembered of what was done before.
    async fn restarted(&self) -> Result<Arc<dyn Account>, String>;

    /// An account whose credentials the venue does not accept.
    fn stranger(&self) -> &Arc<dyn Account>;

    /// The instrument that is traded. Its price stands still until [`World::set_price`].
    fn symbol(&self) -> &VenueSymbol;

    /// Moves bid and ask of the instrument to this price, give or take a quarter of a percent. What rests and is reached trades at once.
    async fn set_price(&self, price: Price) -> Result<(), String>;

    /// Makes a fault happen.
    async fn strike(&self, fault: Fault) -> Result<(), String>;

    /// Breaks every account's stream that is open: at once, or at the latest when it has something to tell, which is lost then.
    async fn cut_streams(&self) -> Result<(), String>;

    /// Takes the venue off the network: from now on nothing reaches it.
    async fn die(&self);

    /// What the venue itself holds for an account.
    async fn truth(&self, account: &AccountId) -> Result<Truth, String>;

    /// The longest that anything takes which a fault has made late.
    fn lateness(&self) -> Duration;

    /// The decimals to which the venue tells balances; all of them when absent.
    fn money_decimals(&self) -> Option<u32>;

    /// Texts that must not appear in what is written down: keys, passwords, tokens.
    fn secrets(&self) -> Vec<String>;
}

/// What a venue holds for one account, told by the venue's own books and not by its interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Truth {
    /// Every order it ever took.
    pub orders: Vec<TrueOrder>,
    /// Every trade, in order. Names of trades and orders are those of the interface.
    pub fills: Vec<FillReport>,
    /// Positions that are not flat; on spot the holdings other than the quote currency.
    pub positions: BTreeMap<VenueSymbol, SignedQuantity>,
    /// What it started with.
    pub deposits: BTreeMap<Asset, Amount>,
    /// Settled balances.
    pub balances: BTreeMap<Asset, Amount>,
}

/// One order in the venue's books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrueOrder {
    /// The client's name of it.
    pub client_order_id: ClientOrderId,
    /// The venue's name of it.
    pub venue_order_id: VenueOrderId,
    /// The worst price that it may trade at.
    pub price: Price,
    /// How it stands.
    pub status: OrderStatus,
    /// How much of it traded.
    pub filled: Quantity,
}

impl Truth {
    /// The orders of that name.
    #[must_use]
    pub fn named(&self, id: &ClientOrderId) -> Vec<&TrueOrder> {
        self.orders.iter().filter(|order| order.client_order_id == *id).collect()
    }
}
