//! `meshcast post` and what scripts wait for.

use std::{
    fs::File,
    io::{Write, pipe},
};

use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session, Signal, eventually, new_key};

/// Status, stdout and stderr of a command that reads this.
fn fed(session: &Session, arguments: &[&str], input: &[u8]) -> (i32, String, String) {
    let path = session.directory().path().join("input");
    std::fs::write(&path, input).expect("writable");
    let input = File::open(path).expect("just written");
    let process = Process::start_from(session.command(arguments), input);
    let (status, stdout, stderr) = process.end(PATIENCE);
    (status.code().expect("no signal ended it"), stdout, stderr)
}

/// The last post on a channel, as a node has it.
fn last(session: &Session, channel: &str, node: &str, count: usize) -> Vec<Json> {
    let count = count.to_string();
    let watch = [
        "watch",
        channel,
        "--json",
        "--timeout",
        "25s",
        "--node",
        node,
        "--last",
        &count,
        "--count",
        &count,
    ];
    let (status, stdout, stderr) = session.run(&watch);
    assert_eq!(status, 0, "{stdout}{stderr}");
    let lines = stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

fn error(stderr: &str) -> Json {
    let line = stderr.lines().last().expect("an error");
    serde_json::from_str::<Json>(line).expect("JSON")["error"].clone()
}

#[test]
fn a_post_waits_until_so_many_members_have_it() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let posted = session.json(&["post", "earth", "1", "--acked", "2", "--timeout", "25s"]);
    assert_eq!(
        (&posted["seq"], &posted["acked"]),
        (&1.into(), &2.into()),
        "{posted}"
    );
    let (status, stdout, stderr) = session.run(&[
        "post",
        "earth",
        "2",
        "--acked",
        "3",
        "--timeout",
        "500ms",
        "--json",
    ]);
    assert_eq!(status, 4, "{stderr}");
    let posted: Json = serde_json::from_str(&stdout).expect("it is posted all the same");
    assert!(posted["acked"].as_u64() < Some(3), "{posted}");
    let error = error(&stderr);
    assert_eq!(error["code"], "timeout");
    assert!(
        error["message"]
            .as_str()
            .is_some_and(|it| it.ends_with("of the 3 members asked for had it in time")),
        "{error}"
    );
    let (_, stdout, _) = session.run(&["post", "earth", "x", "--acked", "1", "--timeout", "25s"]);
    assert!(
        stdout.starts_with("posted to earth at fra-1; ") && stdout.ends_with(" it"),
        "{stdout}"
    );
}

#[test]
fn lines_are_posted_in_order_and_none_is_lost() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let input: String = (0..5_000).map(|i| format!("line {i}\r\n")).collect();
    let post = [
        "post", "earth", "--lines", "--node", "fra-1", "--acked", "2",
    ];
    let (status, stdout, stderr) = fed(&session, &post, input.as_bytes());
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stdout.starts_with("posted 5000 lines to earth at fra-1; 2 members"),
        "{stdout}"
    );
    for node in ["fra-1", "nrt-1"] {
        let heard = last(&session, "earth", node, 5_000);
        for (i, line) in heard.iter().enumerate() {
            assert_eq!(line["data"], format!("line {i}"), "at {node}");
            assert_eq!(line["seq"], i + 1, "at {node}");
        }
    }
}

#[test]
fn a_line_is_posted_as_soon_as_it_comes() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let watch = ["watch", "earth", "--json", "--node", "nrt-1"];
    let watch = Process::start(session.command(&watch));
    watch.stderr_line("listening", 1, PATIENCE, |line| line.contains("listening"));
    let (reader, mut writer) = pipe().expect("a pipe");
    let post = ["post", "earth", "--lines", "--json", "--node", "fra-1"];
    let post = Process::start_from(session.command(&post), reader);
    for (text, heard) in [("{\"a\":1}\n", "{\"a\":1}"), ("2\n3", "2"), ("4\n", "34")] {
        writer.write_all(text.as_bytes()).expect("it reads");
        let data = format!("\"data\":{heard},");
        watch.stdout_line(heard, PATIENCE, |line| line.contains(&data));
    }
    drop(writer);
    let (status, stdout, stderr) = post.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{stderr}");
    let posted: Json = serde_json::from_str(&stdout).expect("one object");
    assert_eq!(
        (&posted["schema"], &posted["posted"]),
        (&"posted_lines/v1".into(), &3.into()),
        "{posted}"
    );
}

#[test]
fn a_line_that_cannot_be_posted_is_named_by_its_number() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let long = "x".repeat(2 << 20);
    for (channel, flags, input, says, status) in [
        ("a", &["--json"][..], "1\n2\n{\n4\n", "line 3: ", 2),
        ("b", &["--json"], "1\n\n", "line 2: ", 2),
        ("c", &[], &format!("short\n{long}\nx\n"), "line 2: ", 1),
        ("d", &["--json"], "nope", "line 1: ", 2),
    ] {
        let post = ["post", channel, "--lines", "--node", "fra-1"];
        let (ended, stdout, stderr) = fed(&session, &[&post, flags].concat(), input.as_bytes());
        assert_eq!(
            (ended, stdout.as_str()),
            (status, ""),
            "{channel}: {stderr}"
        );
        assert!(stderr.contains(says), "{channel}: {stderr}");
        let before = last_line_before(says);
        if before > 0 {
            assert_eq!(last(&session, channel, "fra-1", before).len(), before);
        } else {
            assert!(stderr.contains("nothing is posted"), "{stderr}");
        }
    }
    let (status, _, stderr) = fed(&session, &["post", "e", "--lines"], b"a\n\xff\n");
    assert_eq!(status, 2, "{stderr}");
    assert!(stderr.contains("line 2: it is no UTF-8"), "{stderr}");
    let raw = ["post", "e", "--lines", "--raw"];
    assert_eq!(fed(&session, &raw, b"a\n\xff\n").0, 0);
    assert_eq!(fed(&session, &raw, b"").0, 0, "no line is no error");
}

fn last_line_before(says: &str) -> usize {
    let number = says.trim_start_matches("line ").trim_end_matches(": ");
    number.parse::<usize>().expect("a number") - 1
}

/// Far more than the node takes at once: it is not refused, as single posts would be.
#[test]
fn lines_for_which_there_is_no_room_wait_for_it() {
    let session = Session::new();
    let key = new_key().to_secret_text();
    let start = |name: &str, more: &[&str]| {
        let node = ["node", "--name", name, "--json", "--listen", "127.0.0.1:0"];
        let mut command = session.command(&[&node, more].concat());
        command.env("MESHCAST_KEY", &key);
        command.env("MESHCAST_OUTBOX_BYTES", "64KiB");
        let node = Process::start(command);
        let line = node.stdout_line("it listens", PATIENCE, |line| line.contains("listening"));
        let line: Json = serde_json::from_str(&line).expect("JSON");
        (
            node,
            line["address"].as_str().expect("an address").to_owned(),
        )
    };
    let (_fra, address) = start("fra-1", &["--channel", "earth"]);
    let (_iad, _) = start("iad-1", &["--seed", &address, "--channel", "earth"]);
    eventually("they know each other's channel", PATIENCE, || {
        let report = session.json(&["channels", "--node", "fra-1"]);
        let subscribers = report["channels"][0]["subscribers"].as_array();
        (subscribers?.len() == 1).then_some(())
    });
    let text: String = (0..5_000).map(|i| format!("{i:0>100}\n")).collect();
    let post = ["post", "earth", "--lines", "--node", "fra-1"];
    let (status, stdout, stderr) = fed(&session, &post, text.as_bytes());
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(stdout, "posted 5000 lines to earth at fra-1");
    for (i, line) in last(&session, "earth", "iad-1", 5_000).iter().enumerate() {
        assert_eq!(
            (&line["data"], &line["seq"]),
            (&format!("{i:0>100}").into(), &(i + 1).into())
        );
    }
}

#[test]
fn a_script_waits_for_a_node_and_its_members() {
    let session = Session::new();
    let wait = |count: &str, timeout: &str| {
        session.command(&["peers", "--wait", count, "--timeout", timeout, "--json"])
    };
    let (status, stdout, stderr) = Process::start(wait("1", "300ms")).end(PATIENCE);
    assert_eq!((status.code(), stdout.as_str()), (Some(3), ""), "{stderr}");
    assert_eq!(error(&stderr)["code"], "no_node");
    // Before there is any.
    let waiting = Process::start(wait("2", "25s"));
    let (up, _) = session.up();
    let (status, stdout, stderr) = waiting.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{stderr}");
    let report: Json = serde_json::from_str(&stdout).expect("one object");
    assert_eq!(
        report["peers"].as_array().map(Vec::len),
        Some(2),
        "{report}"
    );
    let (status, stdout, stderr) = Process::start(wait("3", "300ms")).end(PATIENCE);
    assert_eq!((status.code(), stdout.as_str()), (Some(4), ""), "{stderr}");
    let error = error(&stderr);
    assert_eq!(
        (&error["code"], &error["message"]),
        (
            &"timeout".into(),
            &"2 of 3 members are there after 300ms".into()
        )
    );
    up.signal(Signal::INT);
    up.end(PATIENCE);
}

#[test]
fn lines_of_which_nobody_knows_who_has_them_are_counted_as_posted() {
    let session = Session::new();
    let mut node = session.command(&["node", "--name", "fra-1", "--listen", "127.0.0.1:0"]);
    // Nothing is kept, so nothing can be told of who has it.
    node.env("MESHCAST_HISTORY_BYTES", "1");
    let node = Process::start(node);
    let post = ["post", "earth", "--lines", "--acked", "1", "--json"];
    let (status, stderr) = eventually("it runs", PATIENCE, || {
        let (status, _, stderr) = fed(&session, &post, b"1\n2\n3\n");
        (status != 3).then_some((status, stderr))
    });
    assert_eq!(status, 1, "{stderr}");
    let error = error(&stderr);
    assert_eq!(error["code"], "unacknowledged", "{error}");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("after 3 lines: "), "{message}");
    node.signal(Signal::INT);
    node.end(PATIENCE);
}
