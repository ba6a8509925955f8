//! What a user does on one machine.

use std::{fs, net::SocketAddr, process::Command};

use serde_json::Value as Json;
use tempfile::TempDir;

use super::{PATIENCE, Process, Program, command, eventually};

/// A user's session: where sockets are.
pub(crate) struct Session(TempDir);

impl Session {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    pub(crate) const fn directory(&self) -> &TempDir {
        &self.0
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = command(Program::Meshcast);
        command
            .args(arguments)
            .env("XDG_RUNTIME_DIR", self.0.path())
            .env("TMPDIR", self.0.path());
        command
    }

    /// Status, stdout and stderr.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let (status, stdout, stderr) = Process::start(self.command(arguments)).end(PATIENCE);
        (status.code().expect("no signal ended it"), stdout, stderr)
    }

    /// What it prints with `--json` when all is well.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Json {
        let (status, stdout, stderr) = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(status, 0, "{stderr}");
        serde_json::from_str(&stdout).expect("JSON on stdout")
    }

    /// `meshcast up` and the addresses of its services.
    pub(crate) fn up(&self) -> (Process, Vec<SocketAddr>) {
        let up = Process::start(self.command(&["up", "--http-base", "0", "--json"]));
        let report = up.stdout_line("the report", PATIENCE, |line| line.starts_with('{'));
        let report: Json = serde_json::from_str(&report).expect("JSON");
        let nodes = report["nodes"].as_array().expect("a list");
        let address = |node: &Json| node["url"].as_str()?.strip_prefix("http://")?.parse().ok();
        let addresses: Vec<_> = nodes.iter().filter_map(address).collect();
        assert_eq!(addresses.len(), 3, "{report}");
        (up, addresses)
    }

    /// The same, once each node knows of the others' channel.
    pub(crate) fn up_and_converged(&self) -> (Process, Vec<SocketAddr>) {
        let started = self.up();
        for node in ["fra-1", "iad-1", "nrt-1"] {
            eventually("all know each other's channel", PATIENCE, || {
                let report = self.json(&["channels", "--node", node]);
                let subscribers = report["channels"][0]["subscribers"].as_array();
                (subscribers?.len() == 2).then_some(())
            });
        }
        started
    }

    pub(crate) fn sockets(&self) -> Vec<String> {
        let Ok(files) = fs::read_dir(self.0.path().join("meshcast")) else {
            return Vec::new();
        };
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        let mut sockets: Vec<_> = names.filter(|name| name.ends_with(".sock")).collect();
        sockets.sort();
        sockets
    }
}
