//! Machines that are not clean: files that are none, sockets of others, few descriptors.

use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixListener,
    process::Command,
    thread,
    time::Duration,
};

use crate::harness::{PATIENCE, Process, Session, Signal, eventually, get_unix};

fn node(session: &Session) -> Process {
    let node = [
        "node",
        "--name",
        "fra-1",
        "--json",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    let node = Process::start(session.command(&node));
    node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
    node
}

#[test]
fn a_key_file_that_is_a_pipe_is_refused_at_once() {
    let session = Session::new();
    let pipe = session.directory().path().join("key");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo is there").success());
    let path = pipe.to_str().expect("plain");
    for command in [
        &["node", "--key-file", path][..],
        &["up", "--http-base", "0", "--key-file", path],
    ] {
        let (status, _, stderr) = session.run(command);
        assert_eq!(status, 1, "{stderr}");
        assert!(stderr.contains("it is a pipe and no file"), "{stderr}");
    }
}

#[test]
fn an_admin_socket_that_was_removed_comes_back() {
    let session = Session::new();
    let node = node(&session);
    // As when the user logs out.
    let directory = session.directory().path().join("meshcast");
    fs::remove_dir_all(&directory).expect("ours");
    let socket = directory.join("fra-1.sock");
    eventually("it serves again", PATIENCE, || get_unix(&socket, "/v1/node").ok());
    assert_eq!(session.run(&["post", "earth", "hello"]).0, 0);
    node.stderr_line("it is told", 1, PATIENCE, |line| line.contains("is there again"));
    node.signal(Signal::TERM);
    assert_eq!(node.end(PATIENCE).0.code(), Some(0));
    assert!(session.sockets().is_empty());
}

#[test]
fn sockets_of_others_are_no_reason_not_to_post() {
    let session = Session::new();
    let _node = node(&session);
    let socket = |name: &str| session.directory().path().join("meshcast").join(name);
    // One that was left behind, one that says nothing, one that hangs up, one that speaks something else.
    drop(UnixListener::bind(socket("aaa.sock")).expect("free"));
    let _silent = UnixListener::bind(socket("aab.sock")).expect("free");
    for (name, answer) in [("aac.sock", ""), ("aad.sock", "220 mail.example ESMTP\r\n")] {
        let listener = UnixListener::bind(socket(name)).expect("free");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                // Whoever came may have left.
                let _ = stream
                    .read(&mut [0; 1024])
                    .and_then(|_| stream.write(answer.as_bytes()));
            }
        });
    }
    fs::write(socket("aae.sock"), "no socket").expect("writable");
    let (status, stdout, stderr) = session.run(&["post", "earth", "hello"]);
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(stdout, "posted to earth at fra-1");
    assert_eq!(session.run(&["channels"]).0, 0);
}

/// A command under limits of descriptors.
fn limited(session: &Session, soft: u32, hard: u32, arguments: &[&str]) -> Process {
    let plain = session.command(arguments);
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        &format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\""),
    ]);
    limited
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear();
    for (name, value) in plain.get_envs() {
        limited.envs(value.map(|value| (name, value)));
    }
    Process::start(limited)
}

#[test]
fn more_nodes_than_the_soft_limit_of_descriptors_allows_start_without_trouble() {
    let session = Session::new();
    // Connected to each other they take 506.
    let up = [
        "up",
        "--http-base",
        "0",
        "--json",
        "--regions",
        "fra",
        "--nodes-per-region",
        "22",
    ];
    let up = limited(&session, 256, 4_096, &up);
    up.stdout_line("the report", 4 * PATIENCE, |line| line.starts_with('{'));
    up.signal(Signal::TERM);
    let (status, _, stderr) = up.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("open files"), "{stderr}");
    let lines = stderr.lines().count();
    assert!(lines < 20, "{lines} lines:\n{stderr}");
}

#[test]
fn a_hard_limit_of_descriptors_that_is_too_low_is_named() {
    let session = Session::new();
    let up = [
        "up",
        "--http-base",
        "0",
        "--regions",
        "fra",
        "--nodes-per-region",
        "22",
    ];
    let (status, stdout, stderr) = limited(&session, 256, 256, &up).end(Duration::from_secs(10));
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains("the system lets it have 256"), "{stderr}");
    assert!(stderr.lines().count() < 5, "{stderr}");
}
