use super::*;

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("not 0")
}

/// Readers were told what they miss: it would come after that, or twice.
#[test]
fn a_log_of_which_something_was_given_up_begins_nowhere_else() {
    let mut log = Log::new(Time::ZERO);
    log.begin(seq(3));
    log.heard_from_sender(Some(seq(4)), Time::ZERO);
    let hole = log.reorder().hole().expect("nothing came");
    let mut out = Vec::new();
    assert!(log.give_up(hole, &mut out));
    assert!(log.is_fixed());
    log.begin(seq(1));
    assert_eq!((log.begun(), log.next()), (Some(seq(3)), Some(seq(5))));
    assert!(out.is_empty(), "nobody knows of whom");
}

#[test]
fn numbers_not_known_to_exist_are_not_given_up() {
    let mut log = Log::new(Time::ZERO);
    log.begin(seq(1));
    log.hear_reported(Some(seq(9)), Time::ZERO);
    let hole = log.reorder().hole().expect("others say so");
    assert!(!log.give_up(hole, &mut Vec::new()));
    assert!(!log.is_fixed());
    assert_eq!(log.reorder().next(), Some(seq(1)));
}
