//! The command `meshcast`, as a process that talks to processes.

use std::{fs, net::SocketAddr, time::Duration};

use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session, Signal, eventually, get, new_key};

/// The names in a list of nodes, peers or channels.
fn names(list: &Json) -> Vec<&str> {
    let named = list.as_array().expect("a list").iter();
    named
        .map(|named| named["name"].as_str().expect("a name"))
        .collect()
}

/// Sends to each service, and sees all of it listed by each.
fn each_hears_all(services: &[SocketAddr]) {
    let sent: Vec<String> = (0..services.len()).map(|i| format!("from-{i}")).collect();
    for (service, message) in services.iter().zip(&sent) {
        let answer = get(*service, &format!("/send?message={message}")).expect("it serves");
        assert_eq!(answer, (200, "message sent".to_owned()));
    }
    for service in services {
        eventually("all are listed", Duration::from_secs(10), || {
            let (_, body) = get(*service, "/messages").ok()?;
            let mut listed: Vec<String> = serde_json::from_str(&body).ok()?;
            listed.sort();
            (listed == sent).then_some(())
        });
    }
}

#[test]
fn up_starts_three_regions_that_share_a_channel() {
    let session = Session::new();
    let (up, services) = session.up_and_converged();
    each_hears_all(&services);
    assert_eq!(
        session.sockets(),
        ["fra-1.sock", "iad-1.sock", "nrt-1.sock"]
    );
    up.signal(Signal::INT);
    let (status, _, stderr) = up.end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(session.sockets().is_empty());
}

#[test]
fn what_is_sent_the_moment_up_is_ready_is_heard_by_all() {
    let session = Session::new();
    let (_up, services) = session.up();
    each_hears_all(&services);
}

/// By Ctrl-C, by SIGTERM, or because its terminal is closed.
#[test]
fn what_is_sent_right_before_up_is_told_to_stop_arrives_and_no_socket_is_left() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let session = Session::new();
        let (up, services) = session.up_and_converged();
        for service in &services {
            let sent = get(*service, "/send?message=last").expect("it serves");
            assert_eq!(sent, (200, "message sent".to_owned()));
        }
        up.signal(signal);
        let (status, _, stderr) = up.end(PATIENCE);
        assert_eq!(status.code(), Some(0), "{signal:?}: {stderr}");
        let last = stderr.lines().last().unwrap_or_default();
        let is_all =
            last.starts_with(r#"{"note":"stopping… the nodes hand over what they have, for"#);
        assert!(is_all, "nothing is left behind: {stderr}");
        assert!(session.sockets().is_empty(), "{signal:?}");
    }
}

#[test]
fn a_node_that_is_told_to_stop_waits_for_a_member_and_names_what_nobody_has() {
    for signal in [Signal::TERM, Signal::HUP] {
        let session = Session::new();
        let arguments = [
            "node",
            "--name",
            "fra-1",
            "--seed",
            "/ip4/127.0.0.1/tcp/1",
            "--json",
        ];
        let mut command = session.command(&arguments);
        command.args(["--listen", "/ip4/127.0.0.1/tcp/0"]);
        command.env("MESHCAST_KEY", new_key().to_secret_text());
        let node = Process::start(command);
        node.stdout_line("it listens", PATIENCE, |line| line.contains("listening"));
        for message in ["one", "two"] {
            let (status, _, stderr) = session.run(&["post", "earth", message]);
            assert_eq!(status, 0, "{stderr}");
        }
        node.signal(signal);
        let (status, stdout, stderr) = node.end(PATIENCE);
        assert_eq!(status.code(), Some(0), "{signal:?}: {stderr}");
        let waiting = r#"{"note":"stopping: waiting up to 5 s until"#;
        assert!(stderr.contains(waiting), "{stderr}");
        assert!(!stderr.contains("stopped"), "the event says it: {stderr}");
        let last = stdout.lines().last().expect("a line");
        let last: Json = serde_json::from_str(last).expect("JSON");
        assert_eq!(
            (&last["event"], &last["members"]),
            (&"stopped".into(), &0.into()),
            "{last}"
        );
        let left = &last["undelivered"][0];
        assert_eq!(
            (&left["channel"], &left["messages"]),
            (&"earth".into(), &2.into()),
            "{last}"
        );
        assert!(session.sockets().is_empty(), "{signal:?}");
    }
}

#[test]
fn up_prints_a_table() {
    let session = Session::new();
    let up = Process::start(session.command(&["up", "--http-base", "0", "--regions", "gru,syd"]));
    let first = up.stdout_line("a line", PATIENCE, |_| true);
    assert!(
        first.contains(": http://127.0.0.1:"),
        "the page comes first: {first}"
    );
    let heading = up.stdout_line("a heading", PATIENCE, |line| line.starts_with("NAME"));
    assert_eq!(
        heading.split_whitespace().collect::<Vec<_>>(),
        ["NAME", "REGION", "URL", "PEER", "ID"]
    );
    for (name, region) in [("gru-1", "gru"), ("syd-1", "syd")] {
        let row = up.stdout_line(name, PATIENCE, |line| line.starts_with(name));
        let cells: Vec<_> = row.split_whitespace().collect();
        assert_eq!(cells[1], region);
        assert!(cells[2].starts_with("http://127.0.0.1:"), "{row}");
    }
    up.signal(Signal::TERM);
    assert_eq!(up.end(Duration::from_secs(10)).0.code(), Some(0));
}

#[test]
fn nodes_peers_and_channels_are_listed_as_json() {
    let session = Session::new();
    let (up, _services) = session.up_and_converged();
    let nodes = session.json(&["nodes"]);
    assert_eq!(names(&nodes["nodes"]), ["fra-1", "iad-1", "nrt-1"]);
    assert_eq!(nodes["nodes"][0]["pid"], up.pid());
    let peers = session.json(&["peers", "--node", "iad-1"]);
    assert_eq!(names(&peers["peers"]), ["fra-1", "nrt-1"]);
    let channels = session.json(&["channels", "--node", "nrt-1"]);
    assert_eq!(names(&channels["channels"]), ["earth"]);
    assert_eq!(
        channels["channels"][0]["subscribers"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[test]
fn who_has_a_channel_open_is_listed_by_any_node() {
    let session = Session::new();
    let _up = session.up_and_converged();
    for node in ["fra-1", "nrt-1"] {
        eventually("all are listed", PATIENCE, || {
            let who = session.json(&["who", "earth", "--node", node]);
            assert_eq!(who["schema"], "presence/v1");
            (names(&who["members"]) == ["fra-1", "iad-1", "nrt-1"]).then_some(())
        });
    }
    let watch = Process::start(session.command(&["who", "earth", "--watch", "--node", "fra-1"]));
    watch.stdout_line("iad-1 is there", PATIENCE, |line| {
        line.contains("present  iad-1 (iad)")
    });
}

#[test]
fn a_channel_that_somebody_only_asked_about_is_not_listed_afterwards() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let (status, _, stderr) = session.run(&["who", "earth", "--node", "fra-1"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let (status, stdout, stderr) = session.run(&["who", "typo", "--node", "fra-1"]);
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("fra-1"), "{stdout}");
    assert_eq!(
        stderr,
        "fra-1 opens typo for this question alone, so it is listed too"
    );
    eventually("it is gone", PATIENCE, || {
        let channels = session.json(&["channels", "--node", "fra-1"]);
        (names(&channels["channels"]) == ["earth"]).then_some(())
    });
}

#[test]
fn another_up_is_told_how_to_run_beside_the_first() {
    let session = Session::new();
    let (_up, services) = session.up();
    let taken = services[0].port().to_string();
    for base in ["0", taken.as_str()] {
        let (status, _, stderr) = session.run(&["up", "--http-base", base, "--page", "0"]);
        assert_eq!(status, 1, "{stderr}");
        let hint = "run another beside it with `";
        let (_, command) = stderr.split_once(hint).expect(&stderr);
        let (command, _) = command.split_once('`').expect(&stderr);
        // As it stands there.
        let words: Vec<_> = command.split(' ').skip(1).collect();
        assert_eq!(
            words,
            ["up", "--regions", "ams,cdg,gru", "--http-base", "0"]
        );
        let other = Process::start(session.command(&[&words[..], &["--json"]].concat()));
        other.stdout_line("the report", PATIENCE, |line| line.contains("gru-1"));
    }
}

#[test]
fn regions_of_which_no_round_trip_is_known_are_named_and_run() {
    let session = Session::new();
    let words = [
        "up",
        "--regions",
        "fra,mars",
        "--http-base",
        "0",
        "--page",
        "none",
    ];
    let up = Process::start(session.command(&words));
    up.stderr_line("a warning", 1, PATIENCE, |line| {
        line.contains("no round trip is known") && line.contains("fra-mars (known regions are ams,")
    });
    up.stdout_line("the node", PATIENCE, |line| line.starts_with("mars-1"));
}

#[test]
fn what_is_posted_in_one_region_is_watched_in_another() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let watch = [
        "watch", "earth", "--node", "nrt-1", "--json", "--count", "1",
    ];
    let watch = Process::start(session.command(&watch));
    watch.stderr_line("listening", 1, PATIENCE, |line| {
        line.contains("listening on earth")
    });
    let value = r#"{"price":42,"tags":["a",null],"id":123456789012345678901234567890}"#;
    let (status, stdout, stderr) =
        session.run(&["post", "earth", "--json", value, "--node", "fra-1"]);
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(
        serde_json::from_str::<Json>(&stdout).expect("a receipt")["node"],
        "fra-1"
    );
    let (status, stdout, _) = watch.end(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    let line: Json = serde_json::from_str(&stdout).expect("one line");
    let bigint = serde_json::json!({ "$bigint": "123456789012345678901234567890" });
    assert_eq!(
        line["data"],
        serde_json::json!({ "price": 42, "tags": ["a", null], "id": bigint })
    );
    assert_eq!(
        (&line["name"], &line["region"], &line["seq"]),
        (&"fra-1".into(), &"fra".into(), &1.into())
    );
}

#[test]
fn a_watch_begins_with_what_was_posted_before_if_it_is_asked_to() {
    let session = Session::new();
    let _up = session.up_and_converged();
    for value in ["one", "two", "three"] {
        assert_eq!(
            session.run(&["post", "earth", value, "--node", "fra-1"]).0,
            0
        );
    }
    let seen = |node: &str, past: [&str; 2], count: &str| {
        let watch = [
            "watch",
            "earth",
            "--json",
            "--timeout",
            "20s",
            "--node",
            node,
            "--count",
            count,
        ];
        let (status, stdout, stderr) = session.run(&[&watch[..], &past[..]].concat());
        assert_eq!(status, 0, "{stderr}");
        let lines = stdout
            .lines()
            .map(|line| serde_json::from_str::<Json>(line).expect(line));
        lines
            .map(|line| line["data"].as_str().expect("a string").to_owned())
            .collect::<Vec<_>>()
    };
    // The poster itself has it at once, the others soon.
    assert_eq!(seen("fra-1", ["--last", "2"], "2"), ["two", "three"]);
    assert_eq!(
        seen("nrt-1", ["--since", "5m"], "3"),
        ["one", "two", "three"]
    );
    assert_eq!(seen("iad-1", ["--last", "1"], "1"), ["three"]);
    // So many of all, whoever posted them, in the order of time.
    let others = [
        ("nrt-1", "four"),
        ("iad-1", "five"),
        ("fra-1", "six"),
        ("iad-1", "seven"),
        ("nrt-1", "eight"),
    ];
    for (node, value) in others {
        // Both others have it before anybody looks.
        let post = ["post", "earth", value, "--node", node, "--acked", "2"];
        assert_eq!(session.run(&post).0, 0);
    }
    let newest = ["four", "five", "six", "seven", "eight"];
    for node in ["fra-1", "iad-1", "nrt-1"] {
        assert_eq!(seen(node, ["--last", "5"], "5"), newest);
        assert_eq!(seen(node, ["--last", "2"], "2"), newest[3..]);
    }
}

#[test]
fn all_peers_answer_a_ping() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let report = session.json(&["ping", "--all", "--count", "2", "--node", "fra-1"]);
    assert_eq!(names(&report["peers"]), ["iad-1", "nrt-1"]);
    for peer in report["peers"].as_array().expect("a list") {
        assert_eq!(
            (&peer["sent"], &peer["received"]),
            (&2.into(), &2.into()),
            "{peer}"
        );
        assert!(
            peer["max_us"].as_u64().is_some_and(|rtt| rtt < 5_000_000),
            "{peer}"
        );
    }
}

#[test]
fn the_exit_status_tells_what_went_wrong() {
    let session = Session::new();
    let status = |arguments: &[&str]| session.run(arguments).0;
    assert_eq!(status(&["--version"]), 0);
    assert_eq!(status(&["frobnicate"]), 2);
    assert_eq!(status(&["watch"]), 2);
    assert_eq!(
        status(&["watch", "earth", "--last", "2", "--since", "5m"]),
        2
    );
    assert_eq!(status(&["post", "earth", "--json", "{"]), 2);
    assert_eq!(status(&["node", "--seed", "/ip4/127.0.0.1/udp/4001"]), 2);
    assert_eq!(status(&["node", "--listen", "/ip4/127.0.0.1/udp/4001"]), 2);
    assert_eq!(
        status(&["node", "--listen", "/ip4/0.0.0.0/tcp/0"]),
        2,
        "without a key"
    );
    let mut command = session.command(&["node", "--name", "x"]);
    command.env("MESHCAST_KEY", "no key");
    let (ended, _, stderr) = Process::start(command).end(PATIENCE);
    assert_eq!(ended.code(), Some(2), "{stderr}");
    for alone in [
        &["nodes"][..],
        &["peers"],
        &["channels"],
        &["watch", "earth"],
        &["post", "earth", "hi"],
    ] {
        let (status, stdout, stderr) = session.run(alone);
        assert_eq!((status, stdout.as_str()), (3, ""), "{alone:?}: {stderr}");
        assert!(!stderr.is_empty());
    }
    let _up = session.up_and_converged();
    assert_eq!(
        status(&["watch", "earth", "--count", "1", "--timeout", "200ms"]),
        4
    );
    assert_eq!(status(&["peers", "--node", "nowhere"]), 3);
    let (status, _, stderr) = session.run(&["node", "--name", "fra-1"]);
    assert_eq!(status, 1, "the name is taken");
    assert!(stderr.contains("already running"), "{stderr}");
}

#[test]
fn a_new_key_opens_a_mesh() {
    let session = Session::new();
    let (status, key, stderr) = session.run(&["key", "new"]);
    assert_eq!(status, 0, "{stderr}");
    assert!(key.trim().parse::<meshcast::MeshKey>().is_ok());
    let mut command = session.command(&[
        "node",
        "--name",
        "fra-1",
        "--json",
        "--listen",
        "/ip4/0.0.0.0/tcp/0",
    ]);
    command.env("MESHCAST_KEY", key.trim());
    let node = Process::start(command);
    node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
    assert_eq!(session.sockets(), ["fra-1.sock"]);
    node.signal(Signal::TERM);
    assert_eq!(node.end(Duration::from_secs(5)).0.code(), Some(0));
    assert!(session.sockets().is_empty());
}

#[test]
fn a_scenario_that_comes_out_otherwise_is_a_finding_with_the_way_to_see_it_again() {
    let session = Session::new();
    let text = "name = 'tiny'\nnodes = 2\nduration = 2\nsettle = 10\nbound = 10\n";
    let file = |name: &str, text: &str| {
        let path = session.directory().path().join(name);
        fs::write(&path, text).expect("writable");
        path.to_str().expect("plain").to_owned()
    };
    let fine = file("fine.toml", text);
    let report = session.json(&["sim", "run", &fine]);
    assert_eq!(report["schema"], "sim_run/v1");
    assert!(
        report["deliveries"].as_u64().is_some_and(|n| n > 0),
        "{report}"
    );

    let odd = file(
        "odd.toml",
        &format!("{text}[expect]\ndeliveries = 1_000_000\n"),
    );
    let (status, stdout, stderr) =
        session.run(&["sim", "run", &odd, "--seed", "7", "--seeds", "2"]);
    assert_eq!(status, 1, "{stdout}{stderr}");
    assert!(stdout.contains("0 of 2 runs are clean"), "{stdout}");
    assert!(
        stderr.contains(&format!("sim run {odd} --seed 7")),
        "{stderr}"
    );
    assert_eq!(session.run(&["sim", "run", "no such scenario"]).0, 2);
}
