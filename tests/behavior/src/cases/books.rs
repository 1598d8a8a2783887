//! Money: what the account says it has is what the venue holds, to the last digit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::ids::Asset;
use omnivenue_core::model::instrument::Side::{Buy, Sell};
use omnivenue_core::model::number::Amount;
use omnivenue_core::model::order::FillReport;
use rust_decimal::Decimal;

use crate::case::{Case, Verdict, cases, expect};
use crate::desk::Wish;
use crate::stage::Stage;

pub(super) fn cases() -> Vec<Case> {
    cases![
        positions_and_balances_in_the_snapshot_are_the_venues_own,
        fees_are_exact_and_add_up_to_what_the_balance_lost[Net],
        a_round_trip_changes_the_balance_by_what_was_traded_and_paid[Net],
        purchases_and_fees_add_up_to_what_the_balances_changed_by[Holdings],
        a_snapshot_since_an_instant_has_every_trade_from_then_on,
        a_fresh_account_has_its_deposits_and_nothing_else,
    ]
}

fn sum(amounts: impl IntoIterator<Item = Amount>) -> Verdict<Amount> {
    let mut amounts = amounts.into_iter();
    Ok(amounts.try_fold(Amount::ZERO, Amount::plus).map_err(|error| error.to_string())?)
}

/// The fees of trades, by what they were paid in.
fn fees(fills: &[FillReport]) -> Verdict<BTreeMap<Asset, Amount>> {
    let mut fees: BTreeMap<Asset, Amount> = BTreeMap::new();
    for fill in fills {
        let fee = fees.entry(fill.fee.asset.clone()).or_default();
        *fee = fee.plus(fill.fee.amount).map_err(|error| error.to_string())?;
    }
    Ok(fees)
}

/// What trades paid, less what they brought, in the quote currency.
fn paid(fills: &[FillReport]) -> Verdict<Amount> {
    let mut flows = Vec::new();
    for fill in fills {
        let value = fill.price.notional(fill.quantity).map_err(|error| error.to_string())?.amount();
        flows.push(if fill.side.is_buy() { value } else { -value });
    }
    sum(flows)
}

async fn changes(stage: &Stage) -> Verdict<BTreeMap<Asset, Amount>> {
    let truth = stage.truth().await?;
    let mut changes = truth.balances.clone();
    for (asset, amount) in &truth.deposits {
        let change = changes.entry(asset.clone()).or_default();
        *change = change.minus(*amount).map_err(|error| error.to_string())?;
    }
    Ok(changes)
}

async fn positions_and_balances_in_the_snapshot_are_the_venues_own(stage: Arc<Stage>) -> Verdict {
    for _ in 0..2 {
        stage.placed(stage.market(Buy).await?).await?;
        stage.move_price(101).await?;
    }
    stage.placed(stage.resting().await?).await?;
    let (snapshot, truth) = (stage.account().snapshot(None).await?, stage.truth().await?);
    let positions: BTreeMap<_, _> = snapshot.positions.iter().map(|position| (position.symbol.clone(), position.quantity)).collect();
    expect(positions == truth.positions, || format!("positions {:?}, but {positions:?}", truth.positions))?;
    for (asset, held) in &truth.balances {
        // On spot, what is told as a position need not be told as a balance too.
        if *asset == stage.instrument.base && truth.positions.contains_key(&stage.instrument.symbol) {
            continue;
        }
        let told = snapshot.balances.iter().find(|balance| balance.asset == *asset).map_or(Amount::ZERO, |balance| balance.total);
        let off = told.minus(*held).map_err(|error| error.to_string())?.decimal().abs();
        let most = stage.world.money_decimals().map_or(Decimal::ZERO, |decimals| Decimal::new(1, decimals));
        expect(off <= most, || format!("a balance of {held} {asset}, but {told}"))?;
    }
    let known = snapshot.balances.iter().all(|balance| balance.total == Amount::ZERO || truth.balances.contains_key(&balance.asset));
    expect(known, || format!("balances of {:?}, but {:?}", truth.balances, snapshot.balances))
}

async fn fees_are_exact_and_add_up_to_what_the_balance_lost(stage: Arc<Stage>) -> Verdict {
    for _ in 0..3 {
        stage.placed(stage.market(Buy).await?).await?;
        stage.move_price(101).await?;
    }
    // Nothing was closed: all that the balance lost is fees.
    let fills = stage.account().snapshot(None).await?.fills;
    let settle = &stage.instrument.settle;
    let fees = fees(&fills)?;
    let lost = -changes(&stage).await?.get(settle).copied().unwrap_or_default();
    expect(fees.len() == 1 && fees.get(settle) == Some(&lost), || format!("{lost} {settle} of fees, but {fees:?}"))
}

async fn a_round_trip_changes_the_balance_by_what_was_traded_and_paid(stage: Arc<Stage>) -> Verdict {
    let wish = stage.market(Buy).await?;
    stage.placed(wish).await?;
    stage.move_price(107).await?;
    stage.placed(Wish { quantity: wish.quantity, ..stage.market(Sell).await? }).await?;
    let snapshot = stage.account().snapshot(None).await?;
    expect(snapshot.positions.is_empty(), || format!("no position, but {:?}", snapshot.positions))?;
    let settle = &stage.instrument.settle;
    let fee = fees(&snapshot.fills)?.get(settle).copied().unwrap_or_default();
    let expected = -sum([paid(&snapshot.fills)?, fee])?;
    let changed = changes(&stage).await?.get(settle).copied().unwrap_or_default();
    expect(changed == expected, || format!("that {settle} changes by {expected}, what was traded and paid, but {changed}"))
}

async fn purchases_and_fees_add_up_to_what_the_balances_changed_by(stage: Arc<Stage>) -> Verdict {
    for _ in 0..3 {
        stage.placed(stage.market(Buy).await?).await?;
        stage.move_price(101).await?;
    }
    let fills = stage.account().snapshot(None).await?.fills;
    let fees = fees(&fills)?;
    let fee = |asset: &Asset| fees.get(asset).copied().unwrap_or_default();
    let bought = sum(fills.iter().filter_map(|fill| Amount::new(fill.quantity.decimal()).ok()))?;
    let (base, quote) = (&stage.instrument.base, &stage.instrument.quote);
    let expected =
        [(base.clone(), bought.minus(fee(base)).map_err(|error| error.to_string())?), (quote.clone(), -sum([paid(&fills)?, fee(quote)])?)];
    let changed = changes(&stage).await?;
    for (asset, expected) in expected {
        let changed = changed.get(&asset).copied().unwrap_or_default();
        expect(changed == expected, || format!("that {asset} changes by {expected}, but {changed}"))?;
    }
    Ok(())
}

async fn a_snapshot_since_an_instant_has_every_trade_from_then_on(stage: Arc<Stage>) -> Verdict {
    stage.placed(stage.market(Buy).await?).await?;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let since = stage.account().snapshot(None).await?.at;
    stage.placed(stage.market(Buy).await?).await?;
    let all = stage.account().snapshot(None).await?;
    expect(all.fills.len() == 2 && all.orders.len() == 2, || format!("two orders and two trades, but {all:?}"))?;
    let recent = stage.account().snapshot(Some(since)).await?;
    let last = all.fills.iter().max_by_key(|fill| fill.at).map(|fill| &fill.trade_id);
    let has = recent.fills.iter().any(|fill| Some(&fill.trade_id) == last);
    expect(has && recent.at >= since, || format!("the trade {last:?} among those since {since}, but {recent:?}"))?;
    let later = stage.account().snapshot(Some(recent.at.after(Duration::from_secs(60)))).await?;
    expect(later.fills.is_empty(), || format!("no trades from a minute's time on, but {:?}", later.fills))?;
    expect(later.positions == all.positions, || "the whole of the positions, whatever instant is asked for".into())
}

async fn a_fresh_account_has_its_deposits_and_nothing_else(stage: Arc<Stage>) -> Verdict {
    let truth = stage.truth().await?;
    for account in stage.world.accounts() {
        let snapshot = account.snapshot(None).await?;
        expect(snapshot.orders.is_empty() && snapshot.fills.is_empty(), || format!("neither orders nor trades, but {snapshot:?}"))?;
        expect(!snapshot.balances.is_empty(), || "its deposits".into())?;
    }
    expect(truth.orders.is_empty() && truth.fills.is_empty(), || format!("a fresh world, but {truth:?}"))
}
