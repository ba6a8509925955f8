//! Nodes of one machine: what finds them, and how they are.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session, Signal, eventually, new_key};

/// Of one user on one machine, by real processes: the second finds the first, a third comes after
/// the first was killed and left its socket behind.
#[test]
fn local_nodes_find_each_other_with_no_key_and_no_address() {
    let session = Session::new();
    let start = |name: &str| {
        let node = ["node", "--local", "--json", "--name", name];
        let node = Process::start(session.command(&node));
        node.stdout_line("it listens", PATIENCE, |line| line.contains("listening"));
        node
    };
    let connected = |node: &Process, name: &str| {
        node.stdout_line("they are connected", PATIENCE, |line| {
            line.contains(r#""event":"connected""#) && line.contains(&format!(r#""name":"{name}""#))
        })
    };
    let (a, b) = (start("a"), start("b"));
    connected(&a, "b");
    connected(&b, "a");
    let key = session.directory().path().join("meshcast/local.key");
    let mode = fs::metadata(&key).expect("made").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    a.signal(Signal::KILL);
    a.end(PATIENCE);
    assert_eq!(session.sockets(), ["a.sock", "b.sock"], "left behind");
    let c = start("c");
    connected(&c, "b");
    // Connected is sooner than ready.
    eventually("it is ready", PATIENCE, || {
        (session.run(&["health", "--node", "c"]).0 == 0).then_some(())
    });
    let health = session.json(&["health", "--node", "c"]);
    assert_eq!(
        (&health["members"], &health["ready"]),
        (&1.into(), &true.into()),
        "{health}"
    );
    let seed = &health["seeds"][0];
    assert_eq!(
        (&seed["address"], &seed["state"]),
        (&"/unix/meshcast".into(), &"connected".into())
    );
    // Another user, as far as files go, has another key and other sockets.
    let elsewhere = Session::new();
    let d = Process::start(elsewhere.command(&["node", "--local", "--json", "--name", "d"]));
    d.stdout_line("it listens", PATIENCE, |line| line.contains("listening"));
    let other = fs::read(elsewhere.directory().path().join("meshcast/local.key"));
    assert_ne!(other.expect("made"), fs::read(key).expect("made"));
    for node in [b, c, d] {
        node.signal(Signal::TERM);
        let (status, _, stderr) = node.end(PATIENCE);
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert!(!stderr.contains("WARN"), "{stderr}");
    }
}

#[test]
fn a_node_with_nothing_set_says_once_what_would_help() {
    let session = Session::new();
    let node = Process::start(session.command(&["node", "--name", "x"]));
    let hint = node.stderr_line("a hint", 1, PATIENCE, |line| {
        line.contains("no key and no seeds")
    });
    for way in [
        "--local",
        "MESHCAST_LOCAL",
        "MESHCAST_KEY",
        "MESHCAST_SEEDS",
    ] {
        assert!(hint.contains(way), "{hint}");
    }
    node.signal(Signal::TERM);
    let (_, _, stderr) = node.end(PATIENCE);
    assert_eq!(stderr.matches("no key and no seeds").count(), 1, "{stderr}");
}

#[test]
fn a_node_that_does_not_know_its_seeds_yet_is_not_ready_and_status_tells() {
    let session = Session::new();
    // It takes the connection and says nothing, so the seed counts as tried after 10 s.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let seed = silent.local_addr().expect("bound").to_string();
    let mut command = session.command(&["node", "--name", "x", "--seed", &seed]);
    command.env("MESHCAST_KEY", new_key().to_secret_text());
    command.args(["--listen", "127.0.0.1:0", "--json"]);
    let node = Process::start(command);
    node.stdout_line("it listens", PATIENCE, |line| line.contains("listening"));
    let (status, stdout, stderr) = session.run(&["health", "--json"]);
    assert_eq!(status, 1, "{stderr}");
    let health: Json = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(
        (&health["live"], &health["ready"]),
        (&true.into(), &false.into())
    );
    eventually("it is ready", PATIENCE, || {
        (session.run(&["health"]).0 == 0).then_some(())
    });
    node.signal(Signal::TERM);
    node.end(PATIENCE);
    assert_eq!(session.run(&["health"]).0, 3);
}
