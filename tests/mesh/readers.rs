//! A terminal that is closed, a reader that is gone, and one that does not read: what becomes of a
//! command then.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write, pipe},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use crate::harness::{PATIENCE, Process, Session, Signal, eventually, get_unix};

const SOON: Duration = Duration::from_secs(10);

/// A node by the name of `fra-1`, and its admin socket.
fn node_command(session: &Session, arguments: &[&str]) -> Command {
    let named = [
        "node",
        "--name",
        "fra-1",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    session.command(&[&named[..], arguments].concat())
}

fn answers(socket: &Path) -> bool {
    get_unix(socket, "/v1/node").is_ok_and(|(status, _)| status == 200)
}

/// A member that comes and goes, so that the node has something to tell.
fn visit(session: &Session, socket: &Path) {
    let (_, report) = get_unix(socket, "/v1/node").expect("it serves");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let seed = report["node"]["listen_addresses"][0]
        .as_str()
        .expect("it listens")
        .to_owned();
    let visitor = [
        "node",
        "--no-admin",
        "--json",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
        "--seed",
        &seed,
    ];
    let mut visitor = session.command(&visitor);
    visitor.env("MESHCAST_KEY", key());
    let visitor = Process::start(visitor);
    visitor.stdout_line("connected", PATIENCE, |line| line.contains("connected"));
    visitor.signal(Signal::TERM);
    visitor.end(SOON);
}

/// Of no use beyond these tests.
fn key() -> String {
    meshcast::MeshKey::from_entropy([7; 48]).to_secret_text()
}

#[test]
fn a_closed_terminal_ends_nodes_well_and_leaves_no_sockets() {
    let session = Session::new();
    let (up, _) = session.up();
    assert_eq!(session.sockets().len(), 3);
    // The system and the shell each send one.
    up.signal(Signal::HUP);
    up.signal(Signal::HUP);
    let (status, _, stderr) = up.end(SOON);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("stopping"), "{stderr}");
    let left: Vec<_> = fs::read_dir(session.directory().path().join("meshcast"))
        .expect("it was made")
        .collect();
    assert!(left.is_empty(), "{left:?}");

    let node = Process::start(node_command(&session, &["--json"]));
    node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
    node.signal(Signal::HUP);
    let (status, _, stderr) = node.end(SOON);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(session.sockets().is_empty());
}

/// As `timeout` does: once to the process, once to its group.
#[test]
fn a_signal_that_is_sent_twice_at_once_has_a_node_hand_over_all_the_same() {
    let session = Session::new();
    for _ in 0..5 {
        let node = Process::start(node_command(&session, &["--json"]));
        node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
        node.signal(Signal::TERM);
        node.signal(Signal::CONT);
        node.signal(Signal::TERM);
        let (status, stdout, stderr) = node.end(SOON);
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert!(stdout.contains("\"stopped\""), "{stdout}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_that_was_started_with_nohup_stays_when_the_terminal_goes() {
    let session = Session::new();
    let plain = node_command(&session, &["--json"]);
    let mut command = session.command(&[]);
    let mut nohup = Command::new("nohup");
    nohup
        .arg(command.get_program())
        .args(plain.get_args())
        .env_clear();
    for (name, value) in command.env("PATH", "/usr/bin:/bin").get_envs() {
        nohup.envs(value.map(|value| (name, value)));
    }
    let node = Process::start(nohup);
    node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).expect("it runs");
    let set = |kind: &str| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(kind))
            .expect(kind);
        u64::from_str_radix(line.trim(), 16).expect("a set")
    };
    assert_eq!((set("SigIgn:") & 1, set("SigCgt:") & 1), (1, 0), "{status}");
    node.signal(Signal::HUP);
    node.signal(Signal::TERM);
    assert_eq!(node.end(SOON).0.code(), Some(0));
}

#[test]
fn a_watch_ends_when_its_reader_is_gone_though_nothing_is_posted() {
    let session = Session::new();
    let node = Process::start(node_command(&session, &["--json"]));
    node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
    let (reader, writer) = pipe().expect("a pipe");
    let watch = Process::start_to(session.command(&["watch", "quiet"]), Some(writer), None);
    watch.stderr_line("listening", 1, PATIENCE, |line| {
        line.contains("listening on quiet")
    });
    // What a command takes on this machine at this time that has nothing to wait for.
    let begun = Instant::now();
    session.json(&["nodes"]);
    let usual = begun.elapsed();
    let begun = Instant::now();
    drop(reader);
    let (status, _, stderr) = watch.end(SOON);
    let took = begun.elapsed();
    assert_eq!(status.code(), Some(0), "{stderr}");
    let most = Duration::from_secs(1) + 2 * usual;
    assert!(took <= most, "{took:?}, of at most {most:?}");
}

/// As `head -1` does.
#[test]
fn whatever_goes_on_for_ever_ends_when_its_reader_has_seen_enough() {
    let session = Session::new();
    let node = Process::start(node_command(&session, &["--json"]));
    node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
    let (status, _, stderr) = session.run(&["post", "quiet", "hello"]);
    assert_eq!(status, 0, "{stderr}");
    for streaming in [
        &["watch", "quiet", "--last", "1"][..],
        &["watch", "quiet", "--last", "1", "--json"],
        &["who", "quiet", "--watch"],
        &["who", "quiet", "--watch", "--json"],
        &["top", "--json"],
    ] {
        let (reader, writer) = pipe().expect("a pipe");
        let process = Process::start_to(session.command(streaming), Some(writer), None);
        let mut line = String::new();
        let mut reader = BufReader::new(reader);
        reader.read_line(&mut line).expect("it writes text");
        assert!(line.ends_with('\n'), "{streaming:?}: {line}");
        drop(reader);
        let (status, _, stderr) = process.end(SOON);
        assert_eq!(status.code(), Some(0), "{streaming:?}: {stderr}");
        assert!(!stderr.contains("panic"), "{streaming:?}: {stderr}");
    }
}

/// Asks to follow a channel and gives what was answered at first; all that comes later stays
/// unread.
fn follow(socket: &Path, more: &str) -> (String, UnixStream) {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    write!(
        stream,
        "GET /v1/messages?channel=quiet HTTP/1.1\r\nhost: node\r\n\r\n{more}"
    )
    .expect("written");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("an answer");
    (String::from_utf8_lossy(&head).into_owned(), stream)
}

#[test]
fn the_places_of_those_that_watch_are_free_again_when_they_are_gone() {
    let session = Session::new();
    let node = Process::start(node_command(&session, &["--json"]));
    node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
    let socket = session.directory().path().join("meshcast/fra-1.sock");
    // Those that left something unread behind as well.
    for more in ["", "GET /v1/node HTTP/1.1\r\nhost: node\r\n\r\n"] {
        let watching: Vec<_> = (0..32).map(|_| follow(&socket, more)).collect();
        for (head, _) in &watching {
            assert_eq!(head, "HTTP/1.1 200");
        }
        assert_eq!(follow(&socket, "").0, "HTTP/1.1 503");
        drop(watching);
        eventually(&format!("all places are free after {more:?}"), SOON, || {
            let all: Vec<_> = (0..32).map(|_| follow(&socket, "")).collect();
            all.iter()
                .all(|(head, _)| head == "HTTP/1.1 200")
                .then_some(())
        });
    }
}

#[test]
fn a_node_whose_events_nobody_reads_any_more_goes_on_and_says_so_once() {
    let session = Session::new();
    let (mut reader, writer) = pipe().expect("a pipe");
    let mut command = node_command(&session, &["--json"]);
    command.env("MESHCAST_KEY", key());
    let node = Process::start_to(command, Some(writer), None);
    reader.read_exact(&mut [0; 1]).expect("it says something");
    let socket = session.directory().path().join("meshcast/fra-1.sock");
    eventually("it serves", PATIENCE, || answers(&socket).then_some(()));
    drop(reader);
    visit(&session, &socket);
    node.stderr_line("stdout", 1, PATIENCE, |line| {
        line.contains("stdout takes nothing any more")
    });
    visit(&session, &socket);
    assert!(answers(&socket));
    node.signal(Signal::TERM);
    let (status, _, stderr) = node.end(SOON);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert_eq!(
        stderr.matches("stdout takes nothing any more").count(),
        1,
        "{stderr}"
    );
}

#[test]
fn a_node_whose_stderr_nobody_reads_any_more_goes_on() {
    let session = Session::new();
    let (reader, writer) = pipe().expect("a pipe");
    let mut command = node_command(&session, &[]);
    command.env("MESHCAST_KEY", key()).env("RUST_LOG", "debug");
    drop(reader);
    let node = Process::start_to(command, None, Some(writer));
    let socket = session.directory().path().join("meshcast/fra-1.sock");
    eventually("it serves", PATIENCE, || answers(&socket).then_some(()));
    visit(&session, &socket);
    assert!(answers(&socket));
    node.signal(Signal::TERM);
    assert_eq!(node.end(SOON).0.code(), Some(0));
}

#[cfg(target_os = "linux")]
#[test]
fn a_node_whose_output_is_not_read_does_not_wait_for_it() {
    let session = Session::new();
    let (to_read, stdout) = pipe().expect("a pipe");
    let (also_to_read, stderr) = pipe().expect("a pipe");
    for end in [&stdout, &stderr] {
        rustix::pipe::fcntl_setpipe_size(end, 4096).expect("as small as it gets");
    }
    let mut command = node_command(&session, &["--json"]);
    command.env("MESHCAST_KEY", key()).env("RUST_LOG", "trace");
    let node = Process::start_to(command, Some(stdout), Some(stderr));
    let socket = session.directory().path().join("meshcast/fra-1.sock");
    eventually("it serves", PATIENCE, || answers(&socket).then_some(()));
    // Far more than fits.
    (0..3).for_each(|_| visit(&session, &socket));
    assert!(answers(&socket));
    node.signal(Signal::TERM);
    assert_eq!(node.end(SOON).0.code(), Some(0));
    drop((to_read, also_to_read));
}
