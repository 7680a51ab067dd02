use super::*;

const MS: Duration = Duration::from_millis(1);

fn config() -> Config {
    Config { hedge_after: 500 * MS, hedge_after_min: 50 * MS, ..Config::default() }
}

#[test]
fn patience_is_four_deviations_above_the_average() {
    let pace = Pace::default();
    assert_eq!(pace.patience(&config()), 500 * MS, "nothing is known");
    pace.note(80 * MS);
    assert_eq!(pace.patience(&config()), 240 * MS);
    for _ in 0..200 {
        pace.note(80 * MS);
    }
    let patience = pace.patience(&config());
    assert!(patience >= 79 * MS && patience <= 82 * MS, "{patience:?}");
    for _ in 0..200 {
        pace.note(MS);
    }
    assert_eq!(pace.patience(&config()), 50 * MS, "never less than the least");
}

#[test]
fn small_differences_are_none_and_a_lost_race_is_one_at_once() {
    let (fast, slow) = (Pace::default(), Pace::default());
    assert_eq!(fast.class(&config()), 0);
    for _ in 0..20 {
        fast.note(MS);
        slow.note(30 * MS);
    }
    assert_eq!((fast.class(&config()), slow.class(&config())), (0, 0));
    fast.note_lost(60 * MS);
    assert_eq!(fast.class(&config()), 1);
    fast.note_lost(220 * MS);
    assert_eq!(fast.class(&config()), 3);
    fast.note_lost(60 * MS);
    assert_eq!(fast.class(&config()), 3, "it is no faster than it was");
    for _ in 0..20 {
        fast.note(MS);
    }
    assert_eq!(fast.class(&config()), 0, "it is well again");
}

#[test]
fn a_bounded_share_is_asked_for_twice() {
    let hedges = Hedges::new(10);
    while hedges.spend() {}
    let mut spent = 0;
    for _ in 0..1000 {
        hedges.earn();
        spent += usize::from(hedges.spend());
    }
    assert_eq!(spent, 100);
    for _ in 0..1000 {
        hedges.earn();
    }
    assert_eq!((0..1000).filter(|_| hedges.spend()).count(), 10, "what is saved up has an end");
    assert!(!Hedges::new(0).spend());
}
