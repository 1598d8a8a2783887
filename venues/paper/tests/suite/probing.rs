//! What a probe finds on each kind of exchange, whatever it hides.

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use omnivenue_core::model::ids::AccountId;
use omnivenue_core::model::instrument::Side::Buy;
use omnivenue_core::model::order::{OrderReport, OrderStatus};
use omnivenue_core::model::signal::TimeInForce::{Gtc, Ioc};
use omnivenue_core::venue::{Absence, AccountSnapshot, Evidence, ProbePermission, Quote, Resend, Sink};
use omnivenue_paper::{Config, FaultConfig, FaultKind, Link, LinkError, PlaceOrder, Question, Request, RequestKind, Response, probe};
use proptest::prelude::*;

use crate::world::{TestLink, World, limit, quiet};

fn wait_for<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

struct Case {
    link: TestLink,
    order: PlaceOrder,
}

impl Case {
    /// An order that was sent while a fault happened; the client heard nothing of use.
    fn sent(config: Config, fault: Option<FaultKind>) -> Self {
        let mut world = World::new(quiet(config));
        let order = world.order("a1", Buy, "1", "39");
        if let Some(fault) = fault {
            world.server.script(RequestKind::Place, fault, 1);
            drop(world.ask(Request::Place { account: World::account(), wire: order.to_wire() }));
        }
        Self { link: TestLink(Mutex::new(world)), order }
    }

    fn world<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.link.0.lock().unwrap())
    }

    fn probe(&self, may_resend: bool) -> Result<Evidence, LinkError> {
        let (now, orders) = self.world(|world| (world.now, world.config.orders.clone()));
        let (account, wire) = (World::account(), self.order.to_wire());
        let permission = ProbePermission { may_resend, now };
        let question = Question {
            account: &account,
            client_order_id: &self.order.client_order_id,
            wire: &wire,
            deadline: self.order.deadline,
            permission,
        };
        wait_for(probe(&self.link, &orders, question))
    }

    fn orders(&self) -> usize {
        self.world(|world| world.truth().orders.len())
    }
}

fn present(evidence: Result<Evidence, LinkError>) -> (OrderStatus, usize) {
    match evidence.unwrap() {
        Evidence::Present(report) => (report.status, report.fills.len()),
        other => panic!("{other:?}"),
    }
}

fn kinds() -> [Config; 5] {
    let never = |resend| {
        let mut config = Config::hyperliquid_like();
        (config.orders.absence, config.orders.resend) = (Absence::Never, resend);
        config
    };
    [Config::hyperliquid_like(), Config::ostium_like(), Config::spot_like(), never(Resend::Idempotent), never(Resend::AfterProof)]
}

#[test]
fn an_order_that_took_effect_is_found_with_its_trades() {
    for config in kinds() {
        for fault in [FaultKind::CutAfter, FaultKind::Silence, FaultKind::LateFill] {
            for may_resend in [false, true] {
                let case = Case::sent(config.clone(), Some(fault));
                assert_eq!(present(case.probe(may_resend)), (OrderStatus::Filled, 1));
                assert_eq!(case.orders(), 1);
            }
        }
    }
}

#[test]
fn a_denied_order_is_found_by_its_trades() {
    for config in kinds() {
        let case = Case::sent(config, Some(FaultKind::CutAfter));
        case.world(|world| world.server.script(RequestKind::Order, FaultKind::FalseNotFound, 3));
        assert_eq!(present(case.probe(true)), (OrderStatus::Filled, 1));
        assert_eq!(case.orders(), 1);
    }
}

#[test]
fn a_denied_order_is_found_while_it_rests_and_after_it_ended_without_a_trade() {
    for config in kinds() {
        for (time_in_force, status) in [(Gtc, OrderStatus::Open), (Ioc, OrderStatus::Expired)] {
            let mut case = Case::sent(config.clone(), None);
            case.order = limit(&case.order, "30", time_in_force, false);
            case.world(|world| {
                world.place(&case.order).unwrap();
                world.wait(100);
                world.server.script(RequestKind::Order, FaultKind::FalseNotFound, 3);
            });
            assert_eq!(present(case.probe(false)), (status, 0));
        }
    }
}

#[test]
fn a_partly_filled_order_that_ended_is_reported_with_what_traded() {
    let mut config = Config::ostium_like();
    config.depth = Some("20".parse().unwrap());
    let case = Case::sent(config, Some(FaultKind::CutAfter));
    case.world(|world| world.server.script(RequestKind::Order, FaultKind::FalseNotFound, 3));
    match case.probe(false).unwrap() {
        Evidence::Present(report) => {
            assert_eq!((report.status, report.filled_quantity.to_string()), (OrderStatus::Canceled, "0.52".into()));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn burning_proves_absence() {
    for fault in [None, Some(FaultKind::CutBefore), Some(FaultKind::LateCommit)] {
        let case = Case::sent(Config::hyperliquid_like(), fault);
        let evidence = case.probe(false).unwrap();
        assert!(matches!(&evidence, Evidence::AbsentForever { evidence } if evidence.contains("burned its id")), "{evidence:?}");
        case.world(|world| world.wait(600_000));
        assert_eq!(case.orders(), 0);
        // Sent again it is refused, and asked again it is still absent.
        case.world(|world| drop(world.ask(Request::Place { account: World::account(), wire: case.order.to_wire() })));
        assert!(matches!(case.probe(false).unwrap(), Evidence::AbsentForever { .. }));
        assert_eq!(case.orders(), 0);
    }
}

#[test]
fn burning_finds_what_everything_else_denied() {
    let case = Case::sent(Config::hyperliquid_like(), None);
    // The order is taken between the looks and the burning.
    case.world(|world| {
        world.server.script(RequestKind::Place, FaultKind::LateCommit, 1);
        let wire = case.order.to_wire();
        drop(world.ask(Request::Place { account: World::account(), wire }));
        world.server.script(RequestKind::Burn, FaultKind::CutAfter, 1);
    });
    assert_eq!(case.probe(false), Err(LinkError::Cut), "nothing was learned");
    assert!(matches!(case.probe(false).unwrap(), Evidence::AbsentForever { .. }));
    case.world(|world| world.wait(600_000));
    assert_eq!(case.orders(), 0);
}

#[test]
fn what_may_be_sent_again_is_not_burned_and_makes_one_order() {
    for fault in [None, Some(FaultKind::CutBefore), Some(FaultKind::LateCommit)] {
        let case = Case::sent(Config::hyperliquid_like(), fault);
        assert!(matches!(case.probe(true).unwrap(), Evidence::Resendable { .. }));
        case.world(|world| drop(world.ask(Request::Place { account: World::account(), wire: case.order.to_wire() })));
        case.world(|world| world.wait(600_000));
        assert_eq!(case.orders(), 1);
        assert_eq!(case.world(|world| world.position()), "1");
        assert_eq!(present(case.probe(true)), (OrderStatus::Filled, 1));
    }
}

#[test]
fn a_probe_sends_no_order() {
    for config in kinds() {
        for may_resend in [false, true] {
            let case = Case::sent(config.clone(), None);
            case.probe(may_resend).unwrap();
            case.world(|world| world.wait(600_000));
            assert_eq!(case.orders(), 0);
        }
    }
}

#[test]
fn a_window_proves_absence_only_after_deadline_and_margin() {
    for config in [Config::ostium_like(), Config::spot_like()] {
        for fault in [None, Some(FaultKind::CutBefore)] {
            let case = Case::sent(config.clone(), fault);
            let proof = case.order.deadline.unwrap().after(Duration::from_secs(2));
            let Evidence::NotYet { ask_at, .. } = case.probe(true).unwrap() else { panic!("too early") };
            assert_eq!(ask_at, proof);
            case.world(|world| {
                let rest = proof.since(world.now);
                world.wait(u64::try_from(rest.as_millis()).unwrap() - 1)
            });
            assert!(matches!(case.probe(true).unwrap(), Evidence::NotYet { .. }));
            case.world(|world| world.wait(1));
            assert!(matches!(case.probe(true).unwrap(), Evidence::AbsentForever { .. }));
            assert_eq!(case.orders(), 0, "nothing was ever sent again");
        }
    }
}

#[test]
fn a_late_order_is_found_before_its_window_proves_anything() {
    let case = Case::sent(Config::ostium_like(), Some(FaultKind::LateCommit));
    for _ in 0..20 {
        match case.probe(true).unwrap() {
            Evidence::NotYet { ask_at, .. } => case.world(|world| world.now = world.now.max(ask_at)),
            Evidence::Present(_) => return assert_eq!(case.orders(), 1),
            other @ (Evidence::AbsentForever { .. } | Evidence::Resendable { .. }) => panic!("{other:?}"),
        }
    }
    panic!("never found");
}

#[test]
fn where_nothing_proves_absence_it_is_asked_again_ever_more_rarely() {
    let [.., never] = kinds();
    let case = Case::sent(never, Some(FaultKind::CutBefore));
    let mut waits = Vec::new();
    for _ in 0..12 {
        let Evidence::NotYet { ask_at, .. } = case.probe(true).unwrap() else { panic!("proved from nothing") };
        waits.push(case.world(|world| ask_at.since(std::mem::replace(&mut world.now, ask_at))));
    }
    assert!(waits.is_sorted() && waits[0] == Duration::from_secs(1) && *waits.last().unwrap() == Duration::from_secs(600), "{waits:?}");
    assert_eq!(case.orders(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever goes wrong, a probe that ends tells the truth, and it stays the truth.
    #[test]
    fn a_verdict_is_never_wrong(seed: u64, kind in 0_usize..4, may_resend: bool, rests: bool) {
        let mut config = kinds()[kind].clone();
        config.faults = FaultConfig::all(seed, 150);
        let mut case = Case::sent(config, None);
        if rests {
            case.order = limit(&case.order, "30", Gtc, false);
        }
        case.world(|world| drop(world.ask(Request::Place { account: World::account(), wire: case.order.to_wire() })));
        let mut verdict = None;
        for _ in 0..200 {
            match case.probe(may_resend) {
                Ok(Evidence::NotYet { ask_at, .. }) => case.world(|world| world.now = world.now.max(ask_at)),
                Ok(Evidence::Present(report)) => { verdict = Some(Some(report)); break; }
                Ok(Evidence::AbsentForever { .. }) => { verdict = Some(None); break; }
                // What the engine does then.
                Ok(Evidence::Resendable { .. }) => case.world(|world| {
                    drop(world.ask(Request::Place { account: World::account(), wire: case.order.to_wire() }));
                    world.wait(100);
                }),
                Err(_) => case.world(|world| drop(world.wait(100))),
            }
        }
        case.world(|world| drop(world.wait(3_600_000)));
        let truth = case.world(|world| world.truth());
        prop_assert!(truth.orders.len() <= 1);
        match verdict {
            Some(Some(report)) => {
                prop_assert_eq!(truth.orders.len(), 1);
                prop_assert_eq!(report.filled_quantity, truth.orders[0].filled);
                prop_assert_eq!(report.status, truth.orders[0].status);
                prop_assert_eq!(report.fills, truth.fills);
            }
            Some(None) => prop_assert_eq!(truth.orders.len(), 0),
            None => prop_assert!(case.world(|world| world.config.orders.absence) == Absence::Never, "no verdict"),
        }
    }
}

/// A link to an exchange that lists no orders: only trades tell of those that ended.
struct Forgetful(TestLink);

#[async_trait]
impl Link for Forgetful {
    async fn call(&self, request: Request) -> Result<Response, LinkError> {
        match self.0.call(request).await? {
            Response::Snapshot(snapshot) => Ok(Response::Snapshot(AccountSnapshot { orders: Vec::new(), ..snapshot })),
            other => Ok(other),
        }
    }

    async fn updates(&self, account: &AccountId, sink: Sink<OrderReport>) -> Result<(), LinkError> {
        self.0.updates(account, sink).await
    }

    async fn quotes(&self, sink: Sink<Quote>) -> Result<(), LinkError> {
        self.0.quotes(sink).await
    }
}

#[test]
fn trades_alone_are_evidence() {
    for (depth, status, filled) in [(None, OrderStatus::Filled, "1"), (Some("20"), OrderStatus::Canceled, "0.52")] {
        let mut config = Config::ostium_like();
        config.depth = depth.map(|depth| depth.parse().unwrap());
        let case = Case::sent(config.clone(), Some(FaultKind::CutAfter));
        case.world(|world| world.server.script(RequestKind::Order, FaultKind::FalseNotFound, 3));
        let (account, wire) = (World::account(), case.order.to_wire());
        let permission = ProbePermission { may_resend: false, now: case.world(|world| world.now) };
        let question = Question {
            account: &account,
            client_order_id: &case.order.client_order_id,
            wire: &wire,
            deadline: case.order.deadline,
            permission,
        };
        let evidence = wait_for(probe(&Forgetful(case.link), &config.orders, question)).unwrap();
        let Evidence::Present(report) = evidence else { panic!("{evidence:?}") };
        assert_eq!((report.status, report.filled_quantity.to_string(), report.fills.len()), (status, filled.into(), 1));
    }
}
