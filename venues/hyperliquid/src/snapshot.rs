//! The venue's truth about an account.

use std::collections::BTreeMap;

use omnivenue_core::model::instrument::Market;
use omnivenue_core::model::order::{Balance, FillReport, NetPosition, OrderReport, OrderStatus};
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{AccountSnapshot, Operation, VenueError};
use omnivenue_kit::clock::Monotonic;

use crate::account::HyperliquidAccount;
use crate::action::OrderRef;
use crate::convert::{self, ConvertError};
use crate::memory::Leverage;
use crate::probe::Trades;
use crate::rest::Purpose;
use crate::wire;

const PURPOSE: Purpose = Purpose::read(Operation::Snapshot);
/// What perpetuals are settled in, and spot balances are kept of.
const CURRENCY: &str = "USDC";
/// The orders of trades that are asked for one by one at most; further trades stay without our name.
const NAMES_MAX: usize = 40;

/// Orders that rest or changed, trades since an instant, positions and balances.
pub(crate) async fn take(account: &HyperliquidAccount, since: Option<Timestamp>) -> Result<AccountSnapshot, VenueError> {
    let (client, user) = (account.client(), account.user());
    let desk = account.desk(PURPOSE);
    // Orders first: what their totals count is among the trades that are asked for after them.
    let (open, past, _) =
        tokio::try_join!(client.open_orders(user, PURPOSE), client.historical_orders(user, PURPOSE), client.time(PURPOSE))?;
    let (trades, funds) = tokio::try_join!(desk.trades(since.unwrap_or(Timestamp::EPOCH), None), funds(account))?;
    if let Err(error) = account.hyperliquid().budgets().refresh(client, user, PURPOSE).await {
        tracing::debug!(account = %account.name(), %error, "the budget of actions could not be asked for");
    }
    if !trades.complete {
        tracing::warn!(account = %account.name(), "there are more trades than the venue tells; orders are asked for one by one");
    }
    let states = latest(account, open, past, since);
    let mut orders = Vec::new();
    for state in states.values() {
        let report = match desk.report(state, &trades.fills) {
            Ok(report) => report,
            // What is odd about a stranger's order is the stranger's.
            Err(error) if state.order.cloid.is_none() => {
                tracing::warn!(account = %account.name(), %error, oid = state.order.oid, "a foreign order cannot be read and is left out");
                continue;
            }
            Err(error) => return Err(error),
        };
        // How much it filled is not listed yet: whoever needs it asks for the order itself.
        let undecided = report.status == OrderStatus::Open && convert::order_status(&state.status).is_final();
        if !undecided {
            orders.push(report);
        }
    }
    let fills = named(account, &trades).await?;
    Ok(AccountSnapshot { orders: without_repeats(orders, &fills), fills, ..funds })
}

/// The fills are told once, beside the orders.
fn without_repeats(orders: Vec<OrderReport>, fills: &[FillReport]) -> Vec<OrderReport> {
    let told: std::collections::BTreeSet<_> = fills.iter().map(|fill| &fill.trade_id).collect();
    let strip = |mut order: OrderReport| {
        order.fills.retain(|fill| !told.contains(&fill.trade_id));
        order
    };
    orders.into_iter().map(strip).collect()
}

/// One state per order: the end beats the beginning, the later the earlier.
fn latest(
    account: &HyperliquidAccount,
    open: Vec<wire::Order>,
    past: Vec<wire::OrderState>,
    since: Option<Timestamp>,
) -> BTreeMap<u64, wire::OrderState> {
    let resting = open.into_iter().map(|order| wire::OrderState { status: "open".into(), status_timestamp: order.timestamp, order });
    let changed = past.into_iter().filter(|state| since.is_none_or(|since| Timestamp::from_millis(state.status_timestamp) >= since));
    let mut states: BTreeMap<u64, wire::OrderState> = BTreeMap::new();
    for mut state in resting.chain(changed).filter(|state| convert::is_of(&state.order.coin, account.market())) {
        account.complete_order(&mut state.order);
        match states.get(&state.order.oid) {
            Some(known) if convert::standing(known) >= convert::standing(&state) => {}
            _ => drop(states.insert(state.order.oid, state)),
        }
    }
    states
}

/// The trades with our names of their orders, as far as they can be had.
async fn named(account: &HyperliquidAccount, trades: &Trades) -> Result<Vec<FillReport>, VenueError> {
    let mut asked = 0;
    let mut named = Vec::new();
    for fill in trades.fills.iter().filter(|fill| convert::is_of(&fill.coin, account.market())) {
        let known = account.memory().name(fill.oid);
        let name = match known {
            Some(name) => name,
            None if fill.cloid.is_some() || asked >= NAMES_MAX => None,
            None => {
                asked += 1;
                let found = account.desk(PURPOSE).order(&OrderRef::Oid(fill.oid)).await?;
                found.and_then(|state| state.order.cloid)
            }
        };
        match convert::fill(fill, name.as_ref()) {
            Ok(report) => named.push(report),
            // What is odd about a stranger's trade is the stranger's.
            Err(error) if name.is_none() && fill.cloid.is_none() => {
                tracing::warn!(account = %account.name(), %error, tid = fill.tid, "a foreign trade cannot be read and is left out");
            }
            Err(error) => return Err(unreadable(account, error)),
        }
    }
    Ok(named)
}

fn unreadable(account: &HyperliquidAccount, error: ConvertError) -> VenueError {
    account.client().unreadable(Operation::Snapshot, error)
}

/// Positions and balances, with the time of the answer; nothing else.
async fn funds(account: &HyperliquidAccount) -> Result<AccountSnapshot, VenueError> {
    let client = account.client();
    match account.market() {
        Market::Perp | Market::Future => {
            let state = client.clearinghouse(account.user(), PURPOSE).await?;
            note_leverage(account, &state);
            perp_funds(&state).map_err(|error| unreadable(account, error))
        }
        Market::Spot => {
            let state = client.spot_balances(account.user(), PURPOSE).await?;
            spot_funds(account, &state).map_err(|error| unreadable(account, error))
        }
    }
}

fn note_leverage(account: &HyperliquidAccount, state: &wire::ClearinghouseState) {
    for wire::AssetPosition { position } in &state.asset_positions {
        if let Ok(symbol) = convert::symbol(&position.coin) {
            let seen = Leverage { value: position.leverage.value, is_cross: position.leverage.kind == "cross", at: Monotonic::now() };
            account.memory().set_leverage(&symbol, Some(seen));
        }
    }
}

fn perp_funds(state: &wire::ClearinghouseState) -> Result<AccountSnapshot, ConvertError> {
    let mut positions = Vec::new();
    for wire::AssetPosition { position } in &state.asset_positions {
        let quantity = convert::signed_quantity(&position.szi)?;
        if !quantity.is_zero() {
            positions.push(NetPosition { symbol: convert::symbol(&position.coin)?, quantity, cost: None });
        }
    }
    let currency = CURRENCY.parse().expect("USDC is an asset");
    let balances = vec![Balance { asset: currency, total: convert::settled_balance(state)? }];
    Ok(AccountSnapshot { positions, balances, at: Timestamp::from_millis(state.time), ..AccountSnapshot::default() })
}

/// Tokens are holdings of the pair that quotes them in USDC; USDC itself is the balance. Tokens without such a pair are not ours to trade.
fn spot_funds(account: &HyperliquidAccount, state: &wire::SpotState) -> Result<AccountSnapshot, ConvertError> {
    let listings = account.hyperliquid().listings();
    let pairs: BTreeMap<u32, _> = listings
        .values()
        .filter(|listing| listing.instrument.quote.as_str() == CURRENCY)
        .filter_map(|listing| Some((listing.base_token?, listing.instrument.symbol.clone())))
        .collect();
    let mut funds = AccountSnapshot { at: account.client().now(), ..AccountSnapshot::default() };
    for balance in &state.balances {
        if balance.coin == CURRENCY {
            let asset = CURRENCY.parse().expect("USDC is an asset");
            funds.balances.push(Balance { asset, total: convert::amount(&balance.total)? });
        } else if let Some(symbol) = pairs.get(&balance.token) {
            let quantity = convert::signed_quantity(&balance.total)?;
            if !quantity.is_zero() {
                funds.positions.push(NetPosition { symbol: symbol.clone(), quantity, cost: None });
            }
        }
    }
    Ok(funds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_the_balance_behind_them() {
        let state = serde_json::from_str(include_str!("../fixtures/info_clearinghouse_state.json")).unwrap();
        let funds = perp_funds(&state).unwrap();
        let shown: Vec<String> = funds.positions.iter().map(|held| format!("{} {}", held.symbol, held.quantity)).collect();
        assert_eq!(shown, ["HYPE 10", "BTC -0.001"]);
        assert_eq!(funds.balances[0].total.to_string(), "1004.5");
        assert_eq!(funds.at, Timestamp::from_millis(1_763_640_000_000));
    }
}
