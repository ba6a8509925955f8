use super::*;
use crate::fixture::peer;

fn who(n: usize) -> Sender {
    peer(n).member.sender()
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
        announcements.charge_all(peer, logs, now);
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
    announcements.told_upto(who(0), Some(who(5)));
    announcements.add(who(0), &name(1));
    assert_eq!(announcements.first(who(0)), Some((name(0), Some(who(5)))));
    announcements.add(who(0), &name(0));
    assert_eq!(announcements.first(who(0)), Some((name(0), None)));
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
    let most = (seconds as usize * 1_000 + 125) * 131_072 / 1_000 + each;
    assert!(count * each <= most, "{count}");
    assert!(count * each > most * 9 / 10, "{count}");
    assert!(others * each > most * 8 / 10, "{others}");
}

#[test]
fn whose_link_is_full_is_told_when_it_is_not() {
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
fn who_is_gone_is_told_nothing() {
    let mut announcements = Announcements::default();
    announcements.add(who(0), &name(0));
    announcements.forget(who(0));
    assert_eq!(
        (announcements.next(at(0)), announcements.poll_timeout()),
        (None, None)
    );
}

#[test]
fn who_closes_what_it_opened_takes_no_place() {
    let mut announcements = Announcements::default();
    announcements.set_congested(who(0), true);
    announcements.add(who(0), &name(0));
    announcements.told_upto(who(0), Some(who(5)));
    for n in 1..100 {
        announcements.add(who(0), &name(n));
        announcements.remove(who(0), &name(n - 1));
        assert_eq!(announcements.first(who(0)), Some((name(n), None)));
    }
    let pending = &announcements.peers[&who(0)];
    assert_eq!((pending.queue.len(), pending.places.len()), (1, 1));
}
