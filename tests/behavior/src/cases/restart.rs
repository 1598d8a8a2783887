//! What a process finds out that has just started, of orders that the one before it sent: all it has is what was written down.

use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::instrument::Side::Buy;
use omnivenue_core::model::order::OrderStatus;
use omnivenue_core::venue::Evidence;
use tokio::time::sleep;

use super::lost::{arrives_late, without_time};
use crate::case::{Case, Failed, Verdict, cases, expect};
use crate::stage::{Stage, evidence};
use crate::subject::Fault;

pub(super) fn cases() -> Vec<Case> {
    cases![
        after_a_restart_an_order_whose_answer_was_lost_is_found,
        after_a_restart_an_order_lost_on_its_way_may_be_sent_again[Idempotent],
        after_a_restart_an_order_lost_on_its_way_is_absent_for_ever[Proof],
        after_a_restart_an_order_on_its_way_is_found_or_absent_for_ever[Proof],
    ]
}

async fn after_a_restart_an_order_whose_answer_was_lost_is_found(stage: Arc<Stage>) -> Verdict {
    for (wish, status) in [(stage.market(Buy).await?, OrderStatus::Filled), (stage.resting().await?, OrderStatus::Open)] {
        let order = stage.lost(wish, Fault::LostAfter).await?;
        let before = stage.found(&order).await?;
        let restarted = stage.world.restarted().await?;
        match evidence(&restarted, &order, false).await? {
            Evidence::Present(after) => {
                expect(after.status == status, || format!("{status}, but {after:?}"))?;
                let same = without_time(before.clone()) == without_time(after.clone());
                expect(same, || format!("what the process before found, {before:?}, but {after:?}"))?;
            }
            other => return Err(Failed::Expected(format!("that it is present, but {other:?}"))),
        }
        let canceled = restarted.cancel(&stage.instrument.symbol, order.client_order_id()).await?;
        let ended = if status == OrderStatus::Open { OrderStatus::Canceled } else { status };
        expect(canceled.status == ended, || format!("{ended} after it was canceled, but {canceled:?}"))?;
    }
    Ok(())
}

async fn after_a_restart_an_order_lost_on_its_way_may_be_sent_again(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::LostBefore).await?;
    let restarted = stage.world.restarted().await?;
    let learned = evidence(&restarted, &order, true).await?;
    expect(matches!(learned, Evidence::Resendable { .. }), || format!("that the same bytes may be sent again, but {learned:?}"))?;
    restarted.place(&order).await?;
    // The bytes that the process before had sent arrive now.
    let _whatever_it_says = stage.place(&order).await;
    expect(stage.one(&order).await?.filled == order.request().quantity, || "that it filled once".into())
}

async fn after_a_restart_an_order_lost_on_its_way_is_absent_for_ever(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::LostBefore).await?;
    let learned = evidence(&stage.world.restarted().await?, &order, false).await?;
    expect(matches!(learned, Evidence::AbsentForever { .. }), || format!("that it is absent for ever, but {learned:?}"))?;
    arrives_late(&stage, &order).await
}

async fn after_a_restart_an_order_on_its_way_is_found_or_absent_for_ever(stage: Arc<Stage>) -> Verdict {
    let order = stage.lost(stage.market(Buy).await?, Fault::LateCommit).await?;
    let learned = evidence(&stage.world.restarted().await?, &order, false).await?;
    sleep(stage.world.lateness() + Duration::from_millis(200)).await;
    match learned {
        Evidence::AbsentForever { .. } => stage.none(&order).await,
        Evidence::Present(_) => stage.one(&order).await.map(|_| ()),
        other => Err(Failed::Expected(format!("that it is present or absent for ever, but {other:?}"))),
    }
}
