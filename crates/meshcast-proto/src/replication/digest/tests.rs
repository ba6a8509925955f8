use super::*;
use crate::{
    fixture::{channel, peer},
    wire::ChannelName,
};

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn sender(who: usize) -> Sender {
    peer(who).member.sender()
}

fn one(name: usize) -> LogKey {
    let name = ChannelName::new(&name.to_string()).expect("allowed");
    (name, sender(1))
}

fn key(name: usize, who: usize) -> LogKey {
    (channel(name), sender(who))
}

#[test]
fn few_that_changed_are_told_once_a_quarter_second_after_the_first() {
    let mut digest = Digest::default();
    assert_eq!(digest.poll_timeout(), None);
    digest.changed(key(0, 1), true, at(10));
    digest.changed(key(1, 2), true, at(150));
    digest.changed(key(0, 1), true, at(259));
    assert_eq!(digest.poll_timeout(), Some(at(260)));
    assert!(digest.take_changed(at(259)).is_empty());
    assert_eq!(digest.take_changed(at(260)), [key(0, 1), key(1, 2)].into());
    assert_eq!(digest.poll_timeout(), None);
    assert!(digest.take_changed(at(9_999)).is_empty());
    digest.changed(key(0, 1), true, at(600));
    assert_eq!(digest.poll_timeout(), Some(at(850)));
}

#[test]
fn many_that_changed_are_told_half_a_second_after_the_first() {
    let mut digest = Digest::default();
    for n in 0..FEW {
        digest.changed(one(n), true, at(10));
    }
    assert_eq!(digest.poll_timeout(), Some(at(260)));
    digest.changed(one(FEW), true, at(259));
    assert_eq!(digest.poll_timeout(), Some(at(510)));
    assert!(digest.take_changed(at(509)).is_empty());
    assert_eq!(digest.take_changed(at(510)).len(), FEW + 1);
}

/// A liar may make up as many as it likes.
#[test]
fn a_log_with_frames_is_told_in_a_quarter_second_however_many_are_only_reported() {
    let mut digest = Digest::default();
    for n in 0..=FEW {
        digest.changed(one(n), false, at(10));
        digest.way_changed(one(n), false, at(10));
    }
    assert_eq!(digest.poll_timeout(), Some(at(510)));
    digest.changed(key(0, 2), true, at(20));
    assert_eq!(digest.poll_timeout(), Some(at(270)));
    assert_eq!(digest.untold().len(), FEW + 2);
    assert_eq!(digest.take_changed(at(270)), [key(0, 2)].into());
    digest.way_changed(key(0, 2), true, at(280));
    assert_eq!(digest.take_changed(at(330)), [key(0, 2)].into());
    assert_eq!(digest.poll_timeout(), Some(at(510)));
    assert_eq!(digest.take_changed(at(510)).len(), FEW + 1);
    assert_eq!(digest.poll_timeout(), None);
}

#[test]
fn a_sender_is_told_50_ms_after_its_first_frame() {
    let mut digest = Digest::default();
    for (name, millis) in [(0, 5), (1, 30), (0, 54)] {
        digest.progress(sender(1), &key(name, 1), at(millis));
    }
    digest.progress(sender(2), &key(0, 2), at(20));
    assert_eq!(digest.poll_timeout(), Some(at(55)));
    assert_eq!(digest.take_ack(at(54)), None);
    assert_eq!(
        digest.take_ack(at(55)),
        Some((sender(1), [key(0, 1), key(1, 1)].into()))
    );
    assert_eq!(digest.take_ack(at(55)), None);
    assert_eq!(digest.poll_timeout(), Some(at(70)));
    assert_eq!(
        digest.take_ack(at(70)),
        Some((sender(2), [key(0, 2)].into()))
    );
    assert_eq!(digest.poll_timeout(), None);
}

#[test]
fn a_sender_is_told_at_once_of_the_sixteenth_frame() {
    let mut digest = Digest::default();
    for n in 1..=16 {
        assert_eq!(digest.take_ack(at(n)), None);
        digest.progress(sender(1), &key(0, 1), at(n));
    }
    assert_eq!(digest.poll_timeout(), Some(at(16)));
    assert_eq!(
        digest.take_ack(at(16)),
        Some((sender(1), [key(0, 1)].into()))
    );
    // And the count begins again.
    digest.progress(sender(1), &key(0, 1), at(17));
    assert_eq!(digest.poll_timeout(), Some(at(67)));
}

#[test]
fn a_sender_is_told_at_once_of_many_bytes() {
    let mut digest = Digest::default();
    for n in 1..=3 {
        digest.came(sender(1), ACK_BYTES / 3 + 1);
        assert_eq!(digest.take_ack(at(n)), None);
        digest.progress(sender(1), &key(0, 1), at(n));
    }
    assert_eq!(
        digest.take_ack(at(3)),
        Some((sender(1), [key(0, 1)].into()))
    );
    // And the count begins again.
    digest.came(sender(1), ACK_BYTES - 1);
    digest.progress(sender(1), &key(0, 1), at(4));
    assert_eq!(digest.poll_timeout(), Some(at(54)));
}

#[test]
fn what_is_handed_on_is_told_at_once() {
    let mut digest = Digest::default();
    digest.progress(sender(1), &key(0, 2), at(0));
    digest.hand_on(sender(1), &key(1, 2), at(3));
    assert_eq!(digest.poll_timeout(), Some(at(3)));
    assert_eq!(
        digest.take_ack(at(3)),
        Some((sender(1), [key(0, 2), key(1, 2)].into()))
    );
    assert_eq!(digest.poll_timeout(), None);
}

#[test]
fn a_peer_that_is_gone_gets_no_acknowledgement() {
    let mut digest = Digest::default();
    digest.progress(sender(1), &key(0, 1), at(0));
    digest.forget(sender(1));
    assert_eq!(
        (digest.poll_timeout(), digest.take_ack(at(100))),
        (None, None)
    );
}

#[test]
fn every_log_that_advanced_is_noticed_however_many_did() {
    let mut digest = Digest::default();
    for n in 0..3 * FEW {
        digest.notice(&one(n), at(0));
    }
    assert_eq!(digest.poll_timeout(), Some(Time::from_start(NOTICE)));
    let noticed = digest.take_noticed(Time::from_start(NOTICE));
    assert_eq!(noticed.len(), 3 * FEW);
}

#[test]
fn new_ways_are_told_soon_while_they_are_few() {
    let mut digest = Digest::default();
    (0..FEW).for_each(|n| digest.way_changed(one(n), true, at(0)));
    assert_eq!(digest.poll_timeout(), Some(Time::from_start(ACK_DELAY)));
    digest.way_changed(one(FEW), true, at(1));
    assert_eq!(digest.poll_timeout(), Some(Time::from_start(INTERVAL)));
}
