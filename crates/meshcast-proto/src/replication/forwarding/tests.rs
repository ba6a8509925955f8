use std::collections::BTreeSet;

use super::*;
use crate::{
    fixture::channel,
    flow_control::Checkpoints,
    log::Log,
    replication::fetch::Claim,
    wire::{Holding, Seq, Time},
};

fn peer(n: u8) -> Sender {
    Sender::new([n; 32])
}

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("not 0")
}

/// The word of a peer: how far it is from the sender, how far it got, and whether this node is the
/// next on its way.
type Said = (Sender, u8, u64, bool);

fn replica(said: &[Said]) -> Replica {
    let mut replica = Replica::new(Log::new(Time::ZERO));
    for (peer, hops, next, is_behind) in said {
        let holding = Holding {
            sender: self::peer(0),
            oldest: Seq::FIRST,
            next: seq(*next),
            due: None,
            begin: Seq::FIRST,
            hops: *hops,
            lowest: is_behind.then_some(seq(*next)),
        };
        let claim = Claim {
            peer: *peer,
            holding: &holding,
            opening: 0,
        };
        let none = Checkpoints::default();
        replica.fetch.handle_claim(&claim, &none, Time::ZERO);
    }
    replica
}

/// The peers that get number 5, posted by 0, of node 1, which has it from there.
fn recipients(said: &[Said], listeners: &[Sender], strangers: bool) -> BTreeSet<Sender> {
    let replica = replica(said);
    let recipients = Recipients {
        me: peer(1),
        sender: peer(0),
        channel: &channel(0),
        seqs: SeqRange::single(seq(5)),
        from: Some(peer(0)),
        replica: Some(&replica),
        strangers,
        peers: &Peers::default(),
    };
    let chosen = recipients.among(listeners.iter().copied());
    let all: BTreeSet<_> = chosen.iter().copied().collect();
    assert_eq!(all.len(), chosen.len(), "nobody twice");
    all
}

#[test]
fn where_all_are_linked_with_the_sender_nobody_hands_anything_on() {
    let listeners = [0, 1, 2, 3, 4].map(peer);
    let said = [2, 3, 4].map(|n| (peer(n), 1, 5, false));
    assert_eq!(recipients(&said, &listeners, true), BTreeSet::new());
    // One that is not, and says to whom it looks.
    let said = [(peer(2), 1, 5, false), (peer(3), 2, 5, true)];
    let chosen = recipients(&said, &listeners[..4], true);
    assert_eq!(chosen, [peer(3)].into());
}

#[test]
fn a_peer_with_a_route_or_the_frame_gets_no_copy_and_one_without_a_route_does() {
    let said = [
        (peer(2), 2, 5, false),
        (peer(3), 2, 6, true),
        (peer(4), Holding::FAR, 5, false),
        (peer(5), 3, 5, true),
    ];
    let listeners = [2, 3, 4, 5, 6].map(peer);
    let all = [4, 5, 6].map(peer).into();
    assert_eq!(recipients(&said, &listeners, true), all);
    // A repaired frame goes to those alone who hear of it through this node.
    assert_eq!(recipients(&said, &listeners, false), [peer(5)].into());
    // A peer that does not listen gets nothing, whatever it said.
    assert_eq!(recipients(&said, &[], true), BTreeSet::new());
}

#[test]
fn a_peer_whose_report_found_no_room_gets_a_copy_unless_it_needs_none() {
    let mut peers = Peers::default();
    for n in 2..30 {
        peers.add(peer(n), Time::ZERO);
        for on in [0, 1].map(channel) {
            peers.tell_all(&on, Time::ZERO);
            let is_refused = (n < 20) == (on == channel(0));
            peers.note(peer(n), &on, !is_refused);
        }
    }
    let replica = replica(&[(peer(2), 1, 5, false), (peer(3), 2, 6, true)]);
    let on = channel(0);
    let among = |peers: &Peers| {
        let recipients = Recipients {
            me: peer(1),
            sender: peer(0),
            channel: &on,
            seqs: SeqRange::single(seq(5)),
            from: Some(peer(0)),
            replica: Some(&replica),
            strangers: false,
            peers,
        };
        recipients.among((0..30).map(peer))
    };
    let chosen = among(&peers);
    assert_eq!(chosen, (4..20).map(peer).collect::<Vec<_>>());
    // Of many, some.
    (20..30).for_each(|n| peers.note(peer(n), &channel(0), false));
    let chosen: BTreeSet<_> = among(&peers).into_iter().collect();
    assert_eq!(chosen.len(), MAX_UNHEARD);
    assert!(
        chosen
            .iter()
            .all(|it| (4..30).map(peer).any(|peer| peer == *it))
    );
}

#[test]
fn of_many_who_are_unknown_each_node_gives_a_few_a_copy_and_together_they_reach_all() {
    let all: Vec<_> = (0..30).map(peer).collect();
    let mut reached = BTreeSet::new();
    for me in &all[1..] {
        let recipients = Recipients {
            me: *me,
            sender: all[0],
            channel: &channel(0),
            seqs: SeqRange::single(seq(1)),
            from: Some(all[0]),
            replica: None,
            strangers: true,
            peers: &Peers::default(),
        };
        let chosen = recipients.among(all.iter().copied());
        assert_eq!(chosen.len(), MAX_STRANGERS);
        assert!(!chosen.contains(me) && !chosen.contains(&all[0]));
        reached.extend(chosen);
    }
    assert!(reached.len() >= 25, "{} of 29", reached.len());
}

#[test]
fn where_all_are_linked_each_node_is_the_backup_upstream_of_one_other() {
    let ring = |sender: Sender, all: &[Sender]| -> Vec<_> {
        let backups = all.iter().map(|me| {
            let own = rank(sender, *me);
            let others = all.iter().filter(|peer| *peer != me);
            let backup_for = others.min_by_key(|peer| own.wrapping_sub(rank(sender, **peer)));
            (*backup_for.expect("there are others"), *me)
        });
        backups.collect()
    };
    let all: Vec<_> = (1..9).map(peer).collect();
    let of_one = ring(peer(0), &all);
    let backup_for: BTreeSet<_> = of_one.iter().map(|(backup_for, _)| *backup_for).collect();
    assert_eq!(backup_for.len(), all.len(), "each has one");
    assert_ne!(of_one, ring(peer(9), &all), "another for each sender");
}
