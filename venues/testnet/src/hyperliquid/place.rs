//! Taking orders: what the venue refuses for a whole batch, what it refuses one by one, and what goes to the exchange.

use omnivenue_core::model::ids::ClientOrderId;
use omnivenue_core::model::instrument::Side;
use omnivenue_core::model::number::{Leverage, Price, Quantity};
use omnivenue_core::model::order::{OrderReport, OrderStatus};
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_paper::{PlaceOrder, RefusalCode};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::envelope::Authorized;
use super::numbers;
use super::orders::{Order, Stage, Trigger};
use super::sign::Address;
use super::state::Hyperliquid;
use super::universe::Coin;
use super::wire::{Kind, OrderWire};

/// Who places, under which nonce, and what a builder takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) who: Authorized,
    pub(crate) nonce: u64,
    pub(crate) builder: Option<(Address, u64)>,
}

/// An order that has passed what depends on its text alone.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) coin: Coin,
    pub(crate) wire: OrderWire,
    pub(crate) price: Price,
    pub(crate) quantity: Quantity,
    pub(crate) trigger: Option<Trigger>,
}

/// A refusal of one order: the word it goes down in history with, and the venue's sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) status: &'static str,
    pub(crate) text: String,
}

impl Rejection {
    fn new(status: &'static str, text: &str, asset: u32) -> Self {
        Self { status, text: format!("{text} asset={asset}") }
    }
}

/// A positive price on the rule.
fn price(text: &str, coin: &Coin) -> Result<Price, String> {
    let price = numbers::read(text).and_then(|value| Price::new(value).ok()).ok_or("Order has invalid price.")?;
    if coin.price_rule.allows(price) { Ok(price) } else { Err(format!("Price must be divisible by tick size. asset={}", coin.asset)) }
}

fn size(text: &str, coin: &Coin, may_be_zero: bool) -> Result<Quantity, String> {
    let size = numbers::read(text).and_then(|value| Quantity::new(value).ok()).ok_or("Order has invalid size.")?;
    if size.is_zero() && !may_be_zero {
        return Err("Order has zero size.".into());
    }
    if size.decimal().scale() > coin.sz_decimals { Err("Order has invalid size.".into()) } else { Ok(size) }
}

impl Hyperliquid {
    /// What can be told from the text of an order alone; one fault refuses the batch.
    ///
    /// Source: the venue's documentation, "Error responses", on pre-validation, read 2026-11-20.
    pub(crate) fn draft(&self, wire: OrderWire, position: bool) -> Result<Draft, String> {
        let coin = self.market.asset(wire.asset).cloned().ok_or_else(|| format!("Asset {} does not exist.", wire.asset))?;
        let order_price = price(&wire.price, &coin)?;
        let quantity = size(&wire.size, &coin, position)?;
        let trigger = match &wire.kind {
            Kind::Limit { .. } => None,
            Kind::Trigger { market, price: text, tpsl } => {
                Some(Trigger { market: *market, price: price(text, &coin)?, tpsl: *tpsl, position })
            }
        };
        Ok(Draft { coin, wire, price: order_price, quantity, trigger })
    }

    /// An order made of a draft, with a number of its own.
    pub(crate) fn make(&mut self, origin: Origin, draft: &Draft) -> Order {
        let now = self.now_ms();
        Order {
            oid: self.orders.take_oid(),
            cloid: draft.wire.cloid.clone(),
            account: origin.who.account,
            signer: origin.who.signer,
            nonce: origin.nonce,
            coin: draft.coin.name.clone(),
            asset: draft.coin.asset,
            buy: draft.wire.buy,
            price: draft.price,
            quantity: draft.quantity,
            filled: Quantity::ZERO,
            reduce_only: draft.wire.reduce_only,
            tif: if let Kind::Limit { tif } = &draft.wire.kind { Some(tif.clone()) } else { None },
            trigger: draft.trigger,
            stage: if draft.trigger.is_some() { Stage::Trigger } else { Stage::Live },
            status: "open".into(),
            timestamp: now,
            status_timestamp: now,
            paper: None,
            group: None,
            children: Vec::new(),
            builder: origin.builder,
            spent: Decimal::ZERO,
            why: None,
        }
    }

    /// Takes one order that is no trigger, and answers as the venue does.
    pub(crate) fn place_live(&mut self, order: Order) -> Value {
        let (oid, asset) = (order.oid, order.asset);
        let checked = self.check(&order).and_then(|()| self.send(&order));
        match checked {
            Ok(report) => {
                self.entered(order, &report);
                self.outcome(oid, asset)
            }
            Err(rejection) => self.reject(order, rejection),
        }
    }

    /// What the venue looks at before matching.
    pub(crate) fn check(&mut self, order: &Order) -> Result<(), Rejection> {
        let coin = self.coin_of(order);
        if self.orders.open_of(order.account).count() >= self.config.limits.open_orders {
            let most = self.config.limits.open_orders;
            return Err(Rejection::new("tooManyOpenOrdersRejected", &format!("Too many open orders (at most {most})."), order.asset));
        }
        let mark = self.market.mark(self.system, &coin);
        let away = numbers::minus(order.price.decimal(), mark).abs();
        if away > numbers::times(mark, Decimal::new(8, 1)) {
            let text = "Order price cannot be more than 80% away from the reference price";
            return Err(Rejection::new("oracleRejected", text, order.asset));
        }
        Ok(())
    }

    pub(crate) fn coin_of(&self, order: &Order) -> Coin {
        self.market.asset(order.asset).cloned().expect("orders are made for listed coins only")
    }

    /// Sends an order to the paper exchange.
    pub(crate) fn send(&mut self, order: &Order) -> Result<OrderReport, Rejection> {
        let coin = self.coin_of(order);
        let immediate = matches!(order.tif.as_deref(), Some("Ioc" | "FrontendMarket")) || order.trigger.is_some_and(|t| t.market);
        let place = PlaceOrder {
            client_order_id: paper_id(order.oid),
            nonce: None,
            timestamp: self.system,
            deadline: None,
            symbol: coin.name.clone(),
            side: if order.buy { Side::Buy } else { Side::Sell },
            quantity: order.quantity,
            order: OrderType::Limit {
                price: order.price,
                time_in_force: if immediate { TimeInForce::Ioc } else { TimeInForce::Gtc },
                post_only: order.tif.as_deref() == Some("Alo"),
            },
            worst_price: order.price,
            leverage: self.leverage(order.account, &coin),
            reduce_only: order.reduce_only && !coin.spot,
            // Triggers and groups are this server's own business.
            trigger: None,
            attached: Vec::new(),
        };
        let id = self.accounts.get(&order.account).map(|account| account.id.clone()).expect("orders belong to accounts that exist");
        let (now, spot) = (self.system, coin.spot);
        self.market.place(now, &id, spot, &place).map_err(|refusal| self.rejection(refusal.code, &refusal.message, &coin))
    }

    fn leverage(&self, account: Address, coin: &Coin) -> Leverage {
        let value = if coin.spot { 1 } else { self.leverage_of(account, coin).value };
        Leverage::new(Decimal::from(value)).unwrap_or(Leverage::ONE)
    }

    /// The exchange's refusal in the venue's words.
    fn rejection(&mut self, code: RefusalCode, message: &str, coin: &Coin) -> Rejection {
        let of = |status, text: &str| Rejection::new(status, text, coin.asset);
        match code {
            RefusalCode::InsufficientFunds if coin.spot => of("insufficientSpotBalanceRejected", "Insufficient spot balance"),
            RefusalCode::InsufficientFunds => of("perpMarginRejected", "Insufficient margin to place order."),
            RefusalCode::MinNotional if coin.spot => of("minTradeNtlRejected", "Order must have minimum value of 10 USDC."),
            RefusalCode::MinNotional => of("minTradeNtlRejected", "Order must have minimum value of $10."),
            RefusalCode::BadPrice => of("tickRejected", "Price must be divisible by tick size."),
            RefusalCode::BadQuantity => of("rejected", "Order has invalid size."),
            RefusalCode::ReduceOnly => of("reduceOnlyRejected", "Reduce only order would increase position."),
            RefusalCode::PostOnly => {
                let quote = self.market.quote(self.system, coin);
                let bbo = quote.map(|quote| format!("{}@{}", quote.bid, quote.ask)).unwrap_or_default();
                of("badAloPxRejected", &format!("Post only order would have immediately matched, bbo was {bbo}."))
            }
            RefusalCode::NoPrice => of("marketOrderNoLiquidityRejected", "No liquidity available for market order."),
            _ => of("rejected", message),
        }
    }

    /// The exchange took it: what rests or traded is told, what traded nothing at once is a rejection.
    fn entered(&mut self, mut order: Order, report: &OrderReport) {
        order.paper = Some(paper_id(order.oid));
        if report.status == OrderStatus::Expired && report.filled_quantity.is_zero() {
            let nothing = if order.tif.as_deref() == Some("FrontendMarket") {
                ("marketOrderNoLiquidityRejected", "No liquidity available for market order.")
            } else {
                ("iocCancelRejected", "Order could not immediately match against any resting orders.")
            };
            order.status = nothing.0.into();
            order.why = Some(Rejection::new(nothing.0, nothing.1, order.asset).text);
        }
        self.record(order);
        self.settle(true, "reduceOnlyCanceled");
    }

    /// Writes an order down that was refused, and answers with the venue's sentence.
    pub(crate) fn reject(&mut self, mut order: Order, rejection: Rejection) -> Value {
        order.status = rejection.status.into();
        order.why = Some(rejection.text.clone());
        self.record(order);
        json!({ "error": rejection.text })
    }

    /// Writes an order down as it now is and tells its account.
    pub(crate) fn record(&mut self, mut order: Order) {
        order.status_timestamp = self.now_ms();
        self.streams.order_changed(&order);
        self.orders.put(order);
    }

    fn outcome(&self, oid: u64, asset: u32) -> Value {
        let Some(order) = self.orders.get(oid) else {
            return json!({ "error": format!("Order was never placed, already canceled, or filled. asset={asset}") });
        };
        if let Some(why) = &order.why {
            return json!({ "error": why });
        }
        let mut inner = json!({ "oid": oid });
        if let Some(cloid) = &order.cloid {
            inner["cloid"] = cloid.as_str().into();
        }
        if order.is_open() {
            return json!({ "resting": inner });
        }
        inner["totalSz"] = numbers::plain(order.filled.decimal()).into();
        inner["avgPx"] = numbers::plain(numbers::over(order.spent, order.filled.decimal()).round_dp(8)).into();
        json!({ "filled": inner })
    }
}

/// The paper exchange's name of an order: one of its own, since clients may repeat theirs.
pub(crate) fn paper_id(oid: u64) -> ClientOrderId {
    ClientOrderId::new(&format!("o{oid}")).expect("a letter and digits make a name")
}
