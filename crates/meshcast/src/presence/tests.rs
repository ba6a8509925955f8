use super::*;
use crate::{
    DisconnectReason, Node, NodeEvent, Value,
    node::fixture::{self, Mesh, within},
};

async fn next<S: Payload>(changes: &mut PresenceChanges<S>) -> PresenceChange<S> {
    within(changes.recv()).await.expect("the node runs")
}

/// Waits for a change of that kind, and returns whom it is about.
async fn until<S: Payload>(changes: &mut PresenceChanges<S>, kind: &str) -> Present<S> {
    loop {
        let change = next(changes).await;
        if change.as_str() == kind {
            match change {
                PresenceChange::Joined(it)
                | PresenceChange::Updated(it)
                | PresenceChange::Silent(it)
                | PresenceChange::Heard(it)
                | PresenceChange::Left(it)
                | PresenceChange::Lost(it) => return it,
                PresenceChange::Snapshot(_) => {}
            }
        }
    }
}

async fn pair() -> (Mesh, Node, Node) {
    let mesh = Mesh::new();
    let amber = mesh.node("amber", &[]).await;
    let birch = mesh.node("birch", &[&amber]).await;
    within(birch.wait_for_members(1)).await.expect("it runs");
    (mesh, amber, birch)
}

#[tokio::test]
async fn members_join_say_something_of_themselves_and_leave() {
    let (_, amber, birch) = pair().await;
    let room = amber.channel::<String>("room").expect("open");
    let presence = room.presence::<u32>();
    let mut changes = presence.changes();
    let first = next(&mut changes).await;
    assert!(
        matches!(&first, PresenceChange::Snapshot(members) if members[0].name() == amber.name())
    );

    // It need not watch itself.
    let other = birch.channel::<String>("room").expect("open");
    let joined = until(&mut changes, "joined").await;
    assert_eq!((joined.name(), joined.state()), (birch.name(), None));
    assert_eq!(joined.peer_id(), birch.peer_id());

    other.presence::<u32>().set(&7).expect("small");
    drop(other);
    let left = until(&mut changes, "left").await;
    assert_eq!(left.name(), birch.name());

    let other = birch.channel::<String>("room").expect("open");
    let said = other.presence::<u32>();
    until(&mut changes, "joined").await;
    said.set(&8).expect("small");
    loop {
        let updated = until(&mut changes, "updated").await;
        if updated.state() == Some(&8) {
            break;
        }
    }
    let shown: Vec<_> = presence
        .members()
        .iter()
        .map(|it| it.name().clone())
        .collect();
    assert_eq!(shown, [amber.name().clone(), birch.name().clone()]);
    birch.shutdown().await;
    until(&mut changes, "left").await;
    assert_eq!(presence.members().len(), 1);
    amber.shutdown().await;
    within(async { while changes.recv().await.is_some() {} }).await;
    assert!(matches!(presence.set(&1), Err(PresenceError::Closed)));
}

#[tokio::test]
async fn who_is_aborted_is_lost_and_who_shuts_down_has_left() {
    let (mesh, amber, birch) = pair().await;
    let (room, other) = (amber.channel::<()>("room"), birch.channel::<()>("room"));
    let (room, other) = (room.expect("open"), other.expect("open"));
    let presence = room.presence::<()>();
    let (mut changes, mut events) = (presence.changes(), amber.events());
    let gone = birch.peer_id();
    if !matches!(next(&mut changes).await, PresenceChange::Snapshot(all) if all.len() == 2) {
        until(&mut changes, "joined").await;
    }
    birch.abort().await;
    drop(other);
    let why = loop {
        let event = within(events.recv()).await.expect("it runs");
        if let NodeEvent::Disconnected {
            peer, name, reason, ..
        } = event
        {
            assert_eq!((peer, name.as_str()), (gone, "birch"));
            break reason;
        }
    };
    assert_eq!(why, DisconnectReason::Lost);
    let silent = until(&mut changes, "silent").await;
    assert!(silent.is_silent());
    assert_eq!(until(&mut changes, "lost").await.peer_id(), gone);

    let cedar = mesh.node("cedar", &[&amber]).await;
    within(amber.wait_for_members(1)).await.expect("it runs");
    let members = amber.members().await.expect("it runs");
    let names: Vec<_> = members
        .iter()
        .map(|it| (it.name.as_str(), it.is_connected))
        .collect();
    assert_eq!(names, [("cedar", true)]);
    cedar.shutdown().await;
    let why = loop {
        let event = within(events.recv()).await.expect("it runs");
        if let NodeEvent::Disconnected { reason, .. } = event {
            break reason;
        }
    };
    assert_eq!(why, DisconnectReason::Left);
    amber.shutdown().await;
}

#[tokio::test]
async fn a_state_over_the_limit_is_refused_and_one_of_another_type_is_named() {
    let (_, amber, birch) = pair().await;
    let room = amber.channel::<()>("room").expect("open");
    let presence = room.presence::<Value>();
    let size = Presence::<Value>::MAX_STATE_BYTES;
    let error = presence
        .set(&Value::from("x".repeat(size)))
        .expect_err("too large");
    assert!(matches!(error, PresenceError::TooLarge { limit, .. } if limit == size));
    presence.set(&Value::from("text")).expect("small");

    let other = birch.channel::<()>("room").expect("open");
    let watched = other.presence::<u32>();
    let mut changes = watched.changes();
    let seen = loop {
        let change = next(&mut changes).await;
        let members = watched.members();
        if let Some(seen) = members.into_iter().find(|it| it.undecodable().is_some()) {
            break seen;
        }
        drop(change);
    };
    assert_eq!((seen.name(), seen.state()), (amber.name(), None));
    for node in [amber, birch] {
        node.shutdown().await;
    }
}

#[tokio::test]
async fn a_watcher_that_does_not_read_gets_a_snapshot_in_place_of_what_it_missed() {
    let node = fixture::alone().await;
    let room = node.channel::<()>("room").expect("open");
    let board = {
        let presence = room.presence::<u32>();
        let mut changes = presence.changes();
        next(&mut changes).await;
        let me = presence.watch.board.members()[0].clone();
        for _ in 0..1_000 {
            let again = meshcast_proto::PresenceChange::Updated(me.clone());
            presence.watch.board.tell(again);
        }
        let change = next(&mut changes).await;
        assert!(matches!(change, PresenceChange::Snapshot(members) if members.len() == 1));
        Arc::clone(&presence.watch.board)
    };
    assert!(!board.wanted().0, "nobody watches any more");
    node.shutdown().await;
}

/// Unread changes are told as a snapshot of who was there, not as if all had gone.
#[tokio::test]
async fn a_reader_that_is_behind_when_the_channel_ends_sees_who_was_there() {
    let (_, amber, birch) = pair().await;
    let room = amber.channel::<String>("room").expect("open");
    let presence = room.presence::<u32>();
    let mut changes = presence.changes();
    let _other = birch.channel::<String>("room").expect("open");
    until(&mut changes, "joined").await;
    let board = Arc::clone(&presence.watch.board);
    let own = board.members().remove(0);
    for _ in 0..300 {
        board.tell(meshcast_proto::PresenceChange::Updated(own.clone()));
    }
    board.end();
    let PresenceChange::Snapshot(members) = next(&mut changes).await else {
        panic!("changes were left out");
    };
    let mut names: Vec<_> = members.iter().map(|it| it.name().to_string()).collect();
    names.sort();
    assert_eq!(names, ["amber", "birch"]);
    assert!(within(changes.recv()).await.is_none(), "it has ended");
    assert!(presence.members().is_empty() && presence.changes().snapshot.is_none());
}
