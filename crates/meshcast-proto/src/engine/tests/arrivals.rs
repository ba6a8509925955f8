//! Each delivery says which way it came, and from whom.

use super::{
    super::*,
    fixture::channel,
    peer, range,
    world::{World, connected, sender},
};

/// The ways of what one delivered of 0, and who gave it.
fn routes(world: &World, who: usize) -> Vec<(SeqRange, Via, Option<usize>)> {
    let of_0 = world.nodes[who].arrivals.iter();
    of_0.filter(|(of, ..)| *of == 0)
        .map(|(_, seqs, via, from)| (*seqs, *via, *from))
        .collect()
}

#[test]
fn what_is_posted_here_is_local_and_what_gossip_brings_is_gossip() {
    let mut world = connected(3);
    world.loss = 0;
    world.post(0, 2);
    world.run_secs(2);
    assert_eq!(routes(&world, 0), [(range(1, 2), Via::Local, None)]);
    for who in [1, 2] {
        let [(seqs, via, from)] = routes(&world, who)[..] else {
            panic!("{:?}", routes(&world, who));
        };
        assert_eq!((seqs, via), (range(1, 2), Via::Gossip));
        assert!(from.is_some(), "somebody gave it");
    }
}

#[test]
fn frames_lost_by_gossip_are_repaired_by_the_asked_peer() {
    let mut world = connected(2);
    world.post(0, 1);
    world.run_secs(2);
    assert_eq!(routes(&world, 1), [(range(1, 1), Via::Repair, Some(0))]);
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(2);
    assert_eq!(routes(&world, 1)[1], (range(2, 2), Via::Gossip, Some(0)));
}

/// 2 opens the channel when 0 is gone, and is given by 1 what was posted before. Later gaps are no
/// history.
#[test]
fn what_was_posted_before_the_channel_was_open_is_history() {
    let mut world = World::new(3, &Config::default(), 1);
    world.loss = 0;
    world.close(2);
    world.connect(0, 1);
    world.post(0, 3);
    world.run_secs(10);
    world.cut(0, 1);
    world.connect(1, 2);
    world.open(2, Since::Ago(Duration::from_secs(60)));
    world.run_secs(90);
    assert_eq!(routes(&world, 2), [(range(1, 3), Via::History, Some(1))]);
    world.loss = 100;
    world.connect(0, 2);
    world.run_secs(1);
    world.post(0, 1);
    world.run_secs(3);
    assert_eq!(routes(&world, 2)[1], (range(4, 4), Via::Repair, Some(0)));
}

/// The peer that gave it is only remembered if that was its sender.
#[test]
fn a_frame_from_the_history_says_how_it_came() {
    let mut world = connected(3);
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(2);
    let recalled = |who: usize| {
        let engine = &world.nodes[who].engine;
        let recall = engine.recall(&channel(0), &peer(0).member, range(1, 1), usize::MAX);
        let [crate::Recalled::Values(delivery)] = &recall.parts[..] else {
            panic!("{:?}", recall.parts);
        };
        delivery.arrival
    };
    let here = recalled(0);
    assert_eq!((here.via, here.from), (Via::Local, None));
    for who in [1, 2] {
        let (live, kept) = (routes(&world, who)[0], recalled(who));
        assert_eq!(kept.via, Via::Gossip);
        let direct = (live.2 == Some(0)).then(|| sender(0));
        assert_eq!(kept.from, direct);
    }
}

/// A value in several frames came the longest way of them.
#[test]
fn a_value_of_which_a_part_had_to_be_fetched_was_repaired() {
    let [gossip, repair] = [(Via::Gossip, 1), (Via::Repair, 2)].map(|(via, from)| Arrival {
        via,
        from: Some(sender(from)),
        at: Time::ZERO + Duration::from_secs(from as u64),
    });
    assert_eq!(gossip.with(repair), repair);
    let joined = repair.with(gossip);
    assert_eq!((joined.via, joined.from), (Via::Repair, gossip.from));
}
