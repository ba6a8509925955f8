mod places;
mod shares;
mod world;

use proptest::prelude::*;

use self::world::{BEGAN, World, channel};
use super::*;
use crate::{
    fixture::peer,
    presence::{LOST_AFTER, SILENT_AFTER},
    wire::Claim,
};

/// The channel of tests that have one.
fn fixture() -> ChannelName {
    channel(0)
}

/// In the end, as tests have it: who vanished is lost, and what was compared is mended.
const SETTLE: Duration = Duration::from_secs(40);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn nothing_is_said_as_long_as_nobody_watches() {
    let mut world = World::full(4);
    world.run(secs(30));
    world.open(0, false);
    world.crash(1);
    world.run(secs(30));
    assert_eq!(world.said, 0);
    assert!(world.nodes.iter().all(|node| !node.tracker.is_active()));
}

#[test]
fn whoever_watches_sees_all_who_have_the_channel_open_and_what_they_set() {
    let mut world = World::full(5);
    world.run(secs(1));
    world.watch(0, true);
    let joined = world.run_until(secs(1), World::is_equal);
    assert!(joined <= Duration::from_millis(100), "{joined:?}");
    world.watch(3, true);
    world.set(3, b"busy");
    let updated = world.run_until(secs(1), World::is_equal);
    assert!(updated <= Duration::from_millis(100), "{updated:?}");
}

#[test]
fn since_when_it_is_open_is_told_however_late_somebody_watches() {
    let mut world = World::full(3);
    world.run(secs(60));
    world.open(2, false);
    world.run(secs(10));
    world.open(2, true);
    world.run(secs(60));
    world.watch(0, true);
    world.run(secs(1));
    let since = |n: usize| world.nodes[0].seen()[&world.nodes[n].sender].since;
    let opened = [BEGAN, BEGAN, BEGAN + secs(70)];
    assert_eq!([since(0), since(1), since(2)], opened);
}

#[test]
fn among_members_that_are_all_connected_no_beat_is_made_and_little_is_said() {
    let mut world = World::full(8);
    world.watch(0, true);
    world.run(secs(5));
    let said = world.said;
    world.run(secs(100));
    assert!(
        world
            .nodes
            .iter()
            .all(|node| node.tracker.counters().presence_beats == 0)
    );
    // Each compares with one peer in ten seconds.
    let idle = world.said - said;
    assert!(idle <= 8 * 11, "{idle} messages");
}

#[test]
fn members_that_are_not_connected_see_each_other_by_those_between() {
    let mut world = World::chain(6);
    world.run(secs(1));
    world.watch(0, true);
    world.watch(5, true);
    world.set(5, b"far");
    let joined = world.run_until(secs(10), World::is_equal);
    assert!(joined <= secs(8), "{joined:?}");
    world.run(secs(60));
    world.assert_equal();
    assert_eq!(world.nodes[0].losses(), 0, "no flap");
    // News travel at once.
    world.set(5, b"farther");
    let updated = world.run_until(secs(1), World::is_equal);
    assert!(updated <= Duration::from_millis(200), "{updated:?}");
}

#[test]
fn a_clean_leave_is_seen_at_once_near_and_far() {
    let mut world = World::chain(4);
    world.watch(0, true);
    world.run(secs(10));
    world.assert_equal();
    for gone in [2, 3] {
        let before = world.nodes[0].seen().len();
        // The last first, since nobody is seen past who is gone.
        let gone = 5 - gone;
        world.stop(gone);
        let left = world.run_until(secs(1), |world| world.nodes[0].seen().len() < before);
        assert!(left <= Duration::from_millis(100), "{left:?}");
        let (_, last) = world.nodes[0].changes().last().expect("seen");
        assert!(matches!(last, PresenceChange::Left(_)), "{last:?}");
    }
    world.run(SETTLE);
    world.assert_equal();
}

#[test]
fn a_crash_is_seen_within_the_bound_near_and_far() {
    for (mut world, end) in [(World::full(4), 3), (World::chain(4), 3)] {
        for vanishes in [false, true] {
            if !world.nodes[end].alive {
                world.restart(end);
                (0..end).for_each(|n| {
                    if n == 2 || world.linked(0, 2) {
                        world.connect(n, end);
                    }
                });
            }
            world.watch(0, true);
            world.run(secs(10));
            world.assert_equal();
            let gone = world.nodes[end].sender;
            match vanishes {
                true => world.vanish(end),
                false => world.crash(end),
            }
            let silent = |world: &World| world.nodes[0].seen()[&gone].is_silent;
            let took = world.run_until(secs(20), silent);
            assert!(took >= SILENT_AFTER, "{took:?}");
            let lost = |world: &World| !world.nodes[0].seen().contains_key(&gone);
            let took = took + world.run_until(secs(20), lost);
            let bound = LOST_AFTER + secs(1);
            assert!(took <= bound && took >= LOST_AFTER - secs(3), "{took:?}");
            let (_, last) = world.nodes[0].changes().last().expect("seen");
            assert!(matches!(last, PresenceChange::Lost(_)), "{last:?}");
            world.run(SETTLE);
            world.assert_equal();
        }
    }
}

#[test]
fn a_link_that_is_silent_for_less_than_the_bound_is_no_loss() {
    let mut world = World::full(3);
    world.watch(0, true);
    world.run(secs(5));
    for other in [1, 2] {
        world.mute(0, other);
    }
    world.run(secs(8));
    assert!(
        world.nodes[0]
            .seen()
            .values()
            .filter(|it| it.is_silent)
            .count()
            == 2
    );
    for other in [1, 2] {
        world.connect(0, other);
    }
    world.run_until(secs(1), World::is_equal);
    assert_eq!(world.nodes[0].losses(), 0);
}

#[test]
fn one_broken_link_among_many_is_no_loss() {
    let mut world = World::full(6);
    world.watch(0, true);
    world.watch(1, true);
    world.run(secs(5));
    world.mute(0, 1);
    world.run(secs(120));
    world.assert_equal();
    assert_eq!((world.nodes[0].losses(), world.nodes[1].losses()), (0, 0));
    // Only the two are followed.
    let beats: Vec<_> = world
        .nodes
        .iter()
        .map(|node| node.tracker.counters().presence_beats)
        .collect();
    assert!(beats[..2].iter().all(|beats| *beats > 30), "{beats:?}");
    assert_eq!(beats[2..], [0; 4]);
}

#[test]
fn a_mesh_that_was_cut_in_two_is_one_again() {
    let mut world = World::full(6);
    (0..6).for_each(|n| world.watch(n, true));
    world.run(secs(5));
    let across = |n: usize| (3..6).map(move |other| (n, other));
    let across: Vec<_> = (0..3).flat_map(across).collect();
    across.iter().for_each(|(a, b)| world.mute(*a, *b));
    world.run(SETTLE);
    world.assert_equal();
    assert_eq!(world.nodes[0].seen().len(), 3);
    world.set(4, b"apart");
    across.iter().for_each(|(a, b)| world.connect(*a, *b));
    world.run(secs(2));
    world.assert_equal();
    assert_eq!(world.nodes[0].seen().len(), 6);
}

#[test]
fn what_is_set_in_quick_succession_ends_with_the_last() {
    let mut world = World::full(3);
    (0..2).for_each(|n| world.watch(n, true));
    world.run(secs(1));
    let said = world.said;
    for _ in 0..1_000 {
        world.set(0, b"this");
        world.set(0, b"that");
    }
    world.set(0, b"the last");
    assert!(world.said - said <= 20, "{} messages", world.said - said);
    world.run(secs(1));
    world.assert_equal();
    assert!(world.nodes.iter().all(|node| node.offences.is_empty()));
}

#[test]
fn a_channel_that_nobody_watches_any_more_is_forgotten() {
    let mut world = World::chain(3);
    world.watch(2, true);
    world.run(secs(5));
    assert!(world.nodes.iter().all(|node| node.tracker.is_active()));
    world.watch(2, false);
    world.run(secs(150));
    assert!(world.nodes.iter().all(|node| !node.tracker.is_active()));
    let said = world.said;
    world.run(secs(60));
    assert_eq!(world.said, said);
    // And begins anew.
    world.watch(0, true);
    world.run(secs(10));
    world.assert_equal();
}

#[test]
fn a_forged_record_or_beat_is_refused_and_told() {
    let mut world = World::chain(3);
    world.watch(0, true);
    world.run(secs(5));
    world.assert_equal();
    // The one between says of the last that it set something.
    world.tamper = Box::new(|from, _, message| match message {
        SyncMessage::Presence(PresenceMessage::Beats(mut beats)) if from == 1 => {
            beats
                .iter_mut()
                .for_each(|(_, beat)| beat.at = beat.at + secs(1));
            vec![SyncMessage::Presence(PresenceMessage::Beats(beats))]
        }
        other => vec![other],
    });
    world.run(secs(5));
    let between = world.nodes[1].sender;
    assert!(
        world.nodes[0]
            .offences
            .contains(&(between, Offence::Forged))
    );
    let forged = forge(2, 99, b"forged");
    let offences = world.nodes[0].offences.len();
    let records = vec![forged];
    world.hear(0, between, PresenceMessage::Records(records));
    assert!(world.nodes[0].offences.len() > offences);
    let last = world.nodes[2].sender;
    assert!(
        world.nodes[0]
            .seen()
            .get(&last)
            .is_none_or(|it| it.state.is_none())
    );
}

#[test]
fn an_old_record_does_not_bring_back_who_left() {
    let mut world = World::full(3);
    (0..2).for_each(|n| world.watch(n, true));
    world.set(1, b"here");
    world.run(secs(2));
    let old = world.nodes[1].tracker.rooms[&fixture()].own.record.clone();
    let (old, left) = (old.expect("said"), world.nodes[1].sender);
    world.stop(1);
    world.run(secs(1));
    assert!(!world.nodes[0].seen().contains_key(&left));
    let hostile = world.nodes[2].sender;
    for _ in 0..100 {
        let records = vec![old.clone()];
        world.hear(0, hostile, PresenceMessage::Records(records));
        world.run(secs(10));
        assert!(!world.nodes[0].seen().contains_key(&left));
    }
    let joined = world.nodes[0].changes().iter().filter(|(_, change)| {
        let of = change.presence().member.sender();
        of == left && matches!(change, PresenceChange::Joined(_))
    });
    assert_eq!(joined.count(), 1);
}

#[test]
fn who_floods_records_of_its_own_is_limited_and_told() {
    let mut world = World::full(2);
    (0..2).for_each(|n| world.watch(n, true));
    world.run(secs(2));
    let hostile = world.nodes[1].sender;
    for version in 100..1_100 {
        let records = vec![signed(1, version, b"again")];
        world.hear(0, hostile, PresenceMessage::Records(records));
    }
    let counters = world.nodes[0].tracker.counters();
    assert!(counters.presence_records <= 40, "{counters:?}");
    assert!(counters.presence_limited >= 900, "{counters:?}");
    assert!(
        world.nodes[0]
            .offences
            .contains(&(hostile, Offence::OverLimit))
    );
}

#[test]
fn a_node_that_stood_still_blames_nobody() {
    let mut world = World::chain(3);
    world.watch(0, true);
    world.run(secs(10));
    world.assert_equal();
    let (now, wall) = (world.time(0) + secs(30), world.wall() + secs(30));
    world.nodes[0].tracker.handle_timeout(now, wall);
    assert!(world.nodes[0].tracker.poll_output().is_none_or(|output| {
        !matches!(output, PresenceOutput::Changed(_, change) if change.is_gone())
    }));
}

/// What happens to a mesh.
#[derive(Debug, Clone, Copy)]
enum Event {
    Connect(usize, usize),
    Disconnect(usize, usize),
    Mute(usize, usize),
    Unmute(usize, usize),
    Crash(usize),
    Vanish(usize),
    Stop(usize),
    Restart(usize),
    Open(usize, usize, bool),
    Watch(usize, usize, bool),
    Set(usize, usize, bool),
    Wait(u64),
}

fn event(nodes: usize) -> impl Strategy<Value = Event> {
    let (n, m) = (0..nodes, 0..nodes);
    let pair = (n.clone(), m);
    let spot = (0..CHANNELS, n.clone(), any::<bool>());
    prop_oneof![
        6 => pair.clone().prop_map(|(a, b)| Event::Connect(a, b)),
        2 => pair.clone().prop_map(|(a, b)| Event::Disconnect(a, b)),
        2 => pair.clone().prop_map(|(a, b)| Event::Mute(a, b)),
        1 => pair.prop_map(|(a, b)| Event::Unmute(a, b)),
        1 => n.clone().prop_map(Event::Crash),
        1 => n.clone().prop_map(Event::Vanish),
        1 => n.clone().prop_map(Event::Stop),
        2 => n.prop_map(Event::Restart),
        2 => spot.clone().prop_map(|(at, n, open)| Event::Open(at, n, open)),
        3 => spot.clone().prop_map(|(at, n, on)| Event::Watch(at, n, on)),
        3 => spot.prop_map(|(at, n, first)| Event::Set(at, n, first)),
        6 => (1..4_000_u64).prop_map(Event::Wait),
        1 => (30..120_u64).prop_map(|seconds| Event::Wait(seconds * 1_000)),
    ]
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Connect(a, b) => self.connect(a, b),
            Event::Disconnect(a, b) => self.disconnect(a, b),
            Event::Mute(a, b) => self.mute(a, b),
            Event::Unmute(a, b) => self.unmute(a, b),
            Event::Crash(n) => self.crash(n),
            Event::Vanish(n) => self.vanish(n),
            Event::Stop(n) if self.nodes[n].alive => self.stop(n),
            Event::Restart(n) if !self.nodes[n].alive => self.restart(n),
            Event::Stop(_) | Event::Restart(_) => {}
            Event::Open(at, n, open) => self.open_at(at, n, open),
            Event::Watch(at, n, on) => self.watch_at(at, n, on),
            Event::Set(at, n, first) => {
                self.set_at(at, n, if first { b"first" } else { b"second" });
            }
            Event::Wait(millis) => self.run(Duration::from_millis(millis)),
        }
    }
}

/// More than are compared at once in the test of these.
const CHANNELS: usize = 3;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// In any case everybody sees those who are there in the end, and nobody else. The reports on
    /// the way fit what each saw, which the world checks at each step.
    #[test]
    fn all_see_the_same_in_the_end_whatever_happened(
        events in proptest::collection::vec(event(6), 1..80),
        all_linked in any::<bool>(),
    ) {
        let shares = Shares { hashes: 2, ..Shares::default() };
        let world = World::with(CHANNELS, 6).sharing(shares);
        let mut world = if all_linked { world.linked_all() } else { world.linked_in_a_chain() };
        for event in events {
            world.happen(event);
        }
        // Messages that got lost on a link that came back without breaking are no part of it.
        for a in 0..6 {
            for b in 0..a {
                world.settle_link(a, b);
            }
        }
        world.run(SETTLE);
        world.assert_equal();
        prop_assert!(world.nodes.iter().all(|node| node.offences.is_empty()));
        // And nothing changes any more.
        let changes = world.changes();
        world.run(SETTLE);
        let later = world.changes();
        prop_assert_eq!(changes, later);
    }
}

/// A record that this peer signed.
fn signed(n: usize, version: u64, state: &[u8]) -> PresenceRecord {
    let claim = Claim {
        sender: peer(n).member.sender(),
        channel: &fixture(),
        version,
        since: WallTime::MIN,
        watching: false,
        left: false,
        state: Some(state),
        chain: peer(n).identity.chain().as_bytes(),
    };
    PresenceRecord::sign(&peer(n).identity, &claim).expect("fits")
}

/// A record in the name of this peer that another signed.
fn forge(n: usize, version: u64, state: &[u8]) -> PresenceRecord {
    let claim = Claim {
        sender: peer(n).member.sender(),
        channel: &fixture(),
        version,
        since: WallTime::MIN,
        watching: false,
        left: false,
        state: Some(state),
        chain: peer(n).identity.chain().as_bytes(),
    };
    PresenceRecord::sign(&peer(n + 1).identity, &claim).expect("fits")
}
