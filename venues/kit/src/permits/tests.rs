//! In stopped time: the runtime moves its clock to the next timer when nobody can go on.

use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::window::Window;
use super::{Arc, Budget, Duration, PermitError, Permits, Use, clock};

const SECOND: Duration = Duration::from_secs(1);

fn permits(capacity: u32, reserved: u32) -> Arc<Permits> {
    Arc::new(Permits::new(Budget { capacity, window: Duration::from_secs(60), reserved }))
}

/// Runs in stopped time.
fn simulate<F: Future>(story: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(story)
}

/// How long a permit is waited for.
async fn waited(permits: &Permits, weight: u32, usage: Use) -> Duration {
    let before = clock::paced();
    permits.take(weight, usage).await.unwrap();
    clock::paced() - before
}

/// Lets everything run that can run now.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_spent_comes_back_after_the_window() {
    let permits = permits(100, 0);
    assert_eq!(waited(&permits, 60, Use::Entry).await, Duration::ZERO);
    sleep(10 * SECOND).await;
    assert_eq!(waited(&permits, 40, Use::Read).await, Duration::ZERO);
    assert_eq!((permits.spent(), permits.left(Use::Exit)), (100, 0));
    assert_eq!(waited(&permits, 50, Use::Entry).await, 50 * SECOND);
    assert_eq!(permits.spent(), 90);
    assert_eq!(waited(&permits, 11, Use::Entry).await, 10 * SECOND);
    assert_eq!(permits.left(Use::Entry), 39);
}

#[tokio::test(start_paused = true)]
async fn what_never_fits_is_refused_at_once() {
    let permits = permits(100, 20);
    assert_eq!(permits.take(81, Use::Entry).await, Err(PermitError::TooHeavy { weight: 81, most: 80 }));
    assert_eq!(permits.take(81, Use::Read).await, Err(PermitError::TooHeavy { weight: 81, most: 80 }));
    assert_eq!(permits.take(101, Use::Exit).await, Err(PermitError::TooHeavy { weight: 101, most: 100 }));
    assert!(!permits.try_take(81, Use::Entry) && !permits.try_take(u32::MAX, Use::Exit));
    assert_eq!(permits.spent(), 0);
    assert!(permits.try_take(80, Use::Entry) && permits.try_take(20, Use::Exit) && !permits.try_take(1, Use::Exit));
}

#[tokio::test(start_paused = true)]
async fn the_reserve_is_there_for_exits_alone() {
    let permits = permits(100, 20);
    permits.take(80, Use::Entry).await.unwrap();
    assert_eq!((permits.left(Use::Entry), permits.left(Use::Read), permits.left(Use::Exit)), (0, 0, 20));
    let mut waiting = JoinSet::new();
    for usage in [Use::Entry, Use::Read] {
        let permits = Arc::clone(&permits);
        waiting.spawn(async move { waited(&permits, 1, usage).await });
    }
    settle().await;
    assert_eq!(permits.waiting(), 2);
    assert_eq!(waited(&permits, 20, Use::Exit).await, Duration::ZERO);
    assert_eq!(waiting.join_all().await, vec![60 * SECOND; 2]);
}

#[tokio::test(start_paused = true)]
async fn exits_that_spend_more_leave_the_reserve_to_further_exits() {
    let permits = permits(100, 20);
    permits.take(50, Use::Exit).await.unwrap();
    assert_eq!((permits.left(Use::Entry), permits.left(Use::Exit)), (30, 50));
    permits.take(30, Use::Entry).await.unwrap();
    assert_eq!((permits.left(Use::Entry), permits.left(Use::Exit)), (0, 20));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_exit_goes_before_entries_that_came_earlier() {
    let permits = permits(100, 0);
    permits.take(100, Use::Entry).await.unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut all = JoinSet::new();
    for (name, weight, usage) in [("entry", 60, Use::Entry), ("read", 5, Use::Read), ("exit", 90, Use::Exit), ("second exit", 5, Use::Exit)]
    {
        let (permits, order) = (Arc::clone(&permits), Arc::clone(&order));
        all.spawn(async move {
            permits.take(weight, usage).await.unwrap();
            order.lock().unwrap().push(name);
        });
        settle().await;
    }
    all.join_all().await;
    assert_eq!(*order.lock().unwrap(), ["exit", "second exit", "entry", "read"]);
}

#[tokio::test(start_paused = true)]
async fn a_small_request_does_not_overtake_a_large_one() {
    let permits = permits(100, 0);
    permits.take(90, Use::Read).await.unwrap();
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut all = JoinSet::new();
    for (name, weight, usage) in [("large", 50, Use::Entry), ("small", 1, Use::Read), ("smaller", 1, Use::Entry)] {
        let (permits, order) = (Arc::clone(&permits), Arc::clone(&order));
        all.spawn(async move {
            permits.take(weight, usage).await.unwrap();
            order.lock().unwrap().push(name);
        });
        settle().await;
    }
    assert!(!permits.try_take(1, Use::Read), "others wait");
    all.join_all().await;
    assert_eq!(*order.lock().unwrap(), ["large", "small", "smaller"]);
}

#[tokio::test(start_paused = true)]
async fn giving_up_leaves_the_queue_and_spends_nothing() {
    let permits = permits(100, 0);
    permits.take(95, Use::Entry).await.unwrap();
    let behind = tokio::spawn({
        let permits = Arc::clone(&permits);
        async move {
            sleep(SECOND).await;
            waited(&permits, 5, Use::Entry).await
        }
    });
    assert!(timeout(10 * SECOND, permits.take(50, Use::Entry)).await.is_err());
    assert_eq!(behind.await.unwrap(), 9 * SECOND, "the head gave up after ten seconds");
    assert_eq!((permits.waiting(), permits.spent()), (0, 100));
    assert!(timeout(SECOND, permits.take(50, Use::Exit)).await.is_err());
    sleep(60 * SECOND).await;
    assert_eq!((permits.waiting(), permits.spent()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_bounded_and_exits_go_first_after_it() {
    let permits = permits(100, 10);
    permits.pause_for(30 * SECOND);
    permits.pause_for(SECOND);
    assert_eq!((permits.left(Use::Exit), permits.try_take(1, Use::Exit)), (0, false));
    let order = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut all = JoinSet::new();
    for (name, usage) in [("entry", Use::Entry), ("exit", Use::Exit)] {
        let (permits, order) = (Arc::clone(&permits), Arc::clone(&order));
        all.spawn(async move {
            let length = waited(&permits, 1, usage).await;
            order.lock().unwrap().push(name);
            length
        });
        settle().await;
    }
    assert_eq!(all.join_all().await, vec![30 * SECOND; 2]);
    assert_eq!(*order.lock().unwrap(), ["exit", "entry"]);

    permits.pause_for(Duration::MAX);
    assert_eq!(waited(&permits, 1, Use::Exit).await, Permits::PAUSE_MAX);
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded() {
    let permits = permits(1, 0);
    permits.take(1, Use::Entry).await.unwrap();
    let mut all = JoinSet::new();
    for _ in 0..=Permits::WAITING_MAX {
        let permits = Arc::clone(&permits);
        all.spawn(async move { timeout(SECOND, permits.take(1, Use::Entry)).await });
    }
    settle().await;
    let crowded = all.join_all().await.into_iter().filter(|result| matches!(result, Ok(Err(PermitError::Crowded { .. })))).count();
    assert_eq!((crowded, permits.waiting()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_window_remembers_in_a_bounded_number_of_entries() {
    let mut window = Window::new(60 * SECOND);
    for _ in 0..20_000 {
        sleep(Duration::from_millis(7)).await;
        let now = clock::paced();
        if window.room(now, 1, 1_000_000).is_none() {
            window.spend(now, 1);
        }
    }
    assert!(window.entries() <= 1_024, "{}", window.entries());
    let in_window = 60_000 / 7;
    assert!(window.spent(clock::paced()) >= in_window, "never counted too short");
}

/// The most that was granted within any one window, sorted by time.
fn heaviest(granted: &[(Instant, u32)], window: Duration) -> u32 {
    let within = |from: Instant| granted.iter().filter(|(at, _)| *at >= from && *at < from + window).map(|(_, weight)| weight).sum();
    granted.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
}

fn usages() -> impl Strategy<Value = Use> {
    prop_oneof![Just(Use::Read), Just(Use::Entry), Just(Use::Exit)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever is asked for when: no window is overspent, what is not an exit never touches the reserve, all get their
    /// turn, and an exit waits only when the exits before it have used the reserve up.
    #[test]
    fn no_window_is_ever_overspent(
        capacity in 10_u32..60, reserve in 0_u32..10, window_ms in 1_u64..3_000,
        requests in proptest::collection::vec((0_u64..400, 1_u32..12, usages(), any::<bool>()), 1..60),
    ) {
        let window = Duration::from_millis(window_ms);
        let permits = Arc::new(Permits::new(Budget { capacity, window, reserved: reserve }));
        let granted = simulate(async {
            let mut tasks = JoinSet::new();
            for (gap, weight, usage, impatient) in requests {
                sleep(Duration::from_millis(gap)).await;
                let permits = Arc::clone(&permits);
                tasks.spawn(async move {
                    let asked = clock::paced();
                    let patience = if impatient { Duration::from_millis(gap) } else { Duration::from_secs(86_400) };
                    match timeout(patience, permits.take(weight, usage)).await {
                        Ok(Ok(())) => Some((clock::paced(), weight, usage, asked)),
                        Ok(Err(PermitError::TooHeavy { .. })) => None,
                        Ok(Err(other)) => panic!("{other}"),
                        Err(_) => { assert!(impatient, "a patient request got no turn in a day"); None }
                    }
                });
            }
            tasks.join_all().await.into_iter().flatten().collect::<Vec<_>>()
        });
        let all: Vec<_> = granted.iter().map(|(at, weight, ..)| (*at, *weight)).collect();
        prop_assert!(heaviest(&all, window) <= capacity);
        let others: Vec<_> = granted.iter().filter(|(_, _, usage, _)| *usage != Use::Exit).map(|(at, weight, ..)| (*at, *weight)).collect();
        prop_assert!(heaviest(&others, window) <= capacity - reserve);
        let exits: Vec<_> = granted.iter().filter(|(_, _, usage, _)| *usage == Use::Exit).map(|(at, weight, ..)| (*at, *weight)).collect();
        let most_of_exits = heaviest(&exits, window + window / 256);
        for (at, _, usage, asked) in &granted {
            prop_assert!(*usage != Use::Exit || at == asked || most_of_exits > reserve, "an exit waited beside a free reserve");
        }
        prop_assert_eq!(permits.waiting(), 0);
    }
}
