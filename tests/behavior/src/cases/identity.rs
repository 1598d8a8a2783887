//! What makes an order the same order: names, nonces, bytes, deadlines.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use omnivenue_core::model::instrument::Side::Buy;
use omnivenue_core::model::order::OrderStatus;
use omnivenue_core::model::time::Timestamp;
use omnivenue_core::venue::{Absence, Effect, Evidence};

use crate::case::{Case, Failed, Verdict, cases, expect};
use crate::clock;
use crate::stage::Stage;
use crate::subject::Fault;

pub(super) fn cases() -> Vec<Case> {
    cases![
        the_same_bytes_twice_are_one_order_with_one_answer[Idempotent],
        the_same_bytes_at_the_same_moment_are_one_order[Idempotent],
        the_same_bytes_after_it_was_canceled_revive_nothing[Idempotent],
        a_refusal_that_was_a_decision_stays_one[Idempotent],
        a_probe_offers_no_resending_where_the_same_bytes_may_be_taken_twice[AfterProof],
        nonces_never_repeat_over_a_burst_on_two_accounts_of_one_signer[Nonces],
        no_two_orders_of_a_burst_have_the_same_name_or_the_same_bytes,
        orders_are_prepared_with_the_network_dead,
        what_is_written_down_holds_no_authentication,
        an_order_with_a_window_says_when_it_ends[Window],
        an_order_that_is_sent_after_its_deadline_is_refused,
        accounts_of_one_signer_do_not_see_each_others_orders,
    ]
}

async fn the_same_bytes_twice_are_one_order_with_one_answer(stage: Arc<Stage>) -> Verdict {
    let (order, first) = stage.placed(stage.market(Buy).await?).await?;
    for _ in 0..2 {
        match stage.place(&order).await {
            Ok(again) => expect(again.venue_order_id == first.venue_order_id, || format!("{first:?} again, but {again:?}"))?,
            // A venue may refuse what it knows, as long as it says so and does nothing.
            Err(Some(error)) => expect(error.effect != Effect::NotSent, || format!("an answer of the venue, but {error}"))?,
            Err(None) => return Err(Failed::Expected("an answer".into())),
        }
    }
    expect(stage.one(&order).await?.filled == order.request().quantity, || "that it filled once".into())?;
    let truth = stage.truth().await?;
    expect(truth.orders.len() == 1, || format!("one order in the venue's books, but {:?}", truth.orders))
}

async fn the_same_bytes_at_the_same_moment_are_one_order(stage: Arc<Stage>) -> Verdict {
    let order = stage.order(stage.market(Buy).await?).await?;
    let answers = tokio::join!(stage.place(&order), stage.place(&order), stage.place(&order));
    let one = [&answers.0, &answers.1, &answers.2].into_iter().any(Result::is_ok);
    expect(one, || format!("that one of them is taken, but {answers:?}"))?;
    expect(stage.one(&order).await?.filled == order.request().quantity, || "that it filled once".into())
}

async fn the_same_bytes_after_it_was_canceled_revive_nothing(stage: Arc<Stage>) -> Verdict {
    let (order, _) = stage.placed(stage.resting().await?).await?;
    stage.account().cancel(&stage.instrument.symbol, order.client_order_id()).await?;
    let _either_answer_is_one = stage.place(&order).await;
    expect(stage.one(&order).await?.status == OrderStatus::Canceled, || "that it stays canceled".into())
}

async fn a_refusal_that_was_a_decision_stays_one(stage: Arc<Stage>) -> Verdict {
    // Refused for want of money at first, it would be affordable at the second price.
    let quantity = stage.worth(15_000).await?;
    let order = stage.order(crate::desk::Wish { quantity, ..stage.market(Buy).await? }).await?;
    match stage.place(&order).await {
        Err(Some(error)) if error.effect == Effect::Refused => {}
        other => return Err(Failed::Expected(format!("that it is refused, but {other:?}"))),
    }
    let mut percent = 100;
    while percent > 50 {
        percent -= 10;
        stage.move_price(90).await?;
    }
    let again = stage.place(&order).await;
    expect(again.is_err(), || format!("the same refusal, but {again:?}"))?;
    expect(stage.truth().await?.fills.is_empty(), || "that nothing traded".into())
}

async fn a_probe_offers_no_resending_where_the_same_bytes_may_be_taken_twice(stage: Arc<Stage>) -> Verdict {
    for fault in [Fault::LostBefore, Fault::LostAfter] {
        let order = stage.lost(stage.market(Buy).await?, fault).await?;
        let evidence = stage.probe(&order, true).await?;
        let offers = matches!(evidence, Evidence::Resendable { .. });
        expect(!offers, || format!("that no probe offers to send the same bytes again, but {evidence:?}"))?;
    }
    Ok(())
}

/// Two hundred orders over two accounts, prepared as fast as it goes.
async fn burst(stage: &Stage) -> Verdict<Vec<omnivenue_core::journal::Journaled<omnivenue_core::venue::Prepared>>> {
    let wish = stage.resting().await?;
    let mut orders = Vec::new();
    for round in 0..200 {
        let account = stage.world.accounts()[round % 2].id();
        orders.push(stage.desk.entry(account, wish).await.map_err(|why| Failed::Expected(format!("an order, but {}", why.reason)))?);
    }
    Ok(orders)
}

async fn nonces_never_repeat_over_a_burst_on_two_accounts_of_one_signer(stage: Arc<Stage>) -> Verdict {
    let orders = burst(&stage).await?;
    let nonces: BTreeSet<u64> = orders.iter().filter_map(|order| order.nonce()).collect();
    expect(nonces.len() == orders.len(), || format!("{} different nonces, but {}", orders.len(), nonces.len()))?;
    let rising = orders.windows(2).all(|pair| pair[0].nonce() < pair[1].nonce());
    expect(rising, || "nonces that rise".into())?;
    // The venue takes the last of them and then the first: the order in which they arrive is not the one in which they were made.
    for order in [&orders[199], &orders[0], &orders[198]] {
        let account = stage.world.accounts().iter().find(|account| *account.id() == order.request().account);
        account.ok_or_else(|| "its account".to_owned())?.place(order).await?;
    }
    Ok(())
}

async fn no_two_orders_of_a_burst_have_the_same_name_or_the_same_bytes(stage: Arc<Stage>) -> Verdict {
    let orders = burst(&stage).await?;
    let names: BTreeSet<_> = orders.iter().map(|order| order.client_order_id().clone()).collect();
    let wires: BTreeSet<_> = orders.iter().map(|order| order.wire().to_owned()).collect();
    expect(names.len() == 200 && wires.len() == 200, || format!("200 names and texts, but {} and {}", names.len(), wires.len()))
}

async fn orders_are_prepared_with_the_network_dead(stage: Arc<Stage>) -> Verdict {
    // Whatever an account has to ask before its first order it has asked by then.
    let wish = stage.market(Buy).await?;
    stage.placed(wish).await?;
    stage.world.die().await;
    let before = clock::started().elapsed();
    for _ in 0..20 {
        stage.order(wish).await?;
    }
    let took = clock::started().elapsed() - before;
    expect(took < Duration::from_secs(2), || format!("twenty orders in 2 s, but {took:?}"))?;
    let order = stage.order(wish).await?;
    match stage.place(&order).await {
        Ok(report) => Err(Failed::Expected(format!("that the venue is gone, but {report:?}"))),
        Err(Some(error)) => expect(error.effect != Effect::Refused, || format!("that nobody refused it, but {error}")),
        Err(None) => Ok(()),
    }
}

async fn what_is_written_down_holds_no_authentication(stage: Arc<Stage>) -> Verdict {
    let secrets = stage.world.secrets();
    for wish in [stage.market(Buy).await?, stage.resting().await?] {
        let order = stage.order(wish).await?;
        let texts = [order.wire().to_lowercase(), format!("{order:?}").to_lowercase()];
        for text in &texts {
            let words = ["signature", "authorization", "api-key", "apikey", "\"r\":\"0x", "secret"];
            let found = words.iter().find(|word| text.contains(**word));
            expect(found.is_none(), || format!("no authentication, but {found:?} in {text}"))?;
            let told = secrets.iter().any(|secret| text.contains(secret.trim_start_matches("0x").to_lowercase().as_str()));
            expect(!told, || format!("no secret in {text}"))?;
        }
    }
    Ok(())
}

async fn an_order_with_a_window_says_when_it_ends(stage: Arc<Stage>) -> Verdict {
    let Absence::Window { length, .. } = stage.capabilities.orders.absence else {
        return Err(Failed::DoesNotApply("it has no window".into()));
    };
    let before = clock::now();
    let order = stage.order(stage.resting().await?).await?;
    let (first, last) = (before.after(length), clock::now().after(length));
    let deadline = order.deadline();
    let fits = deadline.is_some_and(|deadline| deadline >= first && deadline <= last.after(Duration::from_secs(1)));
    expect(fits, || format!("a deadline {length:?} from when it was prepared, {first} to {last}, but {deadline:?}"))
}

async fn an_order_that_is_sent_after_its_deadline_is_refused(stage: Arc<Stage>) -> Verdict {
    let now = stage.order(stage.resting().await?).await?;
    let Some(deadline) = now.deadline() else {
        return Err(Failed::DoesNotApply("its orders have no deadline".into()));
    };
    // Prepared so long ago that its deadline has passed by more than any clock may be off.
    let age = deadline.since(clock::now()) + Duration::from_secs(10);
    let past = Timestamp::from_micros(clock::now().as_micros() - i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    let order = stage.desk.entry_at(stage.id(), stage.market(Buy).await?, past).await;
    let order = order.map_err(|why| Failed::Expected(format!("a stale order, but {}: {}", why.code, why.reason)))?;
    expect(order.deadline().is_some_and(|deadline| deadline < clock::now()), || format!("a past deadline, but {:?}", order.deadline()))?;
    match stage.place(&order).await {
        Err(Some(error)) => expect(matches!(error.effect, Effect::Refused | Effect::NotSent), || format!("refused, but {error}"))?,
        other => return Err(Failed::Expected(format!("that it is refused, but {other:?}"))),
    }
    stage.none(&order).await
}

async fn accounts_of_one_signer_do_not_see_each_others_orders(stage: Arc<Stage>) -> Verdict {
    let (order, _) = stage.placed(stage.resting().await?).await?;
    let (_, filled) = stage.placed(stage.market(Buy).await?).await?;
    let other = &stage.world.accounts()[1];
    let snapshot = other.snapshot(None).await?;
    let seen = snapshot.orders.iter().any(|report| report.client_order_id == *order.client_order_id());
    let traded = snapshot.fills.iter().any(|fill| fill.venue_order_id == filled.venue_order_id);
    expect(!seen && !traded, || format!("that {} sees nothing of it, but {snapshot:?}", other.id()))?;
    let canceled = other.cancel(&stage.instrument.symbol, order.client_order_id()).await;
    expect(canceled.is_err(), || format!("that {} cannot cancel it, but {canceled:?}", other.id()))?;
    expect(stage.one(&order).await?.status == OrderStatus::Open, || "that it still rests".into())
}
