//! Orders whose fate is unknown: what the venue's own evidence says of them, and that it stays true.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::journal::Journaled;
use omnivenue_core::model::instrument::Side::Buy;
use omnivenue_core::model::number::Amount;
use omnivenue_core::model::order::{OrderReport, OrderStatus};
use omnivenue_core::venue::{Effect, Evidence, Prepared};
use tokio::time::sleep;

use crate::case::{Case, Failed, Verdict, cases, expect};
use crate::clock;
use crate::stage::Stage;
use crate::subject::Fault;

pub(super) fn cases() -> Vec<Case> {
    cases![
        an_answer_lost_after_acceptance_is_found_with_its_trades_and_fees,
        a_resting_order_whose_answer_was_lost_is_found,
        an_order_without_any_answer_is_found,
        a_failure_of_the_server_is_no_refusal,
        an_order_lost_on_its_way_may_be_sent_again[Idempotent],
        an_order_lost_on_its_way_is_absent_for_ever_and_its_bytes_are_never_taken[Proof],
        a_burned_order_never_takes_effect[Burn],
        an_order_that_is_there_is_not_burned[Burn],
        where_nothing_proves_absence_it_is_never_claimed[NoProof],
        a_false_not_found_is_no_absence_of_what_filled,
        a_false_not_found_is_no_absence_of_what_rests,
        an_order_that_is_taken_late_is_found,
        absence_that_was_proved_holds_against_an_order_on_its_way[Proof],
        a_probe_that_may_resend_and_one_that_may_not_find_the_same,
        probing_twice_says_the_same,
        a_probe_that_cannot_ask_learns_nothing,
        an_order_that_was_not_looked_at_left_nothing,
        a_cancel_whose_answer_was_lost_can_be_made_again,
    ]
}

async fn an_answer_lost_after_acceptance_is_found_with_its_trades_and_fees(stage: Arc<Stage>) -> Verdict {
    let wish = stage.market(Buy).await?;
    let order = stage.lost(wish, Fault::LostAfter).await?;
    let report = stage.found(&order).await?;
    let truth = stage.truth().await?;
    expect(report.status == OrderStatus::Filled && report.filled_quantity == wish.quantity, || format!("filled, but {report:?}"))?;
    let told = |fills: &[omnivenue_core::model::order::FillReport]| -> Vec<_> {
        fills.iter().map(|fill| (fill.price, fill.quantity, fill.fee.clone())).collect()
    };
    expect(told(&report.fills) == told(&truth.fills), || format!("the trades {:?}, but {:?}", truth.fills, report.fills))?;
    expect(report.fills.iter().all(|fill| fill.fee.amount != Amount::ZERO), || format!("fees, but {:?}", report.fills))
}

async fn a_resting_order_whose_answer_was_lost_is_found(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.resting().await?, Fault::LostAfter).await?;
    let report = stage.found(&order).await?;
    expect(report.status == OrderStatus::Open && report.filled_quantity.is_zero(), || format!("open, but {report:?}"))?;
    // Found, it can be canceled like any other.
    let canceled = stage.account().cancel(&stage.instrument.symbol, order.client_order_id()).await?;
    expect(canceled.status == OrderStatus::Canceled, || format!("canceled, but {canceled:?}"))
}

async fn an_order_without_any_answer_is_found(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::Silence).await?;
    let report = stage.found(&order).await?;
    expect(report.status == OrderStatus::Filled, || format!("filled, but {report:?}"))
}

async fn a_failure_of_the_server_is_no_refusal(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::ServerFailure).await?;
    let report = stage.found(&order).await?;
    expect(report.status == OrderStatus::Filled, || format!("filled, but {report:?}"))
}

async fn an_order_lost_on_its_way_may_be_sent_again(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::LostBefore).await?;
    let evidence = stage.evidence(&order, true).await?;
    expect(matches!(evidence, Evidence::Resendable { .. }), || format!("that the same bytes may be sent again, but {evidence:?}"))?;
    stage.none(&order).await?;
    match stage.place(&order).await {
        Ok(report) => expect(report.client_order_id == *order.client_order_id(), || format!("a report on it, but {report:?}"))?,
        other => return Err(Failed::Expected(format!("that it is taken now, but {other:?}"))),
    }
    expect(stage.one(&order).await?.filled == order.request().quantity, || "that it filled once".into())
}

/// Sends the bytes as a network would that had held them back, and sees that nothing comes of them.
pub(super) async fn arrives_late(stage: &Stage, order: &Journaled<Prepared>) -> Verdict {
    // A used nonce may be the order's own, for all that this answer tells: then it says so, and only evidence says that it is not.
    let late = stage.place(order).await;
    expect(matches!(late, Err(Some(_))), || format!("that its bytes are taken no more, but {late:?}"))?;
    stage.none(order).await
}

async fn an_order_lost_on_its_way_is_absent_for_ever_and_its_bytes_are_never_taken(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::LostBefore).await?;
    let evidence = stage.evidence(&order, false).await?;
    expect(matches!(evidence, Evidence::AbsentForever { .. }), || format!("that it is absent for ever, but {evidence:?}"))?;
    arrives_late(&stage, &order).await
}

async fn a_burned_order_never_takes_effect(stage: Arc<Stage>) -> Verdict {
    // Never sent at all: burning needs no trace of it.
    let order = stage.order(stage.market(Buy).await?).await?;
    let evidence = stage.evidence(&order, false).await?;
    expect(matches!(evidence, Evidence::AbsentForever { .. }), || format!("that it is burned, but {evidence:?}"))?;
    arrives_late(&stage, &order).await?;
    // And burning one order does no harm to the next.
    let (next, _) = stage.placed(stage.market(Buy).await?).await?;
    expect(stage.one(&next).await?.status == OrderStatus::Filled, || "that the next order fills".into())
}

async fn an_order_that_is_there_is_not_burned(stage: Arc<Stage>) -> Verdict {
    for (wish, status) in [(stage.resting().await?, OrderStatus::Open), (stage.market(Buy).await?, OrderStatus::Filled)] {
        let order = stage.lost(wish, Fault::LostAfter).await?;
        stage.strike(Fault::FalseNotFound).await?;
        let report = stage.found(&order).await?;
        expect(report.status == status, || format!("{status}, but {report:?}"))?;
        expect(stage.one(&order).await?.status == status, || format!("{status} in the venue's books"))?;
    }
    Ok(())
}

async fn where_nothing_proves_absence_it_is_never_claimed(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::LostBefore).await?;
    for _ in 0..3 {
        let asked = clock::now();
        match stage.probe(&order, false).await? {
            Evidence::NotYet { ask_at, why } => expect(ask_at > asked && !why.is_empty(), || format!("a time to ask again, but {ask_at}"))?,
            other => return Err(Failed::Expected(format!("that nothing is proved, but {other:?}"))),
        }
    }
    // Its bytes were on their way all the time: rightly nothing was claimed.
    stage.place(&order).await.map_err(|error| Failed::Expected(format!("that it is taken, but {error:?}")))?;
    stage.found(&order).await.map(|_| ())
}

/// Denied by its id, an order is still found, or nothing is claimed of it until it is.
async fn denied(stage: &Stage, wish: crate::desk::Wish, status: OrderStatus) -> Verdict {
    let order = stage.lost(wish, Fault::LostAfter).await?;
    for may_resend in [false, true] {
        stage.strike(Fault::FalseNotFound).await?;
        let evidence = stage.probe(&order, may_resend).await?;
        expect(!matches!(evidence, Evidence::AbsentForever { .. }), || format!("that its absence is not claimed, but {evidence:?}"))?;
    }
    let report = stage.found(&order).await?;
    expect(report.status == status, || format!("{status}, but {report:?}"))?;
    expect(stage.one(&order).await?.status == status, || format!("{status} in the venue's books"))
}

async fn a_false_not_found_is_no_absence_of_what_filled(stage: Arc<Stage>) -> Verdict {
    denied(&stage, stage.market(Buy).await?, OrderStatus::Filled).await
}

async fn a_false_not_found_is_no_absence_of_what_rests(stage: Arc<Stage>) -> Verdict {
    denied(&stage, stage.resting().await?, OrderStatus::Open).await
}

async fn an_order_that_is_taken_late_is_found(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::LateCommit).await?;
    let taken = async || stage.one(&order).await.is_ok();
    stage.until("it is taken late", taken).await?;
    let report = stage.found(&order).await?;
    expect(report.status == OrderStatus::Filled, || format!("filled, but {report:?}"))
}

async fn absence_that_was_proved_holds_against_an_order_on_its_way(stage: Arc<Stage>) -> Verdict {
    // Its bytes are under way while the probe asks.
    let order = stage.lost(stage.market(Buy).await?, Fault::LateCommit).await?;
    let evidence = stage.evidence(&order, false).await?;
    sleep(stage.world.lateness() + Duration::from_millis(200)).await;
    match evidence {
        Evidence::AbsentForever { .. } => stage.none(&order).await,
        Evidence::Present(_) => stage.one(&order).await.map(|_| ()),
        other => Err(Failed::Expected(format!("that it is present or absent for ever, but {other:?}"))),
    }
}

pub(super) fn without_time(report: OrderReport) -> OrderReport {
    OrderReport { at: omnivenue_core::model::time::Timestamp::EPOCH, ..report }
}

async fn a_probe_that_may_resend_and_one_that_may_not_find_the_same(stage: Arc<Stage>) -> Verdict {
    for wish in [stage.market(Buy).await?, stage.resting().await?] {
        let order = stage.lost(wish, Fault::LostAfter).await?;
        let (one, two) = (stage.evidence(&order, true).await?, stage.evidence(&order, false).await?);
        match (one, two) {
            (Evidence::Present(one), Evidence::Present(two)) => {
                expect(without_time(one.clone()) == without_time(two.clone()), || format!("the same, but {one:?} and {two:?}"))?;
            }
            other => return Err(Failed::Expected(format!("that it is present, but {other:?}"))),
        }
    }
    Ok(())
}

async fn probing_twice_says_the_same(stage: Arc<Stage>) -> Verdict {
    let there = stage.lost(stage.market(Buy).await?, Fault::LostAfter).await?;
    let (one, two) = (stage.found(&there).await?, stage.found(&there).await?);
    expect(without_time(one.clone()) == without_time(two.clone()), || format!("the same, but {one:?} and {two:?}"))?;
    let gone = stage.lost(stage.market(Buy).await?, Fault::LostBefore).await?;
    if crate::case::Need::Proof.missing(&stage.capabilities, stage.instrument.market).is_some() {
        return Ok(());
    }
    for round in ["first", "second", "third"] {
        let evidence = stage.evidence(&gone, false).await?;
        expect(matches!(evidence, Evidence::AbsentForever { .. }), || format!("absence at the {round} time, but {evidence:?}"))?;
    }
    Ok(())
}

async fn a_probe_that_cannot_ask_learns_nothing(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::LostBefore).await?;
    stage.world.die().await;
    for may_resend in [true, false] {
        let learned = stage.probe(&order, may_resend).await;
        let nothing = matches!(learned, Err(_) | Ok(Evidence::NotYet { .. }));
        expect(nothing, || format!("that nothing is learned from a venue that is gone, but {learned:?}"))?;
    }
    Ok(())
}

async fn an_order_that_was_not_looked_at_left_nothing(stage: Arc<Stage>) -> Verdict {
    let order = stage.order(stage.market(Buy).await?).await?;
    stage.strike(Fault::NotLookedAt).await?;
    match stage.place(&order).await {
        // Where the venue's own table says that it was not looked at, it was not done.
        Err(Some(error)) if error.effect == Effect::Refused => stage.none(&order).await,
        // Where it does not, nobody knows, and evidence tells.
        Err(_) => {
            let evidence = stage.probe(&order, true).await?;
            expect(!matches!(evidence, Evidence::Present(_)), || format!("that it is not there, but {evidence:?}"))
        }
        Ok(report) => Err(Failed::Expected(format!("that it is not looked at, but {report:?}"))),
    }
}

async fn a_cancel_whose_answer_was_lost_can_be_made_again(stage: Arc<Stage>) -> Verdict {
    let (order, _) = stage.placed(stage.resting().await?).await?;
    stage.strike(Fault::CancelLostAfter).await?;
    let lost = stage.account().cancel(&stage.instrument.symbol, order.client_order_id()).await;
    let unknown = matches!(&lost, Err(error) if error.effect == Effect::Unknown);
    expect(unknown, || format!("that its effect is unknown, but {lost:?}"))?;
    let report = stage.account().cancel(&stage.instrument.symbol, order.client_order_id()).await?;
    expect(report.status == OrderStatus::Canceled, || format!("canceled, but {report:?}"))?;
    expect(stage.one(&order).await?.status == OrderStatus::Canceled, || "canceled in the venue's books".into())
}
