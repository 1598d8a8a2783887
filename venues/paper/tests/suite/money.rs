//! Money is conserved to the last digit, whatever is traded, and nothing trades beyond its bound.

use std::collections::BTreeMap;
use std::time::Duration;

use omnivenue_core::model::exit::{ExitKind, Trigger};
use omnivenue_core::model::ids::VenueSymbol;
use omnivenue_core::model::instrument::{Instrument, Market, Side};
use omnivenue_core::model::number::{Amount, Notional, Price, Quantity};
use omnivenue_core::model::order::AttachedExit;
use omnivenue_core::model::signal::{OrderType, TimeInForce};
use omnivenue_paper::{AccountTruth, Config, PlaceOrder, PriceSource, Truth};
use proptest::prelude::*;

use crate::world::World;

#[derive(Debug, Clone)]
struct Step {
    symbol: usize,
    buy: bool,
    lots: i64,
    worst_per_mille: i64,
    kind: u8,
    leverage: i64,
    reduce_only: bool,
    /// How far the triggers of its exits are, in thousandths of the price; of an entry none at 0.
    exits: i64,
    wait_ms: u64,
}

prop_compose! {
    fn steps()(symbol in 0_usize..5, buy: bool, lots in 1_i64..5000, worst_per_mille in 985_i64..1015, kind in 0_u8..7,
        leverage in 1_i64..5, reduce_only: bool, exits in 0_i64..6, wait_ms in 0_u64..2000) -> Step {
        Step { symbol, buy, lots, worst_per_mille, kind, leverage, reduce_only, exits, wait_ms }
    }
}

fn number(text: i64) -> Quantity {
    text.to_string().parse().unwrap()
}

/// A quarter of the worth of an account buys about this many lots; so that some orders are refused and most are not.
fn quantity(world: &World, step: &Step, price: Price) -> Quantity {
    let instruments = world.config.check().unwrap();
    let spec = &world.config.instruments[step.symbol % world.config.instruments.len()];
    let worth: Notional = step.lots.to_string().parse().unwrap();
    instruments[&spec.symbol].quantity_for(worth, price)
}

fn play(config: Config, steps: &[Step]) -> World {
    let mut config = config;
    config.depth = Some("3000".parse().unwrap());
    config.spread = "0.0007".parse().unwrap();
    config.slippage = "0.0003".parse().unwrap();
    config.maker_fee = "-0.00005".parse().unwrap();
    for source in config.prices.values_mut() {
        if let PriceSource::Walk { step, .. } = source {
            *step = "0.003".parse().unwrap();
        }
    }
    let mut world = World::new(config.with_account(&World::account(), "USDC".parse().unwrap(), "20000.123456".parse().unwrap()));
    for (number, step) in steps.iter().enumerate() {
        world.wait(step.wait_ms);
        let order = make(&mut world, number, step);
        drop(world.place(&order));
    }
    world.wait(5000);
    world
}

fn make(world: &mut World, ordinal: usize, step: &Step) -> PlaceOrder {
    let spec = world.config.instruments[step.symbol % world.config.instruments.len()].clone();
    let instruments = world.config.check().unwrap();
    let mark = world.server.mark(&spec.symbol, world.now).unwrap();
    let side = if step.buy { Side::Buy } else { Side::Sell };
    let instrument = &instruments[&spec.symbol];
    let price = instrument.limit_price(per_mille(mark, step.worst_per_mille), side).unwrap();
    let limit = |time_in_force, post_only| OrderType::Limit { price, time_in_force, post_only };
    let order = match step.kind {
        0 => OrderType::Market,
        1 => limit(TimeInForce::Ioc, false),
        2 => limit(TimeInForce::Fok, false),
        3 => limit(TimeInForce::Gtc, false),
        4 => limit(TimeInForce::Gtc, true),
        _ => OrderType::Market,
    };
    let spot = spec.market == Market::Spot;
    let waits = step.kind > 4;
    let order = PlaceOrder {
        symbol: spec.symbol,
        quantity: quantity(world, step, mark),
        order,
        worst_price: price,
        leverage: if spot { "1".parse().unwrap() } else { step.leverage.to_string().parse().unwrap() },
        reduce_only: (step.reduce_only || waits) && !spot,
        ..world.order(&format!("o{ordinal}"), side, "1", "1")
    };
    if spot {
        return order;
    }
    let kind = if step.kind == 5 { ExitKind::StopLoss } else { ExitKind::TakeProfit };
    if waits {
        return PlaceOrder {
            trigger: Some(trigger(instrument, mark, side, kind, 1 + step.exits)),
            worst_price: far(instrument, mark, side),
            ..order
        };
    }
    let travels = world.config.exits.as_ref().is_some_and(|exits| exits.attached) && step.exits > 0 && !order.reduce_only;
    let exit = |(letter, kind)| AttachedExit {
        client_order_id: format!("{letter}{ordinal}").parse().unwrap(),
        trigger: trigger(instrument, mark, side.opposite(), kind, step.exits),
        worst_price: far(instrument, mark, side.opposite()),
    };
    let exits = [("s", ExitKind::StopLoss), ("t", ExitKind::TakeProfit)].map(exit);
    PlaceOrder { attached: if travels { exits.into() } else { Vec::new() }, ..order }
}

fn per_mille(price: Price, share: i64) -> Price {
    let thousandth: Quantity = "0.001".parse().unwrap();
    let product = price.notional(number(share)).unwrap();
    Price::new(Price::new(product.decimal()).unwrap().notional(thousandth).unwrap().decimal()).unwrap()
}

/// A trigger so many thousandths of the price away from it, of an order to `side`.
fn trigger(instrument: &Instrument, mark: Price, side: Side, kind: ExitKind, thousandths: i64) -> Trigger {
    let up = (kind == ExitKind::StopLoss) == side.is_buy();
    let price = per_mille(mark, if up { 1000 + thousandths } else { 1000 - thousandths });
    Trigger { kind, price: instrument.limit_price(price, side).unwrap() }
}

/// A worst price that a trigger order nearly always trades within.
fn far(instrument: &Instrument, mark: Price, side: Side) -> Price {
    instrument.limit_price(per_mille(mark, if side.is_buy() { 1010 } else { 990 }), side).unwrap()
}

/// Replays the trades: those of an order that only reduces never open or turn a position, and of the exits of an entry none sells more
/// than the entry bought.
fn check_reducing(account: &AccountTruth) -> Result<(), TestCaseError> {
    let mut held: BTreeMap<VenueSymbol, Amount> = BTreeMap::new();
    for fill in &account.fills {
        let order = account.orders.iter().find(|order| order.venue_order_id() == fill.venue_order_id).unwrap();
        let before = held.get(&fill.symbol).copied().unwrap_or_default();
        let after = before.plus(signed(fill.side, fill.quantity)).unwrap();
        let reduced = if before > Amount::ZERO { after >= Amount::ZERO && after < before } else { after <= Amount::ZERO && after > before };
        prop_assert!(!order.place.reduce_only || reduced, "{:?} by {:?}: from {} to {}", fill, order, before, after);
        held.insert(fill.symbol.clone(), after);
    }
    for exit in &account.orders {
        let Some(wait) = exit.wait else { continue };
        prop_assert!(exit.filled <= wait.armed && wait.armed <= exit.place.quantity);
        let Some(entry) = wait.entry.and_then(|number| account.orders.iter().find(|order| order.number == number)) else { continue };
        prop_assert!(wait.armed <= entry.filled);
        let ended = entry.status.is_final() && entry.filled.is_zero();
        prop_assert!(exit.status.is_final() || (!ended && wait.armed == entry.filled), "{:?} of {:?}", exit, entry);
    }
    Ok(())
}

fn sum(amounts: impl Iterator<Item = Amount>) -> Amount {
    amounts.fold(Amount::ZERO, |sum, amount| sum.plus(amount).unwrap())
}

/// What a trade paid (negative) or brought, in quote units, before its fee.
fn cash(side: Side, price: Price, quantity: Quantity) -> Amount {
    let value = price.notional(quantity).unwrap().amount();
    if side.is_buy() { -value } else { value }
}

fn signed(side: Side, quantity: Quantity) -> Amount {
    let amount = Amount::new(quantity.decimal()).unwrap();
    if side.is_buy() { amount } else { -amount }
}

/// Deposits and cash flows, less fees, and what is held at its mark: from the trades alone.
fn equity_from_trades(world: &mut World, account: &AccountTruth) -> Amount {
    let usdc = "USDC".parse().unwrap();
    let mut equity = account.deposits[&usdc];
    for spec in world.config.instruments.clone() {
        let fills: Vec<_> = account.fills.iter().filter(|fill| fill.symbol == spec.symbol).collect();
        equity = equity.plus(sum(fills.iter().map(|fill| cash(fill.side, fill.price, fill.quantity)))).unwrap();
        let fees = |asset| sum(fills.iter().filter(|fill| fill.fee.asset == asset).map(|fill| fill.fee.amount));
        equity = equity.minus(fees(usdc.clone())).unwrap();
        let held = sum(fills.iter().map(|fill| signed(fill.side, fill.quantity))).minus(fees(spec.base.clone())).unwrap();
        let mark = world.server.mark(&spec.symbol, world.now).unwrap();
        let value = mark.notional(Quantity::new(held.decimal().abs()).unwrap()).unwrap().amount();
        equity = if held < Amount::ZERO { equity.minus(value) } else { equity.plus(value) }.unwrap();
    }
    equity
}

fn check(world: &mut World) -> Result<(), TestCaseError> {
    let usdc = "USDC".parse().unwrap();
    let account = world.truth();
    let reported = world.server.equity(&World::account(), &usdc, world.now).unwrap();
    prop_assert_eq!(equity_from_trades(world, &account), reported);
    // Balances alone: deposits, realized PnL, less fees.
    if account.positions.values().next().is_some() {
        let realized = sum(account.positions.values().map(|position| position.realized));
        let fees = sum(account.fills.iter().map(|fill| fill.fee.amount));
        prop_assert_eq!(account.balance(&usdc), account.deposits[&usdc].plus(realized).unwrap().minus(fees).unwrap());
    }
    check_reducing(&account)?;
    let instruments = world.config.check().unwrap();
    for order in &account.orders {
        let fills: Vec<_> = account.fills.iter().filter(|fill| fill.venue_order_id == order.venue_order_id()).collect();
        let traded = fills.iter().fold(Quantity::ZERO, |sum, fill| sum.plus(fill.quantity).unwrap());
        prop_assert_eq!(traded, order.filled);
        prop_assert!(traded <= order.place.quantity);
        for fill in fills {
            let beyond = if fill.side.is_buy() { fill.price > order.place.worst_price } else { fill.price < order.place.worst_price };
            prop_assert!(!beyond, "{:?} beyond {:?}", fill, order);
            instruments[&fill.symbol].check_trade(fill.price, fill.quantity).unwrap();
        }
    }
    let mut trades: Vec<_> = account.fills.iter().map(|fill| fill.trade_id.clone()).collect();
    trades.sort();
    trades.dedup();
    prop_assert_eq!(trades.len(), account.fills.len());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn perpetuals(steps in prop::collection::vec(steps(), 1..60), five_figures: bool) {
        let config = if five_figures { Config::hyperliquid_like() } else { Config::ostium_like() };
        check(&mut play(config, &steps))?;
    }

    #[test]
    fn spot_holdings_never_go_below_zero(steps in prop::collection::vec(steps(), 1..60)) {
        let mut world = play(Config::spot_like(), &steps);
        check(&mut world)?;
        prop_assert!(world.truth().balances.values().all(|balance| *balance >= Amount::ZERO));
    }

    #[test]
    fn a_file_holds_what_memory_holds(steps in prop::collection::vec(steps(), 1..25)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exchange.db");
        let config = Config::hyperliquid_like().with_account(&World::account(), "USDC".parse().unwrap(), "20000".parse().unwrap());
        let mut world = World::with(config, omnivenue_paper::Store::open(&path).unwrap());
        for (number, step) in steps.iter().enumerate() {
            world.wait(step.wait_ms);
            let order = make(&mut world, number, step);
            drop(world.place(&order));
        }
        prop_assert_eq!(Truth::read(&path).unwrap(), world.server.truth());
    }
}

#[test]
fn a_history_trades_at_all() {
    let step = |symbol, buy, lots, kind| Step {
        symbol,
        buy,
        lots,
        worst_per_mille: if buy { 1010 } else { 990 },
        kind,
        leverage: 3,
        reduce_only: false,
        exits: 2,
        wait_ms: 300,
    };
    let steps: Vec<Step> =
        (0..40).map(|n| step(n % 5, n % 3 != 0, 200 + 97 * i64::try_from(n).unwrap(), u8::try_from(n % 5).unwrap())).collect();
    for config in [Config::hyperliquid_like(), Config::ostium_like(), Config::spot_like()] {
        let travels = config.exits.as_ref().is_some_and(|exits| exits.attached);
        let mut world = play(config, &steps);
        let woken = world.truth().orders.iter().filter(|order| order.wait.is_some() && !order.filled.is_zero()).count();
        assert_eq!(woken > 5, travels, "{woken} exits woke");
        assert!(world.truth().fills.len() > 10, "{}", world.truth().fills.len());
        check(&mut world).unwrap();
        world.wait(Duration::from_secs(60).as_millis().try_into().unwrap());
        check(&mut world).unwrap();
    }
}
