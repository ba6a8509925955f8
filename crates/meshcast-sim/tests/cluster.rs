//! Real nodes over links that fail, judged by the checker.
//!
//! Faults last a while because a fault that nobody notices is none; nothing is asserted about how
//! long anything takes, and what is waited for is seen, not guessed.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "real nodes live in real time"
)]

use std::time::Duration;

use meshcast::netem::{Place, Shape};
use meshcast_sim::{Checker, Cluster, Death, Entry, Rng, Rules, Standing, Verdict};

const MS: Duration = Duration::from_millis(1);
/// For everybody to have everything: redialling takes up to 15 s, and the machine may have other
/// things to do.
const PATIENCE: Duration = Duration::from_secs(90);

fn judge(log: &[Entry]) -> Verdict {
    Checker::new(Rules::default()).check(log)
}

/// Ends a run in which everybody had to get everything.
async fn finish_without_loss(cluster: Cluster, posts: u64) {
    let nodes = cluster.status().len() as u64;
    cluster.calm();
    cluster.agree(PATIENCE).await.expect("all get everything");
    let verdict = judge(&cluster.finish().await);
    assert!(verdict.violations.is_empty(), "{:#?}", verdict.violations);
    assert_eq!((verdict.posts, verdict.gaps), (posts, 0));
    assert_eq!(verdict.deliveries, posts * (nodes - 1));
}

/// Lets each of these nodes post at random moments for a while; returns how many posts there were.
async fn chatter(cluster: &Cluster, nodes: &[&str], seed: u64, lasts: Duration) -> u64 {
    let mut rng = Rng::new(seed);
    let mut posts = 0;
    let end = tokio::time::Instant::now() + lasts;
    while tokio::time::Instant::now() < end {
        let node = nodes[rng.index(nodes.len())];
        let len = usize::try_from(rng.within(1..2_000)).expect("small");
        cluster.post(node, rng.bytes(len)).expect("posted");
        posts += 1;
        tokio::time::sleep(rng.duration(Duration::ZERO, 20 * MS)).await;
    }
    posts
}

async fn five_and_five(seed: u64) -> Cluster {
    let builder = Cluster::builder(seed)
        .regions(&["fra", "iad"], 5)
        .expect("names");
    let builder = builder.round_trip("fra", "iad", 20 * MS).expect("names");
    builder.record("earth").start().await.expect("starts")
}

const ALL: [&str; 10] = [
    "fra-1", "fra-2", "fra-3", "fra-4", "fra-5", "iad-1", "iad-2", "iad-3", "iad-4", "iad-5",
];

#[tokio::test]
async fn a_partition_of_halves_loses_nothing_when_it_is_healed() {
    let cluster = five_and_five(1).await;
    for node in ALL {
        cluster.post(node, b"hello".as_slice()).expect("posted");
    }
    cluster.agree(PATIENCE).await.expect("all know each other");
    cluster.partition(&[&["fra"], &["iad"]]).expect("two sides");
    let mut posts = chatter(&cluster, &ALL, 2, Duration::from_secs(10)).await;
    cluster.heal();
    posts += chatter(&cluster, &ALL, 3, 500 * MS).await;
    finish_without_loss(cluster, posts + 10).await;
}

#[tokio::test]
async fn who_was_not_heard_before_a_partition_is_heard_from_the_first_message_on() {
    let cluster = five_and_five(9).await;
    cluster.partition(&[&["fra"], &["iad"]]).expect("two sides");
    let posts = chatter(&cluster, &ALL, 2, Duration::from_secs(10)).await;
    cluster.heal();
    finish_without_loss(cluster, posts).await;
}

#[tokio::test]
async fn frames_that_pass_one_way_only_are_made_up_for() {
    let cluster = five_and_five(2).await;
    for node in ALL {
        cluster.post(node, b"hello".as_slice()).expect("posted");
    }
    cluster.agree(PATIENCE).await.expect("all know each other");
    cluster.one_way("fra", "iad").expect("names");
    let mut posts = chatter(&cluster, &ALL, 2, Duration::from_secs(5)).await;
    cluster.heal();
    posts += chatter(&cluster, &ALL, 3, 500 * MS).await;
    finish_without_loss(cluster, posts + 10).await;
}

#[tokio::test]
async fn those_who_never_meet_hear_each_other_over_a_third() {
    let builder = Cluster::builder(3)
        .regions(&["fra", "iad", "nrt"], 1)
        .expect("names");
    let (a, c) = (
        Place::region("fra").expect("a name"),
        Place::region("nrt").expect("a name"),
    );
    builder
        .links()
        .cut_both(&a, &c, meshcast::netem::Cut::Silent);
    let cluster = builder.record("earth").start().await.expect("starts");
    let posts = chatter(&cluster, &["fra-1", "nrt-1"], 3, Duration::from_secs(2)).await;
    assert_eq!(cluster.cuts().len(), 2);
    assert_eq!(cluster.go_betweens().len(), 1);
    // Nothing is healed.
    finish_without_loss(cluster, posts).await;
}

#[tokio::test]
async fn long_links_that_stall_lose_nothing() {
    let shape = Shape::round_trip(200 * MS)
        .jitter(20 * MS)
        .stalls(500 * MS, 300 * MS);
    let builder = Cluster::builder(4)
        .regions(&["fra", "iad", "nrt"], 1)
        .expect("names");
    let cluster = builder
        .shape(shape)
        .record("earth")
        .start()
        .await
        .expect("starts");
    let nodes = ["fra-1", "iad-1", "nrt-1"];
    let mut posts = chatter(&cluster, &nodes, 1, Duration::from_secs(3)).await;
    cluster.stall("fra", "iad", 700 * MS).expect("names");
    posts += chatter(&cluster, &nodes, 2, Duration::from_secs(1)).await;
    finish_without_loss(cluster, posts).await;
}

#[tokio::test]
async fn survivors_agree_on_what_the_dead_had_said_and_a_restarted_node_takes_part() {
    for (seed, death) in [(5, Death::Crash), (6, Death::Vanish)] {
        let builder = Cluster::builder(seed)
            .regions(&["fra", "iad", "nrt"], 1)
            .expect("names");
        let mut cluster = builder.record("earth").start().await.expect("starts");
        let nodes = ["fra-1", "iad-1", "nrt-1"];
        chatter(&cluster, &nodes, 1, 500 * MS).await;
        cluster.kill("iad-1", death).await.expect("it runs");
        assert!(cluster.post("iad-1", b"from the grave".as_slice()).is_err());
        chatter(&cluster, &["fra-1", "nrt-1"], 2, 500 * MS).await;
        cluster.restart("iad-1").await.expect("starts again");
        chatter(&cluster, &nodes, 3, 500 * MS).await;
        cluster.calm();
        cluster.agree(PATIENCE).await.expect("all have the same");
        let verdict = judge(&cluster.finish().await);
        assert!(
            verdict.violations.is_empty(),
            "{death:?} {:#?}",
            verdict.violations
        );
    }
}

#[tokio::test]
async fn a_node_that_is_started_again_is_where_it_was_so_that_it_is_still_a_seed_of_others() {
    for (seed, death) in [(9, Death::Crash), (10, Death::Vanish)] {
        let builder = Cluster::builder(seed)
            .regions(&["fra", "iad"], 1)
            .expect("names");
        let mut cluster = builder.start().await.expect("starts");
        let before = addresses(&cluster, "fra-1").await;
        cluster.kill("fra-1", death).await.expect("it runs");
        cluster.restart("fra-1").await.expect("starts again");
        assert_eq!(addresses(&cluster, "fra-1").await, before, "killed");
        cluster.restart("fra-1").await.expect("starts again");
        assert_eq!(addresses(&cluster, "fra-1").await, before, "asked to stop");
    }
}

async fn addresses(cluster: &Cluster, name: &str) -> Vec<meshcast::Multiaddr> {
    let node = cluster.node(name).expect("it runs");
    node.inspect().await.expect("it runs").node.listen_addresses
}

#[tokio::test]
async fn a_paused_node_gets_what_it_missed_and_healing_links_does_not_wake_it() {
    let builder = Cluster::builder(7)
        .regions(&["fra", "iad"], 1)
        .expect("names");
    let mut cluster = builder.record("earth").start().await.expect("starts");
    cluster.pause("iad-1").expect("it runs");
    cluster.heal();
    assert_eq!(cluster.status()[1].standing, Standing::Paused);
    let posts = chatter(&cluster, &["fra-1"], 1, 300 * MS).await;
    let lacking = cluster.agree(200 * MS).await.expect_err("it gets nothing");
    assert!(
        lacking.to_string().contains("iad-1.1 lacks 1–"),
        "{lacking}"
    );
    cluster.resume("iad-1").expect("it is paused");
    finish_without_loss(cluster, posts).await;
}

#[tokio::test]
async fn what_is_on_its_way_over_a_long_link_when_all_are_shut_down_arrives() {
    let builder = Cluster::builder(7)
        .regions(&["fra", "iad"], 1)
        .expect("names");
    let builder = builder.round_trip("fra", "iad", 500 * MS).expect("names");
    let cluster = builder.record("earth").start().await.expect("starts");
    for node in ["fra-1", "iad-1"] {
        cluster.post(node, b"hello".as_slice()).expect("posted");
    }
    cluster.agree(PATIENCE).await.expect("both know each other");
    cluster
        .post("fra-1", b"last words".as_slice())
        .expect("posted");
    for (name, shutdown) in cluster.shutdown().await {
        assert!(shutdown.is_complete(), "{name}: {shutdown}");
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let builder = Cluster::builder(8)
        .regions(&["fra", "iad"], 1)
        .expect("names");
    let mut cluster = builder.start().await.expect("starts");
    let refused =
        |result: Result<(), meshcast_sim::ClusterError>| result.expect_err("no sense").to_string();
    let partition = |groups: &[&[&str]]| refused(cluster.partition(groups));
    assert_eq!(
        partition(&[&["fra"], &["nowhere"]]),
        "there is no node and no region \"nowhere\""
    );
    assert_eq!(
        partition(&[&["fra"], &["fra-1"]]),
        "a node is on two sides of the partition"
    );
    assert_eq!(
        partition(&[&["fra", "iad"]]),
        "there is nobody on the other side"
    );
    assert_eq!(
        partition(&[&["fra"], &[]]),
        "a side of the partition is empty"
    );
    assert_eq!(partition(&[]), "there is nobody on the other side");
    assert_eq!(
        refused(cluster.one_way("fra", "")),
        "there is no node and no region \"\""
    );
    assert!(cluster.cuts().is_empty());
    assert_eq!(refused(cluster.resume("fra-1")), "fra-1 is not paused");
    assert_eq!(refused(cluster.pause("fra")), "there is no node \"fra\"");
    cluster.pause("fra-1").expect("it runs");
    assert_eq!(refused(cluster.pause("fra-1")), "fra-1 is already paused");
    cluster.kill("fra-1", Death::Crash).await.expect("it runs");
    assert_eq!(
        refused(cluster.kill("fra-1", Death::Crash).await),
        "fra-1 is not running"
    );
    assert_eq!(refused(cluster.pause("fra-1")), "fra-1 is not running");
    let standing: Vec<_> = cluster.status().iter().map(|node| node.standing).collect();
    assert_eq!(standing, [Standing::Down, Standing::Up]);
    cluster.shutdown().await;
}
