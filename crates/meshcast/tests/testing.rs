//! A mesh in memory, as the tests of a service have it.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use meshcast::{
    AskMemberError, DisconnectReason, Events, GapReason, Limits, Messages, Node, NodeEvent,
    Presence, PresenceChange, PresenceChanges, RecvError, SeedState, Since,
    ask::{FromMember, NoAnswerReason},
    testing::Mesh,
};
use tokio::time::{Instant, sleep};

#[tokio::test(start_paused = true)]
async fn in_an_hour_that_is_over_in_a_moment_everything_arrives_and_nobody_is_given_up() {
    let real = std::time::Instant::now();
    let mesh = Mesh::new(3).await;
    let mut inboxes: Vec<_> = mesh
        .nodes()
        .skip(1)
        .map(|node| inbox(node, "hour"))
        .collect();
    let hour = mesh.node(0).channel::<u32>("hour").expect("opens");
    let mut events: Vec<Events> = mesh.nodes().map(Node::events).collect();
    let began = Instant::now();
    for minute in 0..=60 {
        hour.post_message(&minute).expect("posts");
        if minute < 60 {
            sleep(Duration::from_secs(60)).await;
        }
    }
    assert!(began.elapsed() >= HOUR);
    for inbox in &mut inboxes {
        let mut times = Vec::new();
        for minute in 0..=60 {
            let message = inbox.recv().await.expect("runs").expect("a message");
            assert_eq!(message.data, minute);
            times.push(message.posted_at().unix_millis());
        }
        let took = Duration::from_millis(times[60] - times[0]);
        assert!(took.abs_diff(HOUR) < Duration::from_secs(10), "{took:?}");
    }
    for node in mesh.nodes() {
        node.shutdown().await;
    }
    for events in &mut events {
        while let Some(event) = events.recv().await {
            let is_end = |it| matches!(it, DisconnectReason::Left | DisconnectReason::Stopped);
            if let NodeEvent::Disconnected { reason, .. } = event {
                assert!(is_end(reason), "{reason}");
            }
        }
    }
    // A guard only: it takes seconds. With a clock of its own it would take the hour.
    assert!(
        real.elapsed() < Duration::from_secs(60),
        "{:?}",
        real.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn since_when_a_channel_is_open_is_told_to_those_who_watch_later() {
    let mesh = Mesh::new(2).await;
    let opened = mesh.node(1).channel::<()>("room").expect("opens");
    sleep(HOUR).await;
    let room = mesh.node(0).channel::<()>("room").expect("opens");
    let presence = room.presence::<()>();
    let mut changes = presence.changes();
    let there = loop {
        let members = presence.members();
        if let Some(other) = members
            .iter()
            .find(|it| it.peer_id() == mesh.node(1).peer_id())
        {
            break other.since();
        }
        changes.recv().await.expect("runs");
    };
    let here = presence.members()[0].since();
    let apart = Duration::from_millis(here.unix_millis().abs_diff(there.unix_millis()));
    assert!(apart.abs_diff(HOUR) < Duration::from_secs(10), "{apart:?}");
    drop(opened);
}

#[tokio::test(start_paused = true)]
async fn what_was_posted_on_the_other_side_of_a_partition_arrives_when_it_is_healed() {
    let mesh = Mesh::new(3).await;
    let mut inboxes: Vec<_> = mesh
        .nodes()
        .skip(1)
        .map(|node| inbox(node, "earth"))
        .collect();
    let earth = mesh.node(0).channel::<u32>("earth").expect("opens");
    mesh.partition(&[0], &[1, 2]);
    for n in 1..=3 {
        earth.post_message(&n).expect("posts");
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(
        mesh.node(0).peers().await.expect("runs").len(),
        0,
        "given up"
    );
    mesh.heal();
    mesh.connected().await;
    for inbox in &mut inboxes {
        assert_eq!(
            [next(inbox).await, next(inbox).await, next(inbox).await],
            [1, 2, 3]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_for_longer_than_anything_is_kept_is_told_what_it_missed() {
    let limits = Limits {
        history_age: Duration::from_secs(60),
        ..Limits::default()
    };
    let configured = Mesh::builder().configure(move |node| node.limits(limits.clone()));
    let mesh = configured.nodes(3).start().await;
    let mut inbox = inbox(mesh.node(2), "earth");
    let earth = mesh.node(0).channel::<u32>("earth").expect("opens");
    earth.post_message(&1).expect("posts");
    assert_eq!(next(&mut inbox).await, 1);

    mesh.partition(&[0, 1], &[2]);
    earth.post_message(&2).expect("posts");
    earth.post_message(&3).expect("posts");
    sleep(Duration::from_secs(600)).await;
    earth.post_message(&4).expect("posts");
    mesh.heal();

    let missed = inbox.recv().await.expect("runs");
    let Err(RecvError::Gap(gap)) = missed else {
        panic!("not a gap: {missed:?}");
    };
    assert_eq!((gap.missed(), gap.reason()), (2..=3, GapReason::Lost));
    assert_eq!(gap.name().as_str(), "node-0");
    assert_eq!(next(&mut inbox).await, 4);
}

/// Numbers known to be missing are in `Health::behind_by`, until they come or are given up.
#[tokio::test(start_paused = true)]
async fn a_node_tells_by_how_much_it_is_behind() {
    let limits = Limits {
        history_age: SECOND * 60,
        ..Limits::default()
    };
    let configured = Mesh::builder().configure(move |node| node.limits(limits.clone()));
    let mesh = configured.nodes(2).start().await;
    let mut inbox = inbox(mesh.node(1), "earth");
    let earth = mesh.node(0).channel::<u32>("earth").expect("opens");
    earth.post_message(&1).expect("posts");
    assert_eq!(next(&mut inbox).await, 1);
    mesh.partition(&[0], &[1]);
    (2..=7).for_each(|n| drop(earth.post_message(&n).expect("posts")));
    sleep(SECOND * 600).await;
    earth.post_message(&8).expect("posts");
    assert_eq!(
        mesh.node(1).health().await.behind_by,
        Some(0),
        "it cannot know"
    );
    mesh.heal();
    let mut most = None;
    while inbox.recv().now_or_never().is_none() {
        most = most.max(mesh.node(1).health().await.behind_by);
        sleep(SECOND / 100).await;
    }
    // Of 2 to 7 nothing is kept: they are a gap. 8 is.
    assert_eq!(most, Some(7));
    assert_eq!(next(&mut inbox).await, 8);
    assert_eq!(mesh.node(1).health().await.behind_by, Some(0));
}

#[tokio::test(start_paused = true)]
async fn of_several_senders_the_newest_are_the_newest_of_all_by_time() {
    let mesh = Mesh::new(3).await;
    let channels: Vec<_> = mesh
        .nodes()
        .map(|node| node.channel::<u32>("earth").expect("opens"))
        .collect();
    for n in 0..12 {
        // Two in a row by each.
        channels[n / 2 % 3]
            .post_message(&(n as u32))
            .expect("posts");
        sleep(SECOND).await;
    }
    let history = channels[0].history(Since::Last(5)).await.expect("is open");
    let numbers: Vec<u32> = history.messages.iter().map(|it| it.data).collect();
    assert_eq!(numbers, [7, 8, 9, 10, 11]);
    assert!(history.is_complete && history.errors.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_is_lost_at_once_and_a_machine_that_is_gone_after_some_silence() {
    let mut mesh = Mesh::new(3).await;
    let mut events = mesh.node(0).events();
    let began = Instant::now();
    mesh.kill(1).await;
    assert_eq!(
        gone(&mut events).await,
        ("node-1".to_owned(), DisconnectReason::Lost)
    );
    assert!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );

    let began = Instant::now();
    mesh.partition(&[2], &[0, 1]);
    mesh.kill(2).await;
    assert_eq!(
        gone(&mut events).await,
        ("node-2".to_owned(), DisconnectReason::Silent)
    );
    let silent = began.elapsed();
    assert!((3..8).contains(&silent.as_secs()), "{silent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_seed_behind_a_cut_link_times_out_by_the_time_of_the_test() {
    let mesh = Mesh::new(2).await;
    let mut events = mesh.node(0).events();
    mesh.partition(&[0], &[1]);
    let began = Instant::now();
    loop {
        let event = events.recv().await.expect("runs");
        if matches!(event, NodeEvent::Seed(seed) if seed.state == SeedState::TimedOut) {
            break;
        }
    }
    let took = began.elapsed();
    assert!((3..60).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_restarted_node_is_another_process_of_the_same_name_and_goes_on_at_its_cursor() {
    let mut mesh = Mesh::new(2).await;
    let mut inbox = inbox(mesh.node(1), "earth");
    let earth = mesh.node(0).channel::<u32>("earth").expect("opens");
    earth.post_message(&1).expect("posts");
    assert_eq!(next(&mut inbox).await, 1);
    let (cursor, before) = (inbox.cursor(), mesh.node(1).peer_id());
    mesh.kill(1).await;
    earth.post_message(&2).expect("posts");
    mesh.restart(1).await;
    assert_ne!(mesh.node(1).peer_id(), before);
    assert_eq!(mesh.node(1).name().as_str(), "node-1");
    let resumed = mesh
        .node(1)
        .channel_since::<u32>("earth", Since::After(cursor));
    assert_eq!(next(&mut resumed.expect("opens").messages()).await, 2);
}

#[tokio::test(start_paused = true)]
async fn whoever_leaves_is_seen_to_leave_and_whoever_is_killed_is_lost_within_its_bound() {
    let mut mesh = Mesh::new(3).await;
    let rooms: Vec<_> = mesh
        .nodes()
        .map(|node| node.channel::<u32>("room").expect("opens"))
        .collect();
    let presences: Vec<Presence<String>> = rooms.iter().map(|room| room.presence()).collect();
    let mut changes = presences[0].changes();
    let mut here = 0;
    while here < 2 {
        here += match changes.next().await.expect("runs") {
            PresenceChange::Snapshot(members) => members.len().saturating_sub(1),
            PresenceChange::Joined(_) => 1,
            _ => 0,
        };
    }
    let mut inbox = rooms[0].messages();
    mesh.stop(1).await;
    assert_eq!(ended(&mut changes).await, ("left", "node-1".to_owned()));
    let began = Instant::now();
    mesh.kill(2).await;
    assert_eq!(ended(&mut changes).await, ("lost", "node-2".to_owned()));
    let bound = began.elapsed();
    assert!((9..13).contains(&bound.as_secs()), "{bound:?}");
    // Its object heard nothing meanwhile.
    mesh.node(0).shutdown().await;
    assert!(inbox.recv().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn who_is_present_and_has_no_link_to_whoever_asks_is_asked_over_the_one_between() {
    let mesh = Mesh::new(3).await;
    mesh.partition(&[0], &[2]);
    let rooms: Vec<_> = mesh
        .nodes()
        .map(|node| node.channel::<u32>("room").expect("opens"))
        .collect();
    let _answering: Vec<_> = rooms
        .iter()
        .map(|room| room.on_ask(async |asked: FromMember<u32>| asked.data + 1))
        .collect();
    let presences: Vec<Presence<String>> = rooms.iter().map(|room| room.presence()).collect();
    // The link is given up, and the presence comes over the one between.
    let there = mesh.node(2).peer_id();
    let is_linked = async || {
        let peers = mesh.node(0).peers().await.expect("runs");
        peers.iter().any(|peer| peer.peer_id == there)
    };
    while is_linked().await || presences[0].members().len() < 3 {
        sleep(Duration::from_secs(1)).await;
    }
    let answers = rooms[0].ask::<u32, _>(&41).expect("short");
    let mut answers = answers.within(SECOND).expect("few");
    let mut told = Vec::new();
    while let Some(answer) = answers.next().await {
        let answer = answer.expect("answers");
        told.push((answer.name().to_string(), answer.data));
    }
    told.sort();
    let (first, last) = ("node-1".to_owned(), "node-2".to_owned());
    assert_eq!(told, [(first, 42), (last, 42)]);
}

/// Who watches one channel that all have open knows the whole mesh, whatever the links.
#[tokio::test(start_paused = true)]
async fn all_members_are_known_by_a_channel_that_all_have_open_and_one_watches() {
    let mesh = Mesh::new(4).await;
    mesh.partition(&[0], &[2, 3]);
    let rooms: Vec<_> = mesh
        .nodes()
        .map(|node| node.channel::<()>("all members").expect("opens"))
        .collect();
    let links = async || mesh.node(0).peers().await.expect("runs").len();
    while links().await > 1 {
        sleep(SECOND).await;
    }
    let listed = async || mesh.node(0).members().await.expect("runs");
    assert_eq!(listed().await.len(), 1, "nobody watches yet");
    let presence = rooms[0].presence::<()>();
    while listed().await.len() < 3 {
        sleep(SECOND).await;
    }
    sleep(60 * SECOND).await;
    let members = listed().await;
    let newest = members.iter().map(|it| it.last_heard).max();
    let newest = newest.expect("some").unix_millis();
    let members = members.into_iter().map(|it| {
        let before = newest - it.last_heard.unix_millis();
        assert!(before <= 4_000 && !it.is_silent, "{it:?}");
        (it.name.to_string(), it.is_connected)
    });
    let expected = [("node-1", true), ("node-2", false), ("node-3", false)];
    let expected = expected.map(|(name, connected)| (name.to_owned(), connected));
    assert_eq!(members.collect::<Vec<_>>(), expected);
    let mut changes = presence.changes();
    let gone = mesh.node(3).peer_id();
    mesh.node(3).shutdown().await;
    loop {
        match changes.recv().await.expect("runs") {
            PresenceChange::Left(member) if member.peer_id() == gone => break,
            PresenceChange::Lost(member) => panic!("{member:?} said that it leaves"),
            _ => {}
        }
    }
    assert_eq!(listed().await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_say_in_time_whether_it_has_the_channel_open_is_named() {
    let mesh = Mesh::new(2).await;
    // Nothing passes, and neither side knows it yet.
    mesh.partition(&[0], &[1]);
    let room = mesh.node(0).channel::<u32>("room").expect("opens");
    let asked = room.ask::<u32, _>(&1).expect("short");
    let all = asked.within(SECOND).expect("few").all().await;
    assert!(all.answers.is_empty());
    let [missing] = &all.missing[..] else {
        panic!("{all:?}");
    };
    assert_eq!(missing.sender(), mesh.node(1).peer_id());
    assert!(matches!(missing.reason(), NoAnswerReason::Untold));
}

#[tokio::test(start_paused = true)]
async fn beside_one_that_does_not_say_whether_it_listens_a_short_question_is_answered() {
    let mesh = Mesh::new(3).await;
    let there = mesh.node(1).channel::<u32>("room").expect("opens");
    let _answering = there.on_ask(async |asked: FromMember<u32>| asked.data + 1);
    mesh.partition(&[0], &[2]);
    let room = mesh.node(0).channel::<u32>("room").expect("opens");
    let asked = room.ask::<u32, _>(&41).expect("short");
    let asked = asked.within(Duration::from_millis(400)).expect("few");
    let all = asked.all().await;
    let [answer] = &all.answers[..] else {
        panic!("{all:?}");
    };
    assert_eq!((answer.data, answer.sender()), (42, mesh.node(1).peer_id()));
    let [missing] = &all.missing[..] else {
        panic!("{all:?}");
    };
    assert_eq!(missing.sender(), mesh.node(2).peer_id());
    assert!(matches!(missing.reason(), NoAnswerReason::Untold));
}

#[tokio::test(start_paused = true)]
async fn one_member_is_asked_and_one_that_is_not_there_is_told_at_once() {
    let mut mesh = Mesh::new(3).await;
    let opened = |node: &Node| node.channel::<u32>("cache").expect("opens");
    let answering: Vec<_> = [1, 2]
        .map(|n| {
            let answer =
                move |key: FromMember<String>| async move { format!("{} of {n}", key.data) };
            opened(mesh.node(n)).on_ask(answer)
        })
        .into();
    // So that what they have opened is known.
    sleep(Duration::from_secs(1)).await;
    let (here, there) = (mesh.node(0), mesh.node(2).peer_id());
    let asked = here
        .member(there)
        .ask::<String, _>("cache", "size", SECOND)
        .await;
    let answer = asked.expect("answers");
    assert_eq!(
        (answer.data.as_str(), answer.sender()),
        ("size of 2", there)
    );
    assert_eq!(
        here.member(there)
            .info()
            .await
            .expect("runs")
            .expect("is there")
            .peer_id,
        there
    );

    mesh.partition(&[0], &[2]);
    let asked = mesh
        .node(0)
        .member(there)
        .ask::<String, _>("cache", "size", SECOND)
        .await;
    assert!(matches!(
        reason(asked.expect_err("is cut off")),
        NoAnswerReason::TimedOut
    ));
    mesh.kill(2).await;
    sleep(Duration::from_secs(10)).await;
    let began = Instant::now();
    let asked = mesh
        .node(0)
        .member(there)
        .ask::<String, _>("cache", "size", SECOND)
        .await;
    assert!(matches!(
        reason(asked.expect_err("is gone")),
        NoAnswerReason::NotThere
    ));
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    assert!(
        mesh.node(0)
            .member(there)
            .info()
            .await
            .expect("runs")
            .is_none()
    );
    drop(answering);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_processes_and_another_one_others() {
    let ids = async |seed| {
        let mesh = Mesh::builder().seed(seed).nodes(2).start().await;
        mesh.nodes().map(Node::peer_id).collect::<Vec<_>>()
    };
    let (first, again, other) = (ids(1).await, ids(1).await, ids(2).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    assert_ne!(first[0], first[1]);
}

#[tokio::test]
async fn without_a_paused_clock_it_works_as_well() {
    let mesh = Mesh::builder()
        .node("fra-1", "fra")
        .node("nrt-1", "nrt")
        .start()
        .await;
    let mut inbox = inbox(mesh.node(1), "earth");
    let earth = mesh.node(0).channel::<u32>("earth").expect("opens");
    earth.post_message(&7).expect("posts");
    let message = inbox.recv().await.expect("runs").expect("a message");
    assert_eq!((message.data, message.region().as_str()), (7, "fra"));
    let at = mesh.node(0).listen_addresses();
    assert_eq!(
        at[0].socket_addr(),
        Some("10.0.0.1:4001".parse().expect("an address"))
    );
}

#[tokio::test]
#[should_panic(expected = "there is no node 2: there are 2, from 0")]
async fn a_node_that_there_is_not_is_a_mistake_in_the_test() {
    Mesh::new(2).await.node(2);
}

fn inbox(node: &Node, name: &str) -> Messages<u32> {
    node.channel::<u32>(name).expect("opens").messages()
}

async fn next(inbox: &mut Messages<u32>) -> u32 {
    inbox.recv().await.expect("runs").expect("a message").data
}

/// Who is connected no more next, and why.
async fn gone(events: &mut Events) -> (String, DisconnectReason) {
    loop {
        if let NodeEvent::Disconnected { name, reason, .. } = events.recv().await.expect("runs") {
            return (name.to_string(), reason);
        }
    }
}

/// Who is present no more next, and how that was.
async fn ended(changes: &mut PresenceChanges<String>) -> (&'static str, String) {
    loop {
        let change = changes.next().await.expect("runs");
        if let PresenceChange::Left(member) | PresenceChange::Lost(member) = &change {
            return (change.as_str(), member.name().to_string());
        }
    }
}

fn reason(error: AskMemberError) -> NoAnswerReason {
    match error {
        AskMemberError::NoAnswer(answer) => answer.reason().clone(),
        other => panic!("{other}"),
    }
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
