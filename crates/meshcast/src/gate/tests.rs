//! Real connections over TCP on loopback: what members and half-members see of each other.

mod scenes;
mod strangers;
mod streams;

use std::time::Duration;

use libp2p::swarm::SwarmEvent;
use meshcast_proto::{CLOCK_SKEW, Trust};

use self::scenes::*;
use super::*;

#[tokio::test]
async fn members_of_one_mesh_connect_and_know_each_other() {
    let (amber, birch) = (gate(&simple("amber", 1, 1)), gate(&simple("birch", 1, 2)));
    let (mut dialer, mut listener) = (swarm(&amber), swarm(&birch));
    let met = meet(&mut dialer, &mut listener).await;
    assert_eq!(
        met,
        (Ok(*listener.local_peer_id()), Ok(*dialer.local_peer_id()))
    );
    assert_eq!(name_of(&amber, &listener), Some("birch".to_owned()));
    assert_eq!(name_of(&birch, &dialer), Some("amber".to_owned()));
    assert_eq!((amber.admitted().len(), birch.admitted().len()), (1, 1));
}

#[tokio::test]
async fn another_mesh_key_is_named_where_it_is_known() {
    let met = meet_as(simple("amber", 1, 1), simple("birch", 2, 2)).await;
    assert_eq!(
        met,
        (
            Err(Some(GateError::OtherMesh)),
            Err(Some(GateError::HungUp))
        )
    );
}

#[tokio::test]
async fn whoever_is_at_fault_is_refused_as_dialer_and_as_listener() {
    let hour = Duration::from_secs(3600);
    let old = managed(1, (NOW - hour, NOW - CLOCK_SKEW - Duration::from_millis(1)));
    let young = managed(1, (NOW + CLOCK_SKEW + Duration::from_millis(1), NOW + hour));
    let fine = managed(1, (NOW, NOW));
    for (culprit, reason) in [(old, Reason::Expired), (young, Reason::NotYetValid)] {
        let by_listener = meet_as(culprit.clone(), fine.clone()).await;
        let by_dialer = meet_as(fine.clone(), culprit).await;
        let (refused, reject) = (
            Some(GateError::Refused(reason)),
            Some(GateError::Reject(reason)),
        );
        assert_eq!(by_listener, (Err(refused), Err(reject)));
        assert_eq!(by_dialer, (Err(reject), Err(refused)));
    }
}

#[tokio::test]
async fn clocks_may_differ_a_little() {
    let late = managed(1, (NOW - CLOCK_SKEW, NOW - CLOCK_SKEW));
    let early = managed(1, (NOW + CLOCK_SKEW, NOW + CLOCK_SKEW));
    let (one, other) = meet_as(late, early).await;
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn another_authority_of_the_same_mesh_is_named_at_both_ends() {
    let always = (WallTime::MIN, WallTime::MAX);
    let met = meet_as(managed(1, always), managed(2, always)).await;
    assert_eq!(
        met,
        (
            Err(Some(GateError::Refused(Reason::UnknownAuthority))),
            Err(Some(GateError::Reject(Reason::UnknownAuthority)))
        )
    );
}

#[tokio::test]
async fn two_authorities_of_a_rotation_believe_each_other() {
    let always = (WallTime::MIN, WallTime::MAX);
    let both = Trust::new(MESH, vec![authority(1).public(), authority(2).public()]);
    let (one, other) = meet_as(
        (managed(1, always).0, both.clone()),
        (managed(2, always).0, both),
    )
    .await;
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
}

#[tokio::test]
async fn versions_are_named_at_both_ends_with_both_numbers() {
    let with_version = |(identity, trust), version| {
        Gate::with(
            Admission::new(identity, trust).with_version(version),
            clock(),
            Timeouts::default(),
            16,
            Budget::default(),
        )
    };
    let (amber, birch) = (
        with_version(simple("amber", 1, 1), 7),
        with_version(simple("birch", 1, 2), 9),
    );
    let met = meet(&mut swarm(&amber), &mut swarm(&birch)).await;
    let version = |ours, theirs| Reason::Version { ours, theirs };
    assert_eq!(
        met,
        (
            Err(Some(GateError::Refused(version(7, 9)))),
            Err(Some(GateError::Reject(version(9, 7))))
        )
    );
    assert_eq!((amber.admitted().len(), birch.admitted().len()), (0, 0));
}

#[tokio::test]
async fn a_node_that_dials_itself_is_told_so_at_both_ends() {
    // Two Swarms with one key, since a Swarm does not dial the addresses it knows to be its own.
    let node = gate(&simple("amber", 1, 1));
    let met = meet(&mut swarm(&node), &mut swarm(&node)).await;
    let itself = Err(Some(GateError::Reject(Reason::OwnKey)));
    assert_eq!(met, (itself, itself));
}

#[tokio::test]
async fn nobody_home_is_no_refusal() {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("binds");
    let address = multiaddr(port.local_addr().expect("bound"));
    drop(port);
    let mut node = swarm(&gate(&simple("amber", 1, 1)));
    node.dial(address).expect("dials");
    assert_eq!(next_end(&mut node).await, Err(None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_simultaneous_dials_both_ways_all_succeed() {
    const DIALS: usize = 20;
    let (amber, birch) = (gate(&simple("amber", 1, 1)), gate(&simple("birch", 1, 2)));
    let (mut one, mut other) = (swarm(&amber), swarm(&birch));
    let (to_one, to_other) = (listen(&mut one).await, listen(&mut other).await);
    for _ in 0..DIALS {
        one.dial(new_port(&to_other)).expect("dials");
        other.dial(new_port(&to_one)).expect("dials");
    }
    let (mut at_one, mut at_other) = (0, 0);
    while at_one < 2 * DIALS || at_other < 2 * DIALS {
        let (count, gate, end) = tokio::select! {
            event = next(&mut one) => (&mut at_one, &amber, end_of(&event)),
            event = next(&mut other) => (&mut at_other, &birch, end_of(&event)),
        };
        if let Some(end) = end {
            let peer = end.expect("every dial succeeds");
            assert!(gate.admitted().get(&peer).is_some());
            *count += 1;
        }
    }
    assert_eq!((amber.admitted().len(), birch.admitted().len()), (1, 1));
}

#[tokio::test]
async fn the_last_connection_takes_the_entry_along() {
    let (amber, birch) = (gate(&simple("amber", 1, 1)), gate(&simple("birch", 1, 2)));
    let (mut dialer, mut listener) = (swarm(&amber), swarm(&birch));
    let (there, _) = meet(&mut dialer, &mut listener).await;
    assert!(there.is_ok());
    drop(dialer);
    while !matches!(
        next(&mut listener).await,
        SwarmEvent::ConnectionClosed { .. }
    ) {}
    eventually(|| amber.admitted().len() == 0 && birch.admitted().len() == 0).await;
}
