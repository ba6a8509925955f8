//! `meshcast doctor`: each named cause is made to happen, and found; and `trace` and `map`, which
//! show the same from other sides.

mod between;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session, Signal, eventually, get, get_unix, new_key};

/// The state and the reason of each finding of a check.
fn found(session: &Session, check: &str) -> Vec<(String, String)> {
    let (_, stdout, stderr) = session.run(&["doctor", "--json"]);
    let report: Json = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
    let checks = report["checks"].as_array().expect("a list").iter();
    let text = |it: &Json| it.as_str().expect("text").to_owned();
    checks
        .filter(|it| it["check"] == check && (it["state"] == "warn" || it["state"] == "fail"))
        .map(|it| (text(&it["state"]), text(&it["reason"])))
        .collect()
}

/// Waits until a finding says that; the status is 1 then.
#[track_caller]
fn finds(session: &Session, check: &str, state: &str, said: &str) {
    eventually(&format!("{check}: {said}"), 2 * PATIENCE, || {
        let found = found(session, check);
        let is_it = |(is, reason): &(String, String)| is == state && reason.contains(said);
        found.iter().any(is_it).then_some(())
    });
    assert_eq!(session.run(&["doctor"]).0, 1, "a finding is status 1");
}

/// A node with a key, and what it was told.
fn node(session: &Session, name: &str, key: &str, more: &[&str]) -> Process {
    Process::start(node_command(session, name, key, more))
}

fn node_command(session: &Session, name: &str, key: &str, more: &[&str]) -> Command {
    let arguments = [
        "node",
        "--name",
        name,
        "--region",
        name,
        "--channel",
        "earth",
    ];
    let mut command = session.command(&arguments);
    command
        .args(["--listen", "/ip4/127.0.0.1/tcp/0"])
        .args(more);
    command.env("MESHCAST_KEY", key);
    command
}

fn secret() -> String {
    new_key().to_secret_text()
}

/// Waits until a node answers, and returns where it listens.
#[track_caller]
fn address(session: &Session, name: &str) -> SocketAddr {
    let listening = eventually("it answers", PATIENCE, || {
        let (status, stdout, _) = session.run(&["nodes", "--json"]);
        let report: Json = (status == 0).then(|| serde_json::from_str(&stdout).ok())??;
        let mut nodes = report["nodes"].as_array()?.iter();
        let node = nodes.find(|node| node["name"] == name)?;
        Some(node["listen_addresses"][0].as_str()?.to_owned())
    });
    let port = listening
        .rsplit('/')
        .next()
        .and_then(|port| port.parse().ok());
    SocketAddr::from((Ipv4Addr::LOCALHOST, port.expect("a port")))
}

fn seed(address: SocketAddr) -> String {
    format!("/ip4/{}/tcp/{}", address.ip(), address.port())
}

fn socket(session: &Session, name: &str) -> PathBuf {
    session
        .directory()
        .path()
        .join(format!("meshcast/{name}.sock"))
}

#[test]
fn in_a_mesh_that_is_well_nothing_is_found() {
    let session = Session::new();
    let (_up, services) = session.up_and_converged();
    get(services[0], "/send?message=hello").expect("it serves");
    eventually("nothing is found", PATIENCE, || {
        (session.run(&["doctor"]).0 == 0).then_some(())
    });
    let report = session.json(&["doctor"]);
    assert_eq!(
        report["nodes"],
        serde_json::json!(["fra-1", "iad-1", "nrt-1"])
    );
    assert_eq!(report["findings"], 0);
}

#[test]
fn without_a_node_there_is_nobody_to_ask() {
    assert_eq!(Session::new().run(&["doctor"]).0, 3);
}

#[test]
fn seeds_that_do_not_answer_are_named_by_why() {
    let session = Session::new();
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent_at = seed(silent.local_addr().expect("bound"));
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let refused_at = seed(free.local_addr().expect("bound"));
    drop(free);
    let (key, other) = (secret(), secret());
    let _other = node(&session, "other", &other, &[]);
    let other_at = seed(address(&session, "other"));
    let unknown = "/dns/no-such-name.invalid/tcp/4001";
    let mut more = Vec::new();
    for seed in [&silent_at, &refused_at, &other_at, unknown] {
        more.extend(["--seed", seed]);
    }
    let _node = node(&session, "fra-1", &key, &more);
    finds(
        &session,
        "seeds",
        "fail",
        &format!("seed {refused_at}: refused"),
    );
    finds(
        &session,
        "seeds",
        "fail",
        &format!("seed {silent_at}: timeout"),
    );
    finds(
        &session,
        "seeds",
        "fail",
        &format!("seed {other_at}: wrong key"),
    );
    // Without any resolver the name is not unknown but unanswered.
    let of_name = eventually("the name is looked up", 2 * PATIENCE, || {
        let found = found(&session, "seeds").into_iter();
        let mut reasons = found.map(|(_, reason)| reason);
        reasons.find(|reason| reason.contains(unknown))
    });
    let why = ["no such name", "timeout"];
    assert!(why.iter().any(|why| of_name.contains(why)), "{of_name}");
    finds(&session, "key", "fail", "wrong key met");
}

#[test]
fn sockets_that_are_lost_are_told_dead_or_silent() {
    let session = Session::new();
    let key = secret();
    let dead = node(&session, "dead", &key, &[]);
    address(&session, "dead");
    let silent = node(&session, "silent", &key, &[]);
    address(&session, "silent");
    dead.signal(Signal::KILL);
    finds(&session, "admin", "warn", "nobody listens at its socket");
    silent.signal(Signal::STOP);
    finds(&session, "admin", "fail", "does not answer");
    silent.signal(Signal::CONT);
}

#[test]
fn regions_on_one_link_and_parts_that_are_cut_off_are_told_by_doctor_and_map() {
    let session = Session::new();
    let up = [
        "up",
        "--http-base",
        "0",
        "--regions",
        "fra,iad",
        "--nodes-per-region",
        "2",
    ];
    let up = Process::start(session.command(&[&up[..], &["--rtt", "none", "--json"]].concat()));
    up.stdout_line("the report", PATIENCE, |line| line.starts_with('{'));
    for [a, b] in [["fra-1", "iad-2"], ["fra-2", "iad-1"], ["fra-2", "iad-2"]] {
        session.json(&["fault", "partition", a, b]);
    }
    finds(
        &session,
        "links",
        "warn",
        "one link alone, fra-1 – iad-1, holds",
    );
    let map = session.json(&["map"]);
    let bridges = map["meshes"][0]["bridges"].as_array().expect("a list");
    assert_eq!(bridges.len(), 1, "{map}");
    let (status, drawn, stderr) = session.run(&["map", "--svg"]);
    assert_eq!(
        (status, drawn.matches("class=\"link weak\"").count()),
        (0, 1)
    );
    assert!(stderr.contains("one link alone"), "{stderr}");
    let (_, dot, _) = session.run(&["map", "--dot"]);
    assert!(dot.starts_with("graph meshcast {"), "{dot}");
    session.json(&["fault", "partition", "fra", "iad"]);
    finds(&session, "links", "fail", "cut off from the rest");
    let (_, drawn, _) = session.run(&["map"]);
    assert!(drawn.contains("! cut off from the rest: "), "{drawn}");
}

#[test]
fn what_was_broken_on_purpose_is_told() {
    let session = Session::new();
    let (_up, _) = session.up_and_converged();
    eventually("nothing is found", PATIENCE, || {
        found(&session, "faults").is_empty().then_some(())
    });
    session.json(&["fault", "kill", "nrt-1"]);
    finds(&session, "faults", "warn", "it is down");
    session.json(&["fault", "pause", "iad-1"]);
    finds(&session, "faults", "warn", "it is paused");
    session.json(&["fault", "one-way", "fra", "iad"]);
    finds(&session, "faults", "warn", "the way from fra to iad");
}

#[test]
fn a_node_that_has_lost_its_socket_is_told() {
    let session = Session::new();
    let (_up, _) = session.up_and_converged();
    fs::remove_file(socket(&session, "iad-1")).expect("it is there");
    // It makes it again within seconds.
    eventually("it is told", PATIENCE, || {
        let found = found(&session, "admin").into_iter();
        let mut fails = found.filter(|(state, _)| state == "fail");
        fails
            .any(|(_, it)| it.contains("its admin socket is gone"))
            .then_some(())
    });
    eventually("nothing is found", PATIENCE, || {
        found(&session, "admin").is_empty().then_some(())
    });
}

/// A node that keeps little and lets little wait.
fn small(session: &Session, key: &str, limits: &str) -> Process {
    let file = session.directory().path().join("small.toml");
    fs::write(&file, format!("[limits]\n{limits}\n")).expect("writable");
    let config = file.to_str().expect("UTF-8");
    node(session, "fra-1", key, &["--config", config])
}

fn post(session: &Session, bytes: usize) {
    let value = "x".repeat(bytes);
    let (status, _, stderr) = session.run(&["post", "earth", &value]);
    assert_eq!(status, 0, "{stderr}");
}

#[test]
fn a_history_that_is_full_is_told() {
    let session = Session::new();
    let _node = small(&session, &secret(), "history_bytes = \"256KiB\"");
    address(&session, "fra-1");
    eventually("it is full", PATIENCE, || {
        post(&session, 12_000);
        (!found(&session, "history").is_empty()).then_some(())
    });
    finds(&session, "history", "warn", "it is full (256.0 KiB)");
}

#[test]
fn a_reader_that_does_not_read_is_told() {
    let session = Session::new();
    let _node = small(
        &session,
        &secret(),
        "unread_bytes = \"512KiB\"\nhistory_bytes = \"1MiB\"",
    );
    address(&session, "fra-1");
    let socket = socket(&session, "fra-1");
    let mut reader = std::os::unix::net::UnixStream::connect(socket).expect("it listens");
    let request = "GET /v1/messages?channel=earth HTTP/1.1\r\nhost: node\r\n\r\n";
    reader.write_all(request.as_bytes()).expect("it reads");
    let mut answered = String::new();
    let mut lines = BufReader::new(&reader);
    lines.read_line(&mut answered).expect("it answers");
    assert!(answered.contains("200"), "{answered}");
    // The socket takes some first.
    eventually("much waits", 2 * PATIENCE, || {
        post(&session, 60_000);
        let found = found(&session, "queues").into_iter();
        let mut reasons = found.map(|(_, reason)| reason);
        reasons
            .any(|it| it.contains("to be read on earth"))
            .then_some(())
    });
}

#[test]
fn a_process_with_few_descriptors_left_is_told() {
    let session = Session::new();
    let mut command = node_command(&session, "fra-1", &secret(), &[]);
    let program = command.get_program().to_owned();
    let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    let mut limited = Command::new("sh");
    let script = "ulimit -n 64; exec \"$0\" \"$@\"";
    limited.arg("-c").arg(script).arg(program).args(arguments);
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            limited.env(name, value);
        }
    }
    command = limited;
    let _node = Process::start(command);
    let at = address(&session, "fra-1");
    let mut strangers = Vec::new();
    eventually("they are told", 2 * PATIENCE, || {
        // Those who say nothing are let go after a while.
        for _ in 0..4 {
            strangers.extend(TcpStream::connect(at).ok());
        }
        let found = found(&session, "descriptors").into_iter();
        let mut reasons = found.map(|(_, reason)| reason);
        reasons
            .any(|it| it.contains("files open of 64 it may"))
            .then_some(())
    });
}

#[test]
fn a_port_that_somebody_else_has_at_another_address_is_told() {
    let session = Session::new();
    let _node = node(&session, "fra-1", &secret(), &[]);
    let port = address(&session, "fra-1").port();
    let _other = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).expect("it is free there");
    finds(&session, "port", "warn", &format!("port {port} is shared"));
}

/// Builds a library that sets the wall clock of a process a minute and a half ahead.
fn skewed_clock(directory: &Path) -> PathBuf {
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    let code = "#define _GNU_SOURCE\n#include <time.h>\n#include <unistd.h>\n\
        #include <sys/syscall.h>\n\
        int clock_gettime(clockid_t clock, struct timespec *now) {\n\
        long done = syscall(SYS_clock_gettime, clock, now);\n\
        if (done == 0 && clock == CLOCK_REALTIME) now->tv_sec += 90;\n\
        return (int)done;\n}\n";
    fs::write(&source, code).expect("writable");
    // A C compiler builds the cryptography too.
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(&source);
    assert!(cc.status().expect("there is a C compiler").success());
    library
}

#[test]
fn a_clock_that_is_off_is_told_once_its_node_posts() {
    let session = Session::new();
    let key = secret();
    let clock = skewed_clock(session.directory().path());
    let _here = node(&session, "here", &key, &[]);
    let at = seed(address(&session, "here"));
    let mut ahead = node_command(&session, "ahead", &key, &["--seed", &at]);
    ahead.env("LD_PRELOAD", clock);
    let _ahead = Process::start(ahead);
    address(&session, "ahead");
    eventually("it is far ahead", 2 * PATIENCE, || {
        let (status, _, stderr) = session.run(&["post", "earth", "tick", "--node", "ahead"]);
        assert_eq!(status, 0, "{stderr}");
        let found = found(&session, "clock").into_iter();
        let mut of_fail = found.filter(|(state, _)| state == "fail");
        of_fail
            .any(|(_, it)| it.contains("the clock of ahead is "))
            .then_some(())
    });
}

/// Answers as a node does, but for its name, its id and its version.
fn older_node(of: PathBuf, at: &Path) {
    let listener = UnixListener::bind(at).expect("free");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut request = String::new();
            // A program that only looks whether somebody listens says nothing.
            if BufReader::new(&stream).read_line(&mut request).is_err() {
                continue;
            }
            let Some(path) = request.split_whitespace().nth(1) else {
                continue;
            };
            let Ok((status, body)) = get_unix(&of, path) else {
                return;
            };
            let version = format!("\"version\":\"{}\"", env!("CARGO_PKG_VERSION"));
            let body = body.replace(&version, "\"version\":\"0.0.1\"");
            let body = body.replace("\"name\":\"fra-1\"", "\"name\":\"old-1\"");
            let head = format!("HTTP/1.1 {status} OK\r\ncontent-length: {}\r\n", body.len());
            let _gone = write!(&stream, "{head}connection: close\r\n\r\n{body}");
        }
    });
}

#[test]
fn versions_that_are_apart_are_told() {
    let session = Session::new();
    let _node = node(&session, "fra-1", &secret(), &[]);
    address(&session, "fra-1");
    older_node(socket(&session, "fra-1"), &socket(&session, "old-1"));
    finds(
        &session,
        "versions",
        "warn",
        "versions apart: 0.0.1 at old-1",
    );
}

#[test]
fn a_trace_says_who_has_a_message_who_lacks_it_and_which_way_it_came() {
    let session = Session::new();
    let (_up, services) = session.up_and_converged();
    session.json(&["fault", "partition", "nrt", "fra,iad"]);
    get(services[0], "/send?message=hello").expect("it serves");
    let at = |trace: &Json| -> Option<Vec<String>> {
        let at = trace["messages"][0]["at"].as_array()?.iter();
        let says = |it: &Json| {
            let (node, state) = (it["node"].as_str()?, it["state"].as_str()?);
            Some(format!(
                "{node} {state} {}",
                it["via"].as_str().unwrap_or("-")
            ))
        };
        at.map(says).collect()
    };
    let trace = |message: &[&str]| -> (i32, Option<Vec<String>>) {
        let arguments = [&["trace", "earth"], message, &["--json"]].concat();
        let (status, stdout, _) = session.run(&arguments);
        let report: Option<Json> = serde_json::from_str(&stdout).ok();
        (status, report.and_then(|report| at(&report)))
    };
    let lacks = "nrt-1 not_heard -";
    eventually("all but one have it", PATIENCE, || {
        let (status, at) = trace(&["fra-1:1"]);
        let at = at?;
        let has = at.iter().filter(|it| it.contains("delivered")).count();
        assert!(at.contains(&lacks.to_owned()), "{at:?}");
        (status == 1 && has == 2 && at[0] == "fra-1 delivered local").then_some(())
    });
    session.json(&["fault", "heal"]);
    // By gossip if the link was not given up yet, else it is fetched.
    eventually("the last has it", PATIENCE, || {
        let (status, at) = trace(&[]);
        let has_it = |at: &String| at.starts_with("nrt-1 delivered ");
        (status == 0 && at?.iter().any(has_it)).then_some(())
    });
    assert_eq!(
        session.run(&["trace", "earth", "fra-1:99"]).0,
        1,
        "nobody has it"
    );
    assert_eq!(
        session.run(&["trace", "earth", "fra-1"]).0,
        2,
        "that is no message"
    );
}
