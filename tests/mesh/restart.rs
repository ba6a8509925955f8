//! Processes that hang, die and come back.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::harness::{
    Fleet, PATIENCE, Process, Program, Signal, command, converged, eventually, get_unix, listed,
};

/// A member called fra-1 that has the channel open, and its admin socket.
fn replica(fleet: &Fleet, seed: &str) -> (Process, PathBuf) {
    let (mut command, private) = fleet.command(Program::Meshcast);
    let socket = private.join("fra-1.sock");
    command.args([
        "node",
        "--name",
        "fra-1",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--channel",
        "earth",
    ]);
    command.args(["--seed", seed, "--socket"]).arg(&socket);
    (Process::start(command), socket)
}

/// Whether it knows of somebody who has the channel open.
fn has_company(socket: &Path) -> bool {
    let Ok((200, body)) = get_unix(socket, "/v1/channels") else {
        return false;
    };
    let report: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let subscribers = report["channels"][0]["subscribers"].as_array();
    subscribers.is_some_and(|subscribers| !subscribers.is_empty())
}

fn post(socket: &Path, message: &str) {
    let mut post = command(Program::Meshcast);
    post.args(["post", "earth", message, "--socket"])
        .arg(socket);
    let (status, _, stderr) = Process::start(post).end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn a_replacement_is_heard_while_its_predecessor_is_frozen() {
    let fleet = Fleet::new();
    let observer = fleet.earth(&[]);
    let (frozen, socket) = replica(&fleet, &observer.listen);
    eventually("the first has company", PATIENCE, || {
        has_company(&socket).then_some(())
    });
    post(&socket, "first");
    listed(&observer, &["first".to_owned()], Duration::from_secs(10));

    frozen.signal(Signal::STOP);
    let start = Instant::now();
    let (_replacement, socket) = replica(&fleet, &observer.listen);
    eventually("the second has company", Duration::from_secs(10), || {
        has_company(&socket).then_some(())
    });
    post(&socket, "second");
    listed(
        &observer,
        &["first".to_owned(), "second".to_owned()],
        Duration::from_secs(10),
    );
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "heard after {took:?}");
    eprintln!("heard {took:?} after its start");
}

#[test]
fn a_frozen_member_holds_up_nobody() {
    let earths = Fleet::new().earths::<3>();
    let [first, frozen, last] = &earths;
    frozen.process.signal(Signal::STOP);
    let sent: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    sent.iter().for_each(|message| first.send(message));
    listed(last, &sent, Duration::from_secs(10));
}

#[test]
fn a_frozen_member_is_let_go_and_comes_back() {
    let earths = Fleet::new().earths::<2>();
    let [first, frozen] = &earths;
    frozen.process.signal(Signal::STOP);
    eventually("the frozen one is let go", Duration::from_secs(60), || {
        first.peers().is_empty().then_some(())
    });
    frozen.process.signal(Signal::CONT);
    converged(&[first, frozen]);
    first.send("again");
    listed(frozen, &["again".to_owned()], Duration::from_secs(10));
}

#[test]
fn sigterm_and_ctrl_c_end_a_member_promptly_and_well() {
    let earths = Fleet::new().earths::<3>();
    let sockets: Vec<_> = earths.iter().map(|earth| earth.admin.clone()).collect();
    let [first, second, third] = earths;
    for (earth, signal) in [(first, Signal::TERM), (second, Signal::INT)] {
        earth.process.signal(signal);
        let start = Instant::now();
        let (status, _, stderr) = earth.process.end(Duration::from_secs(5));
        assert_eq!(status.code(), Some(0), "{stderr}");
        eprintln!("ended after {:?}", start.elapsed());
    }
    eventually("both are gone for the third", PATIENCE, || {
        third.peers().is_empty().then_some(())
    });
    assert!(!sockets[0].exists() && !sockets[1].exists() && sockets[2].exists());
}

#[test]
fn what_was_sent_just_before_the_end_arrives() {
    let earths = Fleet::new().earths::<2>();
    let [leaving, staying] = earths;
    let sent: Vec<String> = (0..50).map(|i| i.to_string()).collect();
    sent.iter().for_each(|message| leaving.send(message));
    leaving.process.signal(Signal::TERM);
    listed(&staying, &sent, Duration::from_secs(10));
}

#[test]
fn what_was_posted_while_nobody_was_there_goes_to_one_that_comes_back_while_its_sender_stops() {
    let fleet = Fleet::new();
    let [first, second] = fleet.earths::<2>();
    let listen = first.listen.clone();
    first.process.signal(Signal::KILL);
    first.process.end(PATIENCE);
    let sent = ["one", "two", "three"].map(str::to_owned);
    sent.iter().for_each(|message| second.send(message));
    second.process.signal(Signal::TERM);
    // Where it stood before, and with another key.
    let back = fleet.earth_with(&[], |command| {
        command.args(["--listen", &listen]);
    });
    let (status, _, stderr) = second.process.end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{stderr}");
    looks_back(&back.admin, &sent);
}

#[test]
fn who_comes_after_a_sender_died_and_looks_back_at_once_gets_what_it_posted_from_the_others() {
    let fleet = Fleet::new();
    let [sender, seed, other] = fleet.earths::<3>();
    let sent = ["s-1", "s-2", "s-3", "b-1"].map(str::to_owned);
    sent[..3].iter().for_each(|message| sender.send(message));
    listed(&other, &sent[..3], Duration::from_secs(10));
    listed(&seed, &sent[..3], Duration::from_secs(10));
    sender.process.signal(Signal::KILL);
    sender.process.end(PATIENCE);
    seed.send(&sent[3]);
    let late = fleet.earth(&[&other.listen]);
    looks_back(&late.admin, &sent);
}

/// Whether these, and no others, are what was posted lately, as somebody sees it who looks now.
fn looks_back(socket: &Path, posted: &[String]) {
    let mut watch = command(Program::Meshcast);
    let count = posted.len().to_string();
    watch.args(["watch", "earth", "--last", "10", "--count", &count]);
    watch.args(["--json", "--socket"]).arg(socket);
    let (status, stdout, stderr) = Process::start(watch).end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{stderr}");
    for message in posted {
        assert!(stdout.contains(message), "{message}: {stdout}");
    }
}
