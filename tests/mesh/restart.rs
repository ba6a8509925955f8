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
