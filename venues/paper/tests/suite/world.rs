//! An exchange in virtual time, without latency unless a test wants it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::model::exit::{ExitKind, Trigger};
use omnivenue_core::model::ids::{AccountId, ClientOrderId};
use omnivenue_core::model::instrument::Side;
use omnivenue_core::model::order::{AttachedExit, OrderReport};
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Absence, NonceRule, Quote, Sink};
use omnivenue_paper::{
    AccountTruth, Answer, Config, Latency, Link, LinkError, PlaceOrder, PriceSource, Refusal, RefusalCode, Request, Response, Server,
    Store, Token,
};

pub(crate) const ACCOUNT: &str = "main";

/// An exchange like a preset, still and without spread: HYPE costs 38 for ever.
pub(crate) fn quiet(mut config: Config) -> Config {
    config.latency = Latency::default();
    config.spread = "0".parse().unwrap();
    config.slippage = "0".parse().unwrap();
    for spec in &config.instruments {
        let price = if spec.base.as_str() == "HYPE" { "38" } else { "100" };
        config.prices.insert(spec.symbol.clone(), PriceSource::Fixed { price: price.parse().unwrap() });
    }
    config.with_account(&ACCOUNT.parse().unwrap(), "USDC".parse().unwrap(), "10000".parse().unwrap())
}

/// The same, with the price of HYPE running through these values, one a second.
pub(crate) fn moving(config: Config, path: &[&str]) -> (Config, tempfile::TempDir) {
    let mut config = quiet(config);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hype.csv");
    let mut text = "open_time_ms,open,high,low,close,volume\n".to_owned();
    for (second, price) in path.iter().enumerate() {
        text += &format!("{},{price},{price},{price},{price},1\n", second * 1000);
    }
    std::fs::write(&file, text).unwrap();
    let symbol = config.instruments.iter().find(|spec| spec.base.as_str() == "HYPE").unwrap().symbol.clone();
    config.prices.insert(symbol, PriceSource::Candles { path: file, speed: 1 });
    (config, folder)
}

pub(crate) struct World {
    pub(crate) server: Server,
    pub(crate) config: Arc<Config>,
    pub(crate) now: Timestamp,
    pub(crate) updates: Vec<OrderReport>,
    tokens: u64,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self::with(config, Store::memory())
    }

    pub(crate) fn with(config: Config, store: Store) -> Self {
        Self::at(config, store, Timestamp::from_millis(1_000_000))
    }

    pub(crate) fn at(config: Config, store: Store, now: Timestamp) -> Self {
        let config = Arc::new(config);
        let server = Server::new(Arc::clone(&config), store, now).unwrap();
        Self { server, config, now, updates: Vec::new(), tokens: 0 }
    }

    pub(crate) fn account() -> AccountId {
        ACCOUNT.parse().unwrap()
    }

    /// An order for one HYPE at the market, as a client of this exchange would make it now.
    pub(crate) fn order(&mut self, id: &str, side: Side, quantity: &str, worst_price: &str) -> PlaceOrder {
        self.tokens += 1;
        let spec = self.config.instruments.iter().find(|spec| spec.base.as_str() == "HYPE").unwrap();
        let nonce = u64::try_from(self.now.as_millis()).unwrap() + self.tokens;
        let deadline = match self.config.orders.absence {
            Absence::Window { length, .. } => Some(self.now.after(length)),
            Absence::Burn | Absence::Never => None,
        };
        PlaceOrder {
            client_order_id: id.parse().unwrap(),
            nonce: (self.config.orders.nonce == NonceRule::Milliseconds).then_some(nonce),
            timestamp: self.now,
            deadline,
            symbol: spec.symbol.clone(),
            side,
            quantity: quantity.parse().unwrap(),
            order: OrderType::Market,
            worst_price: worst_price.parse().unwrap(),
            leverage: "1".parse().unwrap(),
            reduce_only: false,
            trigger: None,
            attached: Vec::new(),
        }
    }

    pub(crate) fn submit(&mut self, request: Request) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.server.submit(self.now, token, request);
        token
    }

    /// Lets time pass, and returns what is answered.
    pub(crate) fn wait(&mut self, millis: u64) -> Vec<(Token, Answer)> {
        self.now = self.now.after(Duration::from_millis(millis));
        let polled = self.server.poll(self.now);
        self.updates.extend(polled.updates.into_iter().map(|(_, report)| report));
        polled.answers
    }

    /// Asks and waits up to a minute for the answer; `None` when there is none.
    pub(crate) fn ask(&mut self, request: Request) -> Option<Answer> {
        let token = self.submit(request);
        let until = self.now.after(Duration::from_secs(60));
        loop {
            if let Some((_, answer)) = self.wait(0).into_iter().find(|(whose, _)| *whose == token) {
                return Some(answer);
            }
            let next = self.server.next_wakeup().filter(|next| *next <= until)?;
            self.now = self.now.max(next);
        }
    }

    pub(crate) fn place(&mut self, order: &PlaceOrder) -> Result<OrderReport, Refusal> {
        self.send(&order.to_wire())
    }

    pub(crate) fn send(&mut self, wire: &str) -> Result<OrderReport, Refusal> {
        match self.ask(Request::Place { account: Self::account(), wire: wire.to_owned() }).unwrap() {
            Answer::Ok(response) => match *response {
                Response::Order(report) => Ok(report),
                other => panic!("{other:?}"),
            },
            Answer::Refused(refusal) => Err(refusal),
            Answer::Cut => panic!("the connection was cut"),
        }
    }

    pub(crate) fn query(&mut self, id: &str) -> Result<OrderReport, RefusalCode> {
        let request = Request::Order { account: Self::account(), client_order_id: id.parse().unwrap() };
        match self.ask(request).unwrap() {
            Answer::Ok(response) => match *response {
                Response::Order(report) => Ok(report),
                other => panic!("{other:?}"),
            },
            Answer::Refused(refusal) => Err(refusal.code),
            Answer::Cut => panic!("the connection was cut"),
        }
    }

    pub(crate) fn burn(&mut self, id: &str) -> Answer {
        self.ask(Request::Burn { account: Self::account(), client_order_id: id.parse().unwrap() }).unwrap()
    }

    pub(crate) fn truth(&self) -> AccountTruth {
        self.server.truth().accounts[&Self::account()].clone()
    }

    pub(crate) fn position(&self) -> String {
        let truth = self.truth();
        truth.positions.values().next().map_or("0".into(), |position| position.quantity.to_string())
    }
}

pub(crate) fn limit(order: &PlaceOrder, price: &str, time_in_force: TimeInForce, post_only: bool) -> PlaceOrder {
    PlaceOrder { order: OrderType::Limit { price: price.parse().unwrap(), time_in_force, post_only }, ..order.clone() }
}

/// The same order as one that waits for a trigger.
pub(crate) fn waiting(order: &PlaceOrder, kind: ExitKind, price: &str) -> PlaceOrder {
    PlaceOrder { trigger: Some(Trigger { kind, price: price.parse().unwrap() }), reduce_only: true, ..order.clone() }
}

/// The same order with exits: name, kind, trigger and worst price of each.
pub(crate) fn attach(order: &PlaceOrder, exits: &[(&str, ExitKind, &str, &str)]) -> PlaceOrder {
    let exit = |(name, kind, price, worst): &(&str, ExitKind, &str, &str)| AttachedExit {
        client_order_id: id(name),
        trigger: Trigger { kind: *kind, price: price.parse().unwrap() },
        worst_price: worst.parse().unwrap(),
    };
    PlaceOrder { attached: exits.iter().map(exit).collect(), ..order.clone() }
}

pub(crate) fn id(text: &str) -> ClientOrderId {
    text.parse().unwrap()
}

/// A link into virtual time; an answer that never comes is a connection that breaks.
pub(crate) struct TestLink(pub(crate) Mutex<World>);

#[async_trait]
impl Link for TestLink {
    async fn call(&self, request: Request) -> Result<Response, LinkError> {
        match self.0.lock().unwrap().ask(request) {
            Some(Answer::Ok(response)) => Ok(*response),
            Some(Answer::Refused(refusal)) => Err(refusal.into()),
            Some(Answer::Cut) | None => Err(LinkError::Cut),
        }
    }

    async fn updates(&self, _account: &AccountId, _sink: Sink<OrderReport>) -> Result<(), LinkError> {
        Err(LinkError::Cut)
    }

    async fn quotes(&self, _sink: Sink<Quote>) -> Result<(), LinkError> {
        Err(LinkError::Cut)
    }
}
