//! Faults between members: links that carry no gossip, versions that are apart, and a mesh that
//! takes less than is posted.

use std::io::Write;

use meshcast::Multiaddr;
use meshcast_proto::Admission;
use meshcast_tests::hostile;

use super::{address, finds, found, node, secret, seed, small};
use crate::harness::{PATIENCE, Process, Session, Signal, eventually, new_key};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_whose_gossip_does_not_arrive_is_told() {
    let (session, key) = (Session::new(), new_key());
    let _here = node(&session, "fra-1", &key.to_secret_text(), &[]);
    let at: Multiaddr = seed(address(&session, "fra-1")).parse().expect("one");
    let mute = tokio::spawn(async move { hostile::mute(&at, &key, "earth").await });
    finds(
        &session,
        "mute",
        "warn",
        "the gossip of mute-1 did not arrive, and the link was made anew 1 times",
    );
    mute.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_speaks_another_version_of_the_protocol_is_told_at_either_end() {
    let (session, key) = (Session::new(), new_key());
    let later = Admission::VERSION + 1;
    let refusing = hostile::refuse(&key, later).await.expect("a port");
    let refuses = refusing.at.to_string();
    let more = ["--seed", &refuses];
    let _here = node(&session, "fra-1", &key.to_secret_text(), &more);
    address(&session, "fra-1");
    let said = format!(
        "versions apart: refused by the other side: protocol version {}",
        later - 1
    );
    finds(&session, "versions", "fail", &said);
    let seed_said = format!("seed {refuses}: versions apart");
    finds(&session, "seeds", "fail", &seed_said);

    let alone = Session::new();
    let _here = node(&alone, "iad-1", &key.to_secret_text(), &[]);
    let at_alone: Multiaddr = seed(address(&alone, "iad-1")).parse().expect("one");
    assert!(found(&alone, "versions").is_empty(), "nobody knocked");
    let heard = hostile::knock(&at_alone, &key, later)
        .await
        .expect("it listens");
    // Length, kind, the version here, and the reason: another version.
    let [high, low] = Admission::VERSION.to_be_bytes();
    assert_eq!(heard, [0, 4, 3, high, low, 1]);
    let said = format!(
        "versions apart: rejected: protocol version {} here, {later} there",
        later - 1
    );
    finds(&alone, "versions", "fail", &said);
}

/// A subscriber that stands still holds up those who post until it counts as lagging, and a queue
/// that fills up meanwhile is seen.
#[test]
fn a_mesh_that_takes_less_than_is_posted_is_told_by_the_queue() {
    let (session, elsewhere, key) = (Session::new(), Session::new(), secret());
    let _here = small(
        &session,
        &key,
        "outbox_bytes = \"64KiB\"\nhistory_bytes = \"1MiB\"",
    );
    let at = seed(address(&session, "fra-1"));
    let far = node(&elsewhere, "iad-1", &key, &["--seed", &at]);
    address(&elsewhere, "iad-1");
    eventually("it listens there", PATIENCE, || {
        let report = session.json(&["channels"]);
        let subscribers = report["channels"][0]["subscribers"].as_array();
        (subscribers?.len() == 1).then_some(())
    });
    // As `yes | meshcast post earth --lines` does, as fast as the mesh takes it.
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let post = Process::start_from(session.command(&["post", "earth", "--lines"]), reader);
    let flood = std::thread::spawn(move || {
        let line = format!("{}\n", "x".repeat(1_000));
        // Until nobody reads it any more.
        while writer.write_all(line.as_bytes()).is_ok() {}
    });
    eventually("much waits", 2 * PATIENCE, || {
        far.signal(Signal::STOP);
        let found = found(&session, "queues").into_iter();
        let mut reasons = found.map(|(_, reason)| reason);
        let told = reasons.any(|it| it.contains("wait to be sent on earth, "));
        far.signal(Signal::CONT);
        told.then_some(())
    });
    post.signal(Signal::KILL);
    post.end(PATIENCE);
    flood.join().expect("it ends with its reader");
}
