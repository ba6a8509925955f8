//! Three processes of the example, and what was said at them.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
};

use meshcast_tests::fleet::{Inside, Net};
use serde_json::Value as Json;

use super::BOUND;
use crate::harness::{Fleet, PATIENCE, Process, Program, Signal, eventually, get_unix};

/// The address of each instance; `None` while it does not run.
#[derive(Clone, Default)]
pub(super) struct Doors(Arc<Mutex<[Option<Door>; 3]>>);

#[derive(Clone)]
pub(super) struct Door {
    address: SocketAddr,
    /// Where it is served, if that is a network of its own.
    inside: Option<Inside>,
}

pub(super) struct Chat {
    fleet: Fleet,
    net: Option<Net>,
    settings: Vec<(String, String)>,
    instances: Vec<Option<Process>>,
    /// The address at which others reach each, or did last.
    listen: Vec<String>,
    /// The directory of the admin socket of each, or of its last.
    sockets: [PathBuf; 3],
    pub(super) doors: Doors,
    /// What was said, and at which instance.
    pub(super) said: Vec<(usize, String)>,
}

impl Chat {
    /// Three instances that have found each other, each in a namespace if there is a network.
    pub(super) fn start(net: Option<Net>, settings: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut chat = Self {
            fleet: Fleet::new(),
            net,
            settings: settings.iter().map(own).collect(),
            instances: Vec::new(),
            listen: Vec::new(),
            sockets: Default::default(),
            doors: Doors::default(),
            said: Vec::new(),
        };
        for at in 0..NAMES.len() {
            let seeds = chat.listen.clone();
            let (process, listen) = chat.spawn(at, &seeds);
            chat.instances.push(Some(process));
            chat.listen.push(listen);
        }
        (0..NAMES.len()).for_each(|at| chat.is_joined(at));
        chat
    }

    pub(super) fn net(&mut self) -> &mut Net {
        self.net.as_mut().expect("it was given one")
    }

    pub(super) fn signal(&self, at: usize, signal: Signal) {
        let instance = self.instances[at].as_ref();
        instance.expect("it runs").signal(signal);
    }

    pub(super) fn kill(&mut self, at: usize) {
        self.doors.lock()[at] = None;
        let process = self.instances[at].take().expect("it runs");
        process.signal(Signal::KILL);
        process.end(PATIENCE);
    }

    pub(super) fn restart(&mut self, at: usize) {
        let others = (0..NAMES.len()).filter(|other| *other != at);
        let seeds: Vec<String> = others.map(|other| self.listen[other].clone()).collect();
        let (process, listen) = self.spawn(at, &seeds);
        self.instances[at] = Some(process);
        self.listen[at] = listen;
        self.is_joined(at);
    }

    /// So many lines at each of these instances, in turn.
    pub(super) fn say_at(&mut self, instances: &[usize], lines: usize) {
        for _ in 0..lines {
            for &at in instances {
                let text = format!("{} at {}", self.said.len(), NAMES[at]);
                self.post(at, &text);
                self.said.push((at, text));
            }
        }
    }

    fn post(&self, at: usize, text: &str) {
        let door = self.doors.get(at).expect("it runs");
        let body = format!(r#"{{"from":"a test","text":"{text}"}}"#);
        let head = format!(
            "content-type: application/json\r\ncontent-length: {}",
            body.len()
        );
        let mut stream = door.ask("POST", ROOM, &head).expect("it serves");
        stream.write_all(body.as_bytes()).expect("it reads");
        let answer = read(stream).expect("it answers");
        assert_eq!(answer.split(' ').nth(1), Some("202"), "{answer}");
    }

    /// How many objects an instance has open on the channel of the room.
    pub(super) fn objects(&self, at: usize) -> u64 {
        let socket = self.sockets[at].join(format!("meshcast/{}.sock", NAMES[at]));
        let (status, body) = get_unix(&socket, "/v1/channels").expect("it serves");
        assert_eq!(status, 200, "{body}");
        let report: Json = serde_json::from_str(&body).expect("JSON");
        let mut channels = report["channels"].as_array().expect("a list").iter();
        let room = channels.find(|channel| channel["name"] == "chat/lobby");
        room.map_or(0, |room| room["objects"].as_u64().expect("a number"))
    }

    fn spawn(&mut self, at: usize, seeds: &[String]) -> (Process, String) {
        let (plain, private) = self.fleet.command(Program::Chat);
        self.sockets[at] = private;
        let mut command = match &self.net {
            None => plain,
            Some(net) => {
                let mut inside = net.command(at, Path::new(plain.get_program()));
                inside.env_clear();
                for (name, value) in plain.get_envs() {
                    inside.envs(value.map(|value| (name, value)));
                }
                inside
            }
        };
        let host = self.net.as_ref().map(|net| net.address(at).to_string());
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        configure(&mut command, at, &host, seeds);
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        let process = Process::start(command);
        let word = |prefix: &'static str| {
            let line = process.stdout_line(prefix, PATIENCE, |line| line.starts_with(prefix));
            line[prefix.len()..].to_owned()
        };
        let listen = word("listening on ");
        self.doors.lock()[at] = Some(Door {
            address: word("serving http://").parse().expect("an address"),
            inside: self.net.as_ref().map(|net| net.inside(at)),
        });
        (process, listen)
    }

    fn is_joined(&self, at: usize) {
        let door = self.doors.get(at).expect("it runs");
        eventually("it has found the others", BOUND, || {
            let answer = read(door.ask("GET", "/health", "").ok()?).ok()?;
            answer.contains(r#""members":2"#).then_some(())
        });
    }
}

fn configure(command: &mut Command, at: usize, host: &str, seeds: &[String]) {
    command
        .args(["--http", "127.0.0.1:0"])
        .env("MESHCAST_NAME", NAMES[at])
        .env("MESHCAST_REGION", &NAMES[at][..3])
        .env("MESHCAST_LISTEN", format!("{host}:0"))
        .env("MESHCAST_SEEDS", seeds.join(","));
}

impl Doors {
    fn lock(&self) -> MutexGuard<'_, [Option<Door>; 3]> {
        self.0.lock().expect("no holder panics")
    }

    pub(super) fn get(&self, at: usize) -> Option<Door> {
        self.lock()[at].clone()
    }
}

impl Door {
    /// A connection on which this was asked.
    pub(super) fn ask(&self, method: &str, path: &str, headers: &str) -> io::Result<TcpStream> {
        let mut stream = match &self.inside {
            Some(inside) => inside.connect(self.address)?,
            None => TcpStream::connect(self.address)?,
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        let headers = if headers.is_empty() {
            String::new()
        } else {
            format!("{headers}\r\n")
        };
        // Version 1.0, so that the body is whatever comes until the end.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: {}\r\n{headers}\r\n",
            self.address
        );
        stream.write_all(head.as_bytes())?;
        Ok(stream)
    }
}

fn read(mut stream: TcpStream) -> io::Result<String> {
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

pub(super) const NAMES: [&str; 3] = ["fra-1", "iad-1", "nrt-1"];
pub(super) const ROOM: &str = "/rooms/lobby";
