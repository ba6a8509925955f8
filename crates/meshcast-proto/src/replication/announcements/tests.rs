use super::*;

fn who(n: usize) -> Sender {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    Sender::new(key)
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn name(n: usize) -> ChannelName {
    ChannelName::new(&n.to_string()).expect("short")
}

/// Tells whoever is due, so many logs a channel, until nobody is. Says whom of what.
fn told(announcements: &mut Announcements, logs: usize, now: Time) -> Vec<(Sender, ChannelName)> {
    let mut told = Vec::new();
    while let Some(peer) = announcements.next(now) {
        let (channel, _) = announcements.first(peer).expect("something waits");
        announcements.told_upto(peer, None);
        announcements.charge_turn(peer, logs, now);
        told.push((peer, channel));
    }
    told
}

#[test]
fn who_asks_again_and_again_is_told_once() {
    let mut announcements = Announcements::default();
    for _ in 0..1_000 {
        announcements.add(who(0), &name(0));
        announcements.add(who(0), &name(1));
    }
    assert_eq!(
        told(&mut announcements, 1, at(0)),
        [(who(0), name(0)), (who(0), name(1))]
    );
    assert_eq!(announcements.poll_timeout(), None);
    announcements.add(who(0), &name(0));
    assert_eq!(told(&mut announcements, 1, at(0)), [(who(0), name(0))]);
}

#[test]
fn who_asks_again_halfway_is_told_from_the_beginning() {
    let mut announcements = Announcements::default();
    announcements.add(who(0), &name(0));
    announcements.add(who(0), &name(1));
    announcements.told_upto(who(0), Some(5));
    announcements.add(who(0), &name(1));
    assert_eq!(announcements.first(who(0)), Some((name(0), 5)));
    announcements.add(who(0), &name(0));
    assert_eq!(announcements.first(who(0)), Some((name(0), 0)));
}

#[test]
fn what_changes_is_told_in_its_turn_and_nothing_that_was_told_is_told_again() {
    let mut announcements = Announcements::default();
    announcements.add(who(0), &name(0));
    announcements.told_upto(who(0), Some(5));
    // It is behind what is being told.
    announcements.defer(who(0), &name(0), 9);
    assert_eq!(announcements.first(who(0)), Some((name(0), 5)));
    announcements.told_upto(who(0), None);
    assert_eq!(announcements.first(who(0)), None);
    announcements.defer(who(0), &name(0), 12);
    announcements.defer(who(0), &name(1), 13);
    announcements.defer(who(0), &name(0), 14);
    assert_eq!(announcements.first(who(0)), Some((name(0), 11)));
    announcements.told_upto(who(0), None);
    assert_eq!(announcements.first(who(0)), Some((name(1), 12)));
    // A peer that opens it is told everything.
    announcements.add(who(0), &name(1));
    assert_eq!(announcements.first(who(0)), Some((name(1), 0)));
}

#[test]
fn nobody_is_told_of_more_than_its_rate() {
    let mut announcements = Announcements::default();
    let (each, seconds) = (2_048, 2);
    let (mut count, mut others) = (0, 0);
    for now in (0..seconds * 1_000).map(at) {
        (0..100).for_each(|n| announcements.add(who(0), &name(n)));
        announcements.add(who(1), &name(0));
        for (peer, _) in told(&mut announcements, each, now) {
            count += usize::from(peer == who(0));
            others += usize::from(peer == who(1));
        }
    }
    let most = (seconds as usize * 1_000 + 30) * 65_536 / 1_000 + each;
    assert!(count * each <= most, "{count}");
    assert!(count * each > most * 9 / 10, "{count}");
    assert!(others * each > most * 8 / 10, "{others}");
}

#[test]
fn a_peer_whose_link_is_full_is_told_once_there_is_room() {
    let mut announcements = Announcements::default();
    announcements.set_congested(who(0), true);
    announcements.add(who(0), &name(0));
    assert_eq!(
        (announcements.next(at(0)), announcements.poll_timeout()),
        (None, None)
    );
    announcements.set_congested(who(0), false);
    assert_eq!(announcements.poll_timeout(), Some(Time::ZERO));
    assert_eq!(told(&mut announcements, 1, at(0)), [(who(0), name(0))]);
}

#[test]
fn a_peer_that_is_gone_is_announced_nothing() {
    let mut announcements = Announcements::default();
    announcements.add(who(0), &name(0));
    announcements.forget(who(0));
    assert_eq!(
        (announcements.next(at(0)), announcements.poll_timeout()),
        (None, None)
    );
}

#[test]
fn a_peer_that_closes_what_it_opened_takes_no_place() {
    let mut announcements = Announcements::default();
    announcements.set_congested(who(0), true);
    announcements.add(who(0), &name(0));
    announcements.told_upto(who(0), Some(5));
    for n in 1..100 {
        announcements.add(who(0), &name(n));
        announcements.remove(who(0), &name(n - 1));
        assert_eq!(announcements.first(who(0)), Some((name(n), 0)));
    }
    let pending = announcements.0.get(who(0)).expect("it waits");
    assert_eq!((pending.queue.len(), pending.positions.len()), (1, 1));
}

/// At a pace at which nobody exceeds its rate: what each was told is forgotten before its next
/// turn.
#[test]
fn who_opens_a_small_channel_is_told_before_thirty_that_opened_large_ones() {
    let mut announcements = Announcements::default();
    for now in (0..200).map(|n| at(n * 50)) {
        (1..=30).for_each(|n| announcements.add(who(n), &name(n)));
        if now > at(3_000) {
            announcements.add(who(31), &name(31));
            assert_eq!(announcements.next(now), Some(who(31)), "at {now:?}");
            announcements.told_upto(who(31), None);
            announcements.charge_turn(who(31), 2, now);
        }
        let peer = announcements.next(now).expect("they wait");
        announcements.told_upto(peer, None);
        announcements.charge_turn(peer, 2_048, now);
    }
}

#[test]
fn news_for_a_peer_cost_it_no_turns() {
    let mut announcements = Announcements::default();
    for now in (0..60_000).step_by(20).map(at) {
        announcements.charge_news(who(1), 1_000, now);
    }
    let mut turns = 0;
    for now in (60_000..70_000).step_by(50).map(at) {
        (1..=3).for_each(|n| announcements.add(who(n), &name(n)));
        let peer = announcements.next(now).expect("they wait");
        announcements.told_upto(peer, None);
        announcements.charge_turn(peer, 2_048, now);
        turns += usize::from(peer == who(1));
    }
    assert!((60..=70).contains(&turns), "{turns} of 200");
}
