//! Machines that are not clean: files that are none, sockets of others, few descriptors.

use std::{
    fs::{self, Permissions},
    io::{self, Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::harness::{PATIENCE, Process, Session, Signal, eventually, get_unix, new_key};

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
    eventually("it serves again", PATIENCE, || {
        get_unix(&socket, "/v1/node").ok()
    });
    assert_eq!(session.run(&["post", "earth", "hello"]).0, 0);
    node.stderr_line("it is told", 1, PATIENCE, |line| {
        line.contains("is there again")
    });
    node.signal(Signal::TERM);
    assert_eq!(node.end(PATIENCE).0.code(), Some(0));
    assert!(session.sockets().is_empty());
}

#[test]
fn sockets_of_others_are_no_reason_not_to_post() {
    let session = Session::new();
    let _node = node(&session);
    let socket = |name: &str| session.directory().path().join("meshcast").join(name);
    // One that was left behind, one that says nothing, one that hangs up, one that speaks something
    // else.
    drop(UnixListener::bind(socket("aaa.sock")).expect("free"));
    let _silent = UnixListener::bind(socket("aab.sock")).expect("free");
    for (name, answer) in [("aac.sock", ""), ("aad.sock", "220 mail.example ESMTP\r\n")] {
        let listener = UnixListener::bind(socket(name)).expect("free");
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                // The visitor may have left.
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

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");
}

/// A command as a user who may nothing, if these tests are run by root; else as who runs them.
fn unprivileged(session: &Session, arguments: &[&str]) -> Command {
    let mut command = session.command(arguments);
    if is_root() {
        // Others may not reach what root builds.
        let program = session.directory().path().join("program");
        fs::hard_link(command.get_program(), &program)
            .or_else(|_| fs::copy(command.get_program(), &program).map(drop))
            .expect("readable");
        chmod(session.directory().path(), 0o755);
        let mut nobody = Command::new(program);
        nobody.args(arguments).env_clear().uid(NOBODY).gid(NOBODY);
        for (name, value) in command.get_envs() {
            nobody.envs(value.map(|value| (name, value)));
        }
        command = nobody;
    }
    command
}

const NOBODY: u32 = 65_534;

#[test]
fn a_port_that_takes_privileges_is_refused_with_that_reason() {
    let lowest = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    let lowest = lowest.ok().and_then(|text| text.trim().parse().ok());
    if lowest.unwrap_or(1024) <= PORT {
        let _ = writeln!(
            io::stderr(),
            "skipped: anybody may listen on port {PORT} here"
        );
        return;
    }
    let session = Session::new();
    let listen = format!("/ip4/127.0.0.1/tcp/{PORT}");
    let node = ["node", "--no-admin", "--listen", &listen];
    let (status, stdout, stderr) = Process::start(unprivileged(&session, &node)).end(PATIENCE);
    assert_eq!((status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    let reason = "cannot listen on /ip4/127.0.0.1/tcp/943: not permitted (ports below 1024";
    assert!(stderr.contains(reason), "{stderr}");
    assert!(stderr.lines().count() < 5, "{stderr}");
}

/// Below 1024, and of no service that tests may find here.
const PORT: u16 = 943;

#[test]
fn another_user_is_refused_at_the_admin_socket_also_if_its_file_is_open_to_all() {
    if !is_root() {
        let _ = writeln!(io::stderr(), "skipped: to be another user takes root");
        return;
    }
    let session = Session::new();
    let node = node(&session);
    let directory = session.directory().path().join("meshcast");
    let socket = directory.join("fra-1.sock");
    for (path, mode) in [(&directory, 0o755), (&socket, 0o666)] {
        chmod(path, mode);
    }
    for command in [
        &["peers", "--node", "fra-1"][..],
        &["post", "earth", "hello"],
    ] {
        let (status, stdout, stderr) =
            Process::start(unprivileged(&session, command)).end(PATIENCE);
        assert!(!status.success() && stdout.is_empty(), "{stdout}{stderr}");
        fs::remove_file(session.directory().path().join("program")).expect("ours");
    }
    node.stderr_line("it is told", 1, PATIENCE, |line| {
        line.contains("refused a connection of another user")
    });
    assert!(
        get_unix(&socket, "/v1/node").is_ok(),
        "its own user is answered"
    );
}

#[test]
fn the_secret_of_a_mesh_is_in_nothing_that_is_written() {
    let (first, second, other) = (Session::new(), Session::new(), Session::new());
    let (key, another) = (new_key().to_secret_text(), new_key().to_secret_text());
    let start = |session: &Session, key: &str, arguments: &[&str]| {
        let node = [
            "node",
            "-vvv",
            "--name",
            "fra-1",
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--json",
        ];
        let mut command = session.command(&[&node[..], arguments].concat());
        command.env("RUST_LOG", "trace");
        if arguments.contains(&"--key-file") {
            let path = session.directory().path().join("key");
            fs::write(&path, key).expect("writable");
            chmod(&path, 0o600);
        } else {
            command.env("MESHCAST_KEY", key);
        }
        let node = Process::start(command);
        let line = node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        (
            node,
            line["address"].as_str().expect("an address").to_owned(),
        )
    };
    let (a, seed) = start(&first, &key, &[]);
    let file = second.directory().path().join("key");
    let by_file = ["--seed", &seed, "--key-file", file.to_str().expect("plain")];
    let (b, _) = start(&second, &key, &by_file);
    let (c, _) = start(&other, &another, &["--seed", &seed]);
    for (node, event) in [(&a, "connected"), (&b, "connected"), (&c, "refused")] {
        node.stdout_line(event, PATIENCE, |line| line.contains(event));
    }
    assert_eq!(first.run(&["post", "earth", "hello"]).0, 0);
    // Nor in what is said of a key that is none.
    let (status, _, mistyped) = second.run(&["node", "--key-file", "/dev/null"]);
    assert_eq!(status, 1, "{mistyped}");
    let broken = format!("{}x", &key[..key.len() - 1]);
    let mut command = first.command(&["node", "-vvv"]);
    command.env("MESHCAST_KEY", broken);
    let mut written = vec![Process::start(command).end(PATIENCE)];
    for node in [a, b, c] {
        node.signal(Signal::TERM);
        written.push(node.end(PATIENCE));
    }
    for (_, stdout, stderr) in written {
        for secret in [&key, &another] {
            // Without what all keys begin with.
            for part in secret.as_bytes()[16..].windows(12) {
                let part = str::from_utf8(part).expect("plain");
                assert!(
                    !stdout.contains(part) && !stderr.contains(part),
                    "{stdout}{stderr}"
                );
            }
        }
    }
}

#[test]
fn a_link_to_a_process_that_stands_still_is_dead_within_five_seconds() {
    let session = Session::new();
    let key = new_key().to_secret_text();
    let start = |name: &str, seeds: &[&str]| {
        let node = [
            "node",
            "--name",
            name,
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--json",
        ];
        let mut command = session.command(&[&node[..], seeds].concat());
        command.env("MESHCAST_KEY", &key);
        Process::start(command)
    };
    let a = start("fra-1", &[]);
    let line = a.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
    let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let b = start(
        "iad-1",
        &["--seed", line["address"].as_str().expect("an address")],
    );
    a.stdout_line("connected", PATIENCE, |line| line.contains("connected"));
    b.stdout_line("connected", PATIENCE, |line| line.contains("connected"));
    b.signal(Signal::STOP);
    let stopped = Instant::now();
    a.stdout_line("it is gone", PATIENCE, |line| {
        line.contains("\"disconnected\"")
    });
    let took = stopped.elapsed();
    // Of it something may have been on the way, and this machine may have other things to do.
    assert!(took < Duration::from_secs(10), "{took:?}");
    b.signal(Signal::CONT);
    a.stdout_line("it is back", PATIENCE, |line| {
        line.contains("iad-1") && line.contains("\"connected\"")
    });
}
