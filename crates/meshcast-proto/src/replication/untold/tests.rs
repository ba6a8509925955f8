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
fn told(untold: &mut Untold, logs: usize, now: Time) -> Vec<(Sender, ChannelName)> {
    let mut told = Vec::new();
    while let Some(peer) = untold.next(now) {
        let (channel, _) = untold.first(peer).expect("something waits");
        untold.told_upto(peer, None);
        untold.charge_all(peer, logs, now);
        told.push((peer, channel));
    }
    told
}

#[test]
fn who_asks_again_and_again_is_told_once() {
    let mut untold = Untold::default();
    for _ in 0..1_000 {
        untold.add(who(0), &name(0));
        untold.add(who(0), &name(1));
    }
    assert_eq!(
        told(&mut untold, 1, at(0)),
        [(who(0), name(0)), (who(0), name(1))]
    );
    assert_eq!(untold.poll_timeout(), None);
    untold.add(who(0), &name(0));
    assert_eq!(told(&mut untold, 1, at(0)), [(who(0), name(0))]);
}

#[test]
fn who_asks_again_halfway_is_told_from_the_beginning() {
    let mut untold = Untold::default();
    untold.add(who(0), &name(0));
    untold.add(who(0), &name(1));
    untold.told_upto(who(0), Some(who(5)));
    untold.add(who(0), &name(1));
    assert_eq!(untold.first(who(0)), Some((name(0), Some(who(5)))));
    untold.add(who(0), &name(0));
    assert_eq!(untold.first(who(0)), Some((name(0), None)));
}

#[test]
fn nobody_is_told_of_more_than_its_rate() {
    let mut untold = Untold::default();
    let (each, seconds) = (2_048, 2);
    let (mut count, mut others) = (0, 0);
    for now in (0..seconds * 1_000).map(at) {
        (0..100).for_each(|n| untold.add(who(0), &name(n)));
        untold.add(who(1), &name(0));
        for (peer, _) in told(&mut untold, each, now) {
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
    let mut untold = Untold::default();
    untold.set_congested(who(0), true);
    untold.add(who(0), &name(0));
    assert_eq!((untold.next(at(0)), untold.poll_timeout()), (None, None));
    untold.set_congested(who(0), false);
    assert_eq!(untold.poll_timeout(), Some(Time::ZERO));
    assert_eq!(told(&mut untold, 1, at(0)), [(who(0), name(0))]);
}

#[test]
fn who_is_gone_is_told_nothing() {
    let mut untold = Untold::default();
    untold.add(who(0), &name(0));
    untold.forget(who(0));
    assert_eq!((untold.next(at(0)), untold.poll_timeout()), (None, None));
}

#[test]
fn who_closes_what_it_opened_takes_no_place() {
    let mut untold = Untold::default();
    untold.set_congested(who(0), true);
    untold.add(who(0), &name(0));
    untold.told_upto(who(0), Some(who(5)));
    for n in 1..100 {
        untold.add(who(0), &name(n));
        untold.remove(who(0), &name(n - 1));
        assert_eq!(untold.first(who(0)), Some((name(n), None)));
    }
    let pending = &untold.peers[&who(0)];
    assert_eq!((pending.queue.len(), pending.places.len()), (1, 1));
}
