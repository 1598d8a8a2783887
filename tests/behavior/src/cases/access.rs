//! Who may trade, and what is found out about it without trading.

use std::sync::Arc;

use omnivenue_core::model::instrument::Side::Buy;
use omnivenue_core::venue::{Effect, ErrorKind, Grade};

use crate::case::{Case, Failed, Verdict, cases, expect};
use crate::stage::Stage;

pub(super) fn cases() -> Vec<Case> {
    cases![
        a_stranger_may_not_trade_and_is_told_so,
        good_credentials_are_found_good,
        bad_credentials_are_found_bad,
        examining_neither_trades_nor_cancels,
        findings_and_errors_tell_no_secret,
    ]
}

async fn a_stranger_may_not_trade_and_is_told_so(stage: Arc<Stage>) -> Verdict {
    let stranger = stage.world.stranger();
    let wish = stage.market(Buy).await?;
    let order = match stage.desk.entry(stranger.id(), wish).await {
        Ok(order) => order,
        // An account may find out before anything is sent.
        Err(_) => return Ok(()),
    };
    match stranger.place(&order).await {
        Ok(report) => Err(Failed::Expected(format!("that a stranger may not trade, but {report:?}"))),
        Err(error) => expect(error.kind == ErrorKind::Unauthorized && error.effect == Effect::Refused, || {
            format!("unauthorized and refused, but {error} ({:?}, {:?})", error.kind, error.effect)
        }),
    }
}

async fn good_credentials_are_found_good(stage: Arc<Stage>) -> Verdict {
    for account in stage.world.accounts() {
        let findings = account.examine().await?;
        expect(!findings.is_empty(), || "at least one finding".into())?;
        let bad: Vec<_> = findings.iter().filter(|finding| finding.grade == Grade::Bad).collect();
        expect(bad.is_empty(), || format!("nothing bad, but {bad:?}"))?;
        let said = findings.iter().all(|finding| !finding.check.is_empty() && !finding.detail.is_empty());
        expect(said, || format!("that every finding says what was looked at and what was found, but {findings:?}"))?;
    }
    Ok(())
}

async fn bad_credentials_are_found_bad(stage: Arc<Stage>) -> Verdict {
    match stage.world.stranger().examine().await {
        Ok(findings) => {
            let bad = findings.iter().any(|finding| finding.grade == Grade::Bad);
            expect(bad, || format!("something bad, but {findings:?}"))
        }
        Err(error) => expect(error.kind == ErrorKind::Unauthorized, || format!("unauthorized, but {error} ({:?})", error.kind)),
    }
}

async fn examining_neither_trades_nor_cancels(stage: Arc<Stage>) -> Verdict {
    stage.placed(stage.resting().await?).await?;
    stage.placed(stage.market(Buy).await?).await?;
    let before = stage.truth().await?;
    stage.account().examine().await?;
    let after = stage.truth().await?;
    expect(before == after, || format!("{before:?}, but {after:?}"))
}

async fn findings_and_errors_tell_no_secret(stage: Arc<Stage>) -> Verdict {
    let mut told = String::new();
    for account in stage.world.accounts().iter().chain([stage.world.stranger()]) {
        told += &format!("{:?}", account.examine().await);
        told +=
            &format!("{:?}", account.cancel(&stage.instrument.symbol, stage.order(stage.resting().await?).await?.client_order_id()).await);
    }
    let told = told.to_lowercase();
    let secrets = stage.world.secrets();
    let found = secrets.iter().any(|secret| told.contains(&secret.trim_start_matches("0x").to_lowercase()));
    expect(!found, || "no secret in what is told".into())
}
