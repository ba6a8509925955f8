//! Instances of the example `earth`.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::{PATIENCE, Process, Program, command, eventually, get, get_unix};

/// What instances have in common: a key, and a place for their sockets.
#[derive(Debug)]
pub(crate) struct Fleet {
    pub(crate) key: meshcast::MeshKey,
    directory: Arc<TempDir>,
}

impl Fleet {
    pub(crate) fn new() -> Self {
        let directory = Arc::new(tempfile::tempdir().expect("a directory"));
        Self {
            key: super::new_key(),
            directory,
        }
    }

    /// A program of this fleet that has a directory for sockets to itself.
    pub(crate) fn command(&self, program: Program) -> (std::process::Command, PathBuf) {
        let private = tempfile::tempdir_in(self.directory.path())
            .expect("a directory")
            .keep();
        let mut command = command(program);
        command.env("MESHCAST_KEY", self.key.to_secret_text());
        command
            .env("XDG_RUNTIME_DIR", &private)
            .env("TMPDIR", &private);
        (command, private)
    }

    /// Starts an instance and waits until it is ready.
    pub(crate) fn earth(&self, seeds: &[&str]) -> Earth {
        self.earth_with(seeds, |_| {})
    }

    pub(crate) fn earth_with(
        &self,
        seeds: &[&str],
        change: impl FnOnce(&mut std::process::Command),
    ) -> Earth {
        let (mut command, private) = self.command(Program::Earth);
        command.args(["--http", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0"]);
        for seed in seeds {
            command.args(["--seed", seed]);
        }
        change(&mut command);
        let process = Process::start(command);
        let word = |prefix: &'static str| {
            let line = process.stdout_line(prefix, PATIENCE, |line| line.starts_with(prefix));
            line[prefix.len()..].to_owned()
        };
        let listen = word("listening on ");
        let http = word("serving http://").parse().expect("an address");
        let mut sockets = fs::read_dir(private.join("meshcast")).expect("made at the start");
        let admin = sockets.find_map(|file| {
            file.ok()
                .map(|file| file.path())
                .filter(|path| path.extension() == Some("sock".as_ref()))
        });
        let mut earth = Earth {
            process,
            listen,
            http,
            admin: admin.expect("a socket"),
            peer_id: String::new(),
            _directory: Arc::clone(&self.directory),
        };
        earth.peer_id = earth.ask("/v1/node")["node"]["peer_id"]
            .as_str()
            .expect("an id")
            .to_owned();
        earth
    }

    /// Several instances, the first being the seed of the others, that have found each other.
    pub(crate) fn earths<const N: usize>(&self) -> [Earth; N] {
        let mut started: Vec<Earth> = Vec::new();
        for _ in 0..N {
            let seed: Vec<&str> = started
                .first()
                .map(|seed| seed.listen.as_str())
                .into_iter()
                .collect();
            let next = self.earth(&seed);
            started.push(next);
        }
        converged(&started.iter().collect::<Vec<_>>());
        started.try_into().expect("N were started")
    }
}

/// A running instance.
#[derive(Debug)]
pub(crate) struct Earth {
    pub(crate) process: Process,
    /// Where other instances reach it.
    pub(crate) listen: String,
    pub(crate) http: SocketAddr,
    pub(crate) admin: PathBuf,
    pub(crate) peer_id: String,
    /// Where its socket is.
    _directory: Arc<TempDir>,
}

impl Earth {
    #[track_caller]
    pub(crate) fn send(&self, message: &str) {
        let answer = get(self.http, &format!("/send?message={message}")).expect("it serves");
        assert_eq!(answer, (200, "message sent".to_owned()));
    }

    #[track_caller]
    pub(crate) fn messages(&self) -> Vec<String> {
        let (status, body) = get(self.http, "/messages").expect("it serves");
        assert_eq!(status, 200);
        serde_json::from_str(&body).expect("a list")
    }

    /// What the admin socket says.
    #[track_caller]
    pub(crate) fn ask(&self, path: &str) -> Json {
        let (status, body) = get_unix(&self.admin, path).expect("it serves");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The ids of connected members and since when they are.
    #[track_caller]
    pub(crate) fn peers(&self) -> Vec<(String, String)> {
        let report = self.ask("/v1/peers");
        let peers = report["peers"].as_array().expect("a list").iter();
        let text = |peer: &Json, field: &str| peer[field].as_str().expect("text").to_owned();
        peers
            .map(|peer| (text(peer, "peer_id"), text(peer, "connected_since")))
            .collect()
    }

    /// The ids of those who it knows to have the channel open.
    fn subscribers(&self) -> Vec<String> {
        let report = self.ask("/v1/channels");
        let mut channels = report["channels"].as_array().expect("a list").iter();
        let earth = channels.find(|channel| channel["name"] == "earth");
        earth
            .and_then(|earth| serde_json::from_value(earth["subscribers"].clone()).ok())
            .unwrap_or_default()
    }
}

/// Waits until each knows that all others are on the channel.
#[track_caller]
pub(crate) fn converged(earths: &[&Earth]) {
    for earth in earths {
        eventually("everybody knows everybody", PATIENCE, || {
            let subscribers = earth.subscribers();
            let known = |other: &&Earth| {
                other.peer_id == earth.peer_id || subscribers.contains(&other.peer_id)
            };
            earths.iter().all(known).then_some(())
        });
    }
}

/// Waits until an instance lists these messages, whatever the order.
#[track_caller]
pub(crate) fn listed(earth: &Earth, expected: &[String], bound: Duration) {
    let mut expected = expected.to_vec();
    expected.sort();
    let start = Instant::now();
    loop {
        let mut messages = earth.messages();
        messages.sort();
        if messages == expected {
            return;
        }
        assert!(
            start.elapsed() < bound,
            "{} lists {messages:?} and not {expected:?}",
            earth.process
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "what is waited for can only be looked at"
        )]
        thread::sleep(Duration::from_millis(10));
    }
}

/// Does something to instances, and sees that they hear each other as before, over the same
/// connections.
#[track_caller]
pub(crate) fn undisturbed(earths: &[Earth], disturb: impl FnOnce()) {
    let lists: Vec<_> = earths.iter().map(Earth::messages).collect();
    let peers: Vec<_> = earths.iter().map(Earth::peers).collect();
    disturb();
    let sent: Vec<String> = (0..earths.len())
        .map(|i| format!("after-{}-{i}", lists[i].len()))
        .collect();
    earths
        .iter()
        .zip(&sent)
        .for_each(|(earth, message)| earth.send(message));
    for ((earth, list), peers) in earths.iter().zip(&lists).zip(peers) {
        listed(
            earth,
            &[&list[..], &sent[..]].concat(),
            Duration::from_secs(10),
        );
        assert_eq!(earth.peers(), peers, "{}", earth.process);
    }
}
