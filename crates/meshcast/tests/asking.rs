//! Questions to members that are not linked to the asker, over those between.

use std::time::Duration;

use futures::StreamExt;
use meshcast::{
    AskCounters, AskMemberError, BroadcastChannel, Node, PeerId, Presence,
    ask::{Answering, FromMember, NoAnswerReason},
    testing::Mesh,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

/// Three in a row: the first and the last have no link.
async fn chain() -> Mesh {
    let mesh = Mesh::new(3).await;
    mesh.partition(&[0], &[2]);
    let there = mesh.node(2).peer_id();
    while is_linked(mesh.node(0), there).await {
        sleep(SECOND).await;
    }
    // The one between has told that it has another peer.
    sleep(SECOND).await;
    mesh
}

async fn is_linked(node: &Node, to: PeerId) -> bool {
    let peers = node.peers().await.expect("runs");
    peers.iter().any(|peer| peer.peer_id == to)
}

fn open(node: &Node) -> BroadcastChannel<u32> {
    node.channel("room").expect("opens")
}

fn adding(room: &BroadcastChannel<u32>, more: u32) -> Answering<u32> {
    room.on_ask(move |asked: FromMember<u32>| async move { asked.data + more })
}

type Told = (String, Result<u32, String>);

/// What all answered, by name, and who did not, and why.
async fn ask(room: &BroadcastChannel<u32>, within: Duration) -> Vec<Told> {
    let answers = room.ask::<u32, _>(&40).expect("short").within(within);
    let all = answers.expect("few").all().await;
    let answers = all
        .answers
        .iter()
        .map(|answer| -> Told { (answer.name().to_string(), Ok(answer.data)) });
    let missing = all.missing.iter().map(|none| -> Told {
        let name = none
            .name()
            .map_or_else(|| "?".to_owned(), ToString::to_string);
        (name, Err(format!("{:?}", none.reason())))
    });
    let mut all: Vec<_> = answers.chain(missing).collect();
    all.sort();
    all
}

/// What travelled over members.
fn travelled(counters: &AskCounters) -> [u64; 6] {
    [
        counters.asks_spread,
        counters.asks_relayed,
        counters.ask_copies,
        counters.asks_refused,
        counters.asks_lost,
        counters.asks_dropped,
    ]
}

async fn counted(node: &Node) -> AskCounters {
    node.counters().await.expect("runs").asks
}

#[tokio::test(start_paused = true)]
async fn a_member_without_a_link_to_whoever_asks_answers_over_the_one_between() {
    let mesh = chain().await;
    let rooms: Vec<_> = mesh.nodes().map(open).collect();
    let _answering: Vec<_> = (1..3).map(|n| adding(&rooms[n], n as u32)).collect();
    sleep(SECOND).await;
    let began = Instant::now();
    let all = ask(&rooms[0], 20 * SECOND).await;
    let expected: [Told; 2] = [("node-1".into(), Ok(41)), ("node-2".into(), Ok(42))];
    assert_eq!(all, expected);
    assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
    // The asker's identity is told to those who answer.
    let _names = rooms[2].on_ask(async |asked: FromMember<u32>| asked.name().to_string());
    let mut names = rooms[0].ask::<String, _>(&1).expect("short");
    names = names.only(mesh.node(2).peer_id());
    let name = names.within(SECOND).expect("few").next().await;
    assert_eq!(name.expect("one").expect("answers").data, "node-0");
}

#[tokio::test(start_paused = true)]
async fn one_member_alone_is_asked_over_one_that_does_not_have_the_channel_open() {
    let mesh = chain().await;
    let there = mesh.node(2).peer_id();
    let room = open(mesh.node(2));
    let answering = adding(&room, 2);
    let asked = mesh.node(0).member(there);
    let answer = asked.ask::<u32, _>("room", &40, SECOND).await;
    let answer = answer.expect("answers");
    assert_eq!((answer.data, answer.sender()), (42, there));
    // And what is told if there is nothing to answer it, is told at once.
    drop(answering);
    let began = Instant::now();
    let reason = |answer: Result<FromMember<u32>, AskMemberError>| match answer {
        Err(AskMemberError::NoAnswer(none)) => none.reason().clone(),
        other => panic!("{other:?}"),
    };
    let none = reason(asked.ask("room", &40, 20 * SECOND).await);
    assert!(matches!(none, NoAnswerReason::NoHandler), "{none:?}");
    let none = reason(asked.ask("moon", &40, 20 * SECOND).await);
    assert!(matches!(none, NoAnswerReason::NotThere), "{none:?}");
    let nobody = mesh.node(0).member(PeerId::random());
    let none = reason(nobody.ask("room", &40, 20 * SECOND).await);
    assert!(matches!(none, NoAnswerReason::NotThere), "{none:?}");
    assert!(began.elapsed() < 4 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn members_asked_over_one_that_dies_are_named_as_perhaps_not_reached() {
    let mut mesh = chain().await;
    let rooms: Vec<_> = mesh.nodes().map(open).collect();
    let (asked, mut is_asked) = mpsc::channel(2);
    let _answering: Vec<_> = (1..3)
        .map(|n| {
            let asked = asked.clone();
            rooms[n].on_ask(move |_: FromMember<u32>| {
                let asked = asked.clone();
                async move {
                    asked.send(n).await.expect("it is waited for");
                    std::future::pending::<u32>().await
                }
            })
        })
        .collect();
    let presences: Vec<Presence<String>> = rooms.iter().map(|room| room.presence()).collect();
    while presences[0].members().len() < 3 {
        sleep(SECOND).await;
    }
    let began = Instant::now();
    let room = rooms[0].clone();
    let answers = tokio::spawn(async move { ask(&room, 50 * SECOND).await });
    for _ in 0..2 {
        is_asked.recv().await.expect("both are asked");
    }
    mesh.kill(1).await;
    let all = answers.await.expect("does not panic");
    let why = |why: &str| Err(why.to_owned());
    let told: [Told; 2] = [
        ("node-1".into(), why("Disconnected")),
        ("node-2".into(), why("Unreached")),
    ];
    assert_eq!(all, told);
    assert!(began.elapsed() < 10 * SECOND, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_all_are_linked_a_question_travels_over_nobody() {
    let mesh = Mesh::new(4).await;
    let rooms: Vec<_> = mesh.nodes().map(open).collect();
    let _answering: Vec<_> = (1..4).map(|n| adding(&rooms[n], n as u32)).collect();
    sleep(2 * SECOND).await;
    let before: Vec<_> = {
        let mut before = Vec::new();
        for node in mesh.nodes() {
            before.push(counted(node).await);
        }
        before
    };
    let all = ask(&rooms[0], SECOND).await;
    assert_eq!(
        all.iter().filter(|(_, it)| it.is_ok()).count(),
        3,
        "{all:?}"
    );
    for (node, before) in mesh.nodes().zip(before) {
        assert_eq!(
            travelled(&counted(node).await),
            travelled(&before),
            "{}",
            node.name()
        );
    }
}

const SECOND: Duration = Duration::from_secs(1);
