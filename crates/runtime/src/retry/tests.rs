use std::cell::Cell;

use super::*;

#[derive(Debug, PartialEq)]
enum Error {
    Busy(u32),
    Broken,
}

impl Transient for Error {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Busy(_))
    }
}

const POLICY: Policy = Policy::new(Duration::from_millis(1), Duration::from_millis(20));

#[tokio::test]
async fn a_transient_error_is_tried_again_until_it_passes() {
    let calls = Cell::new(0);
    let outcome = run(&POLICY, &CancellationToken::new(), async || {
        calls.set(calls.get() + 1);
        if calls.get() < 5 { Err(Error::Busy(calls.get())) } else { Ok(calls.get()) }
    })
    .await;
    assert_eq!(outcome, Ok(5));
}

#[tokio::test]
async fn a_final_error_is_returned_at_once() {
    let calls = Cell::new(0);
    let outcome: Result<(), _> = run(&POLICY, &CancellationToken::new(), async || {
        calls.set(calls.get() + 1);
        Err(Error::Broken)
    })
    .await;
    assert_eq!((outcome, calls.get()), (Err(Error::Broken), 1));
}

#[tokio::test]
async fn no_attempt_starts_after_max_elapsed() {
    let policy = POLICY.with_max_elapsed(Duration::from_millis(300));
    let started = Instant::now();
    let last = Cell::new(Duration::ZERO);
    let calls = Cell::new(0);
    let outcome: Result<(), _> = run(&policy, &CancellationToken::new(), async || {
        last.set(started.elapsed());
        calls.set(calls.get() + 1);
        Err(Error::Busy(calls.get()))
    })
    .await;
    assert_eq!(outcome, Err(Error::Busy(calls.get())), "the last error is returned");
    assert!(last.get() <= Duration::from_millis(310), "the last attempt came at {:?}", last.get());
    assert!(calls.get() >= 5, "went on for most of the time: {} calls", calls.get());
}

#[tokio::test]
async fn cancelling_ends_the_wait_but_not_the_attempt() {
    let cancel = CancellationToken::new();
    let slow = Policy::new(Duration::from_hours(1), Duration::from_hours(1));
    let finished = Cell::new(0);
    let outcome: Result<(), _> = run(&slow, &cancel, async || {
        cancel.cancel();
        tokio::time::sleep(Duration::from_millis(5)).await;
        finished.set(finished.get() + 1);
        Err(Error::Busy(1))
    })
    .await;
    assert_eq!((outcome, finished.get()), (Err(Error::Busy(1)), 1));
    let outcome = run(&slow, &cancel, async || Ok::<_, Error>(7)).await;
    assert_eq!(outcome, Ok(7), "called once even when cancelled before");
}

#[test]
fn delays_are_spread_below_a_growing_ceiling() {
    let mut ceiling = POLICY.first_delay;
    let mut backoffs: Vec<Backoff> = (0..500).map(|seed| Backoff::seeded(&POLICY, seed)).collect();
    for _ in 0..12 {
        let mut delays: Vec<Duration> = backoffs.iter_mut().map(Backoff::next_delay).collect();
        delays.sort();
        assert!(delays[499] <= ceiling, "{:?} is over {ceiling:?}", delays[499]);
        assert!(delays[499] > ceiling.mul_f64(0.95) && delays[0] < ceiling.mul_f64(0.05), "jitter is full");
        assert!((0.4..0.6).contains(&delays[250].div_duration_f64(ceiling)), "jitter is even");
        ceiling = (ceiling * 2).min(POLICY.max_delay);
    }
    backoffs[0].reset();
    assert!((0..1).all(|_| backoffs[0].next_delay() <= POLICY.first_delay));
}

#[test]
fn a_policy_from_config() {
    let policy: Policy = toml::from_str("first_delay = '50ms'\nmax_delay = '5s'\nmax_elapsed = '5m'").unwrap();
    let same = Policy::new(Duration::from_millis(50), Duration::from_secs(5)).with_max_elapsed(Duration::from_mins(5));
    assert_eq!(policy, same);
    assert_eq!(policy.faults(), []);
    let policy: Policy = toml::from_str("first_delay = '0s'\nfactor = 0.5\nmax_delay = '5s'").unwrap();
    let keys: Vec<String> = policy.faults().into_iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["first_delay", "factor"]);
}

#[tokio::test]
async fn a_task_can_retry_what_borrows() {
    struct Journal(String);
    impl Journal {
        async fn once(&self, event: &str) -> Result<usize, Error> {
            tokio::task::yield_now().await;
            Ok(self.0.len() + event.len())
        }

        async fn publish(&self, event: &str) -> Result<usize, Error> {
            let cancel = CancellationToken::new();
            run(&POLICY, &cancel, async || self.once(event).await).await
        }
    }
    // What this tests is that it compiles: a task's future must be `Send`.
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async {
        let event = String::from("event");
        Journal("journal".to_owned()).publish(&event).await
    });
    assert_eq!(tasks.join_next().await.unwrap().unwrap(), Ok(12));
}
