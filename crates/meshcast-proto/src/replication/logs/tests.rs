use super::*;
use crate::fixture::{channel, peer};

fn key(who: usize) -> LogKey {
    (channel(0), peer(who).member.sender())
}

fn at(seconds: u64) -> Time {
    Time::from_start(std::time::Duration::from_secs(seconds))
}

#[test]
fn a_full_roll_lets_the_one_go_that_was_not_heard_of_for_longest() {
    let mut lru = Lru::new(8);
    for who in 0..8_u8 {
        assert_eq!(lru.first_to_go(&[who; 32]), None, "{who}");
        lru.add([who; 32], at(u64::from(8 - who)), &key(who.into()));
    }
    assert_eq!(lru.first_to_go(&[8; 32]), Some(&key(7)));
    lru.remove([7; 32], at(1), &key(7));
    assert_eq!(lru.first_to_go(&[8; 32]), None);
    assert_eq!(lru.places().len(), 7);
}

#[test]
fn a_member_that_has_its_share_makes_room_itself() {
    let mut lru = Lru::new(8);
    lru.add([9; 32], at(0), &key(9));
    for who in 0..2 {
        assert_eq!(lru.first_to_go(&[1; 32]), None);
        lru.add([1; 32], at(1 + who), &key(who as usize));
    }
    assert_eq!(lru.first_to_go(&[1; 32]), Some(&key(0)));
    assert_eq!(lru.first_to_go(&[9; 32]), None);
}

#[test]
fn the_largest_is_the_largest_log_of_the_largest_member() {
    let mut held = Quota::default();
    assert_eq!(held.largest(), None);
    held.change([1; 32], &key(0), 0, 50);
    for (who, bytes) in [(1, 20), (2, 25), (3, 10)] {
        held.change([2; 32], &key(who), 0, bytes);
    }
    assert_eq!((held.largest(), held.total()), (Some(&key(2)), 105));
    held.change([2; 32], &key(2), 25, 15);
    assert_eq!((held.largest(), held.total()), (Some(&key(0)), 95));
    held.change([1; 32], &key(0), 50, 0);
    assert_eq!(held.largest(), Some(&key(1)));
    for (who, bytes) in [(1, 20), (2, 15), (3, 10)] {
        held.change([2; 32], &key(who), bytes, 0);
    }
    assert!(held.by_log().is_empty());
}
