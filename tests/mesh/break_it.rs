//! `meshcast fault` against a running `meshcast up`: what the README shows, and what is refused.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use crate::harness::{PATIENCE, Process, Session, Signal, eventually, get};

fn send(service: SocketAddr, message: &str) {
    let answer = get(service, &format!("/send?message={message}")).expect("it serves");
    assert_eq!(answer, (200, "message sent".to_owned()));
}

fn messages(service: SocketAddr) -> Option<Vec<String>> {
    let (_, body) = get(service, "/messages").ok()?;
    let mut listed: Vec<String> = serde_json::from_str(&body).ok()?;
    listed.sort();
    Some(listed)
}

#[track_caller]
fn lists(service: SocketAddr, expected: &[&str]) {
    eventually(&format!("{expected:?}"), PATIENCE, || {
        (messages(service)? == expected).then_some(())
    });
}

/// The states of the nodes, in their order.
fn states(status: &Json) -> Vec<&str> {
    let nodes = status["nodes"].as_array().expect("a list").iter();
    nodes
        .map(|node| node["state"].as_str().expect("a state"))
        .collect()
}

#[test]
fn what_both_sides_of_a_partition_say_arrives_when_it_is_healed() {
    let session = Session::new();
    let (_up, services) = session.up_and_converged();
    let status = session.json(&["fault", "partition", "fra", "iad,nrt"]);
    assert_eq!(states(&status), ["up", "up", "up"]);
    assert_eq!(status["cuts"].as_array().map(Vec::len), Some(4), "{status}");
    send(services[0], "from-fra");
    send(services[1], "from-iad");
    lists(services[2], &["from-iad"]);
    assert_eq!(
        messages(services[0]).as_deref(),
        Some(&["from-fra".to_owned()][..])
    );
    let status = session.json(&["fault", "heal"]);
    assert_eq!(status["cuts"], json!([]));
    for service in services {
        lists(service, &["from-fra", "from-iad"]);
    }
}

#[test]
fn what_is_cut_stays_cut_while_up_stops_and_what_nobody_has_is_named() {
    let session = Session::new();
    let (up, services) = session.up_and_converged();
    session.json(&["fault", "partition", "fra", "iad,nrt"]);
    send(services[0], "nobody-else-has-it");
    up.signal(Signal::INT);
    up.stderr_line("that it stops", 1, PATIENCE, |line| {
        line.contains("hand over what they have over the links that are left, for 7 s at most")
    });
    let (status, _, stderr) = up.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("fra-1 stopped: "), "{stderr}");
}

#[test]
fn a_partition_between_two_regions_is_gone_around_and_said_to_be() {
    let session = Session::new();
    let (_up, services) = session.up_and_converged();
    let (status, stdout, stderr) = session.run(&["fault", "partition", "fra", "iad"]);
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stdout.contains("Nothing passes between fra and iad."),
        "{stdout}"
    );
    assert!(stderr.contains("nrt-1 reaches both sides"), "{stderr}");
    assert!(stderr.contains("partition fra iad,nrt-1"), "{stderr}");
    send(services[0], "hello");
    lists(services[1], &["hello"]);
}

#[test]
fn a_killed_node_is_gone_with_its_service_and_comes_back_as_another_process() {
    let session = Session::new();
    let (up, services) = session.up_and_converged();
    let before = session.json(&["fault", "status"]);
    let status = session.json(&["fault", "kill", "iad-1"]);
    assert_eq!(states(&status), ["up", "down", "up"]);
    assert_eq!(status["nodes"][1]["peer_id"], Json::Null);
    assert_eq!(session.sockets(), ["fra-1.sock", "nrt-1.sock"]);
    get(services[1], "/messages").expect_err("nobody serves there");
    send(services[0], "while-it-is-dead");
    lists(services[2], &["while-it-is-dead"]);

    let status = session.json(&["fault", "restart", "iad-1"]);
    assert_eq!(states(&status), ["up", "up", "up"]);
    assert_ne!(status["nodes"][1]["peer_id"], before["nodes"][1]["peer_id"]);
    eventually("it is one of the mesh", PATIENCE, || {
        let peers = session.json(&["peers", "--node", "iad-1"]);
        (peers["peers"].as_array()?.len() == 2).then_some(())
    });
    send(services[0], "hello-again");
    eventually("it hears", PATIENCE, || {
        messages(services[1])?
            .contains(&"hello-again".to_owned())
            .then_some(())
    });
    up.signal(Signal::INT);
    let (status, _, stderr) = up.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(session.sockets().is_empty());
    assert_eq!(
        session.run(&["fault", "status"]).0,
        3,
        "its socket is gone too"
    );
}

#[test]
fn a_paused_node_misses_nothing() {
    let session = Session::new();
    let (_up, services) = session.up_and_converged();
    let status = session.json(&["fault", "pause", "nrt-1"]);
    assert_eq!(states(&status), ["up", "up", "paused"]);
    send(services[0], "while-paused");
    lists(services[1], &["while-paused"]);
    assert_eq!(messages(services[2]).as_deref(), Some(&[][..]));
    let status = session.json(&["fault", "heal"]);
    assert_eq!(states(&status), ["up", "up", "paused"]);
    session.json(&["fault", "resume", "nrt-1"]);
    lists(services[2], &["while-paused"]);
}

#[test]
fn what_cannot_be_done_has_a_status_and_changes_nothing() {
    let session = Session::new();
    let (status, _, stderr) = session.run(&["fault", "status"]);
    assert_eq!(status, 3, "{stderr}");
    assert!(stderr.contains("meshcast up"), "{stderr}");
    let (up, _services) = session.up();
    for (line, expected, says) in [
        (
            "partition fra atlantis",
            2,
            "there is no node and no region \"atlantis\"; the nodes here are fra-1,",
        ),
        ("partition fra fra-1", 2, "a node is on two sides"),
        ("partition fra,iad,nrt", 2, "nobody on the other side"),
        ("one-way fra", 2, "required"),
        ("one-way fra fra", 2, "fra and fra are the same nodes"),
        ("one-way fra-1 fra", 2, "fra-1 and fra are the same nodes"),
        (
            "kill fra",
            2,
            "there is no node \"fra\"; fra is a region, its nodes are fra-1",
        ),
        (
            "pause nope",
            2,
            "there is no node \"nope\"; the nodes here are fra-1, iad-1, nrt-1",
        ),
        ("resume fra-1", 1, "fra-1 is not paused"),
        ("status --socket /nowhere/fra-1.up", 3, "/nowhere/fra-1.up"),
    ] {
        let words: Vec<_> = ["fault"].into_iter().chain(line.split(' ')).collect();
        let (status, stdout, stderr) = session.run(&words);
        assert_eq!(
            (status, stdout.as_str()),
            (expected, ""),
            "{line}: {stderr}"
        );
        assert!(stderr.contains(says), "{line}: {stderr}");
    }
    let (status, _, stderr) = session.run(&["fault", "pause", "nope", "--json"]);
    let error: Json = serde_json::from_str(&stderr).expect("JSON");
    assert_eq!(
        (status, error["error"]["code"].as_str()),
        (2, Some("bad_request"))
    );
    let status = session.json(&["fault", "status"]);
    assert_eq!(
        (states(&status), &status["cuts"]),
        (vec!["up", "up", "up"], &json!([]))
    );
    up.signal(Signal::TERM);
    assert_eq!(up.end(PATIENCE).0.code(), Some(0));
}

#[test]
fn round_trips_are_those_that_are_printed() {
    let session = Session::new();
    let words = [
        "up",
        "--http-base",
        "0",
        "--json",
        "--regions",
        "fra,mars",
        "--rtt",
        "fra:mars=300ms",
    ];
    let up = Process::start(session.command(&words));
    let report = up.stdout_line("the report", PATIENCE, |line| line.starts_with('{'));
    let report: Json = serde_json::from_str(&report).expect("JSON");
    let expected = json!([{"from": "fra", "to": "mars", "rtt_us": 300_000}]);
    assert_eq!(report["round_trips"], expected);
    let pings = session.json(&["ping", "mars-1", "--count", "1", "--node", "fra-1"]);
    let least = pings["peers"][0]["min_us"].as_u64();
    assert!(least.is_some_and(|least| least >= 300_000), "{pings}");
}
