//! `meshcast top`, in a terminal and out of it.

use std::{
    fs::File,
    io::{Read, Write},
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session, Signal, eventually};

/// A terminal with a program in it.
struct Terminal {
    keys: File,
    process: Process,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    fn start(mut command: Command) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let ours = openpt(flags).expect("a terminal");
        grantpt(&ours).expect("a terminal");
        unlockpt(&ours).expect("a terminal");
        let name = ptsname(&ours, Vec::new()).expect("it has a name");
        let theirs = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty());
        let theirs = File::from(theirs.expect("it was just made"));
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&theirs, size).expect("a terminal");
        command.env("TERM", "xterm-256color");
        let process = Process::start_in(command, &theirs);
        let keys = File::from(ours);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (shown, mut from) = (Arc::clone(&screen), keys.try_clone().expect("a file"));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error means that nobody has it open any more.
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                shown
                    .lock()
                    .expect("no holder panics")
                    .process(&bytes[..read]);
            }
        });
        // Held, so that what it was left as can be looked at when the program has ended.
        std::mem::forget(theirs);
        Self {
            keys,
            process,
            screen,
        }
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        eventually(text, PATIENCE, || self.text().contains(text).then_some(()));
    }

    fn text(&self) -> String {
        let screen = self.screen.lock().expect("no holder panics");
        screen.screen().contents()
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it is open");
    }

    /// Whether what is typed is shown and can be edited, as a shell has it.
    fn is_plain(&self) -> bool {
        let modes = tcgetattr(&self.keys).expect("a terminal").local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// Its status, once it has left the terminal as it was.
    #[track_caller]
    fn ends(mut self) -> Option<i32> {
        let ended = std::mem::replace(&mut self.process, Process::start(Command::new("true")));
        let (status, _, _) = ended.end(PATIENCE);
        eventually("the screen is the one from before", PATIENCE, || {
            let screen = self.screen.lock().expect("no holder panics");
            let screen = screen.screen();
            (!screen.alternate_screen() && !screen.hide_cursor()).then_some(())
        });
        assert!(self.is_plain(), "{}", self.text());
        status.code()
    }
}

#[test]
fn it_shows_nodes_and_leaves_the_terminal_as_it_was() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let mut top = Terminal::start(session.command(&["top"]));
    for text in ["nrt-1", "members", "REPAIRED"] {
        top.shows(text);
    }
    assert!(!top.is_plain());
    top.press("2");
    top.shows("RTT MAX");
    top.press("\r");
    top.shows("slow ones first");
    top.press("?");
    top.shows("look into it");
    top.press("xq");
    assert_eq!(top.ends(), Some(0));
}

#[test]
fn however_it_is_ended_the_terminal_is_as_it_was() {
    let session = Session::new();
    for signal in [
        Some(Signal::TERM),
        Some(Signal::INT),
        Some(Signal::HUP),
        None,
    ] {
        let mut top = Terminal::start(session.command(&["top"]));
        top.shows("no node is running here yet");
        match signal {
            Some(signal) => top.process.signal(signal),
            None => top.press("\x03"),
        }
        assert_eq!(top.ends(), Some(130), "{signal:?}");
    }
}

#[test]
fn once_prints_tables_with_rates_for_people_or_programs() {
    let session = Session::new();
    let (status, stdout, stderr) = session.run(&["top", "--once"]);
    assert_eq!((status, stdout.as_str()), (3, ""), "{stderr}");
    let (status, _, stderr) = session.run(&["top"]);
    assert_eq!(status, 2, "{stderr}");
    assert!(stderr.contains("stdout is no terminal"), "{stderr}");
    let _up = session.up_and_converged();
    let (status, stdout, stderr) = session.run(&["top", "--once"]);
    assert_eq!(status, 0, "{stderr}");
    let heads = stdout
        .lines()
        .filter(|line| line.contains("QUEUE") || line.contains("RTT"));
    assert_eq!(heads.count(), 3, "{stdout}");
    let once = session.json(&["top", "--once"]);
    assert_eq!(once["schema"], "top/v1");
    assert_eq!(once["totals"]["members"], 3, "{once}");
    for (list, names) in [
        ("nodes", &["fra-1", "iad-1", "nrt-1"][..]),
        ("channels", &["earth"]),
    ] {
        let rows = once[list].as_array().expect("a list");
        let shown: Vec<_> = rows.iter().map(|row| &row["name"]).collect();
        assert_eq!(shown, names, "{once}");
    }
    let node = &once["nodes"][0];
    assert_eq!((&node["state"], &node["links"]), (&"up".into(), &2.into()));
    assert!(node["counts"]["posted_per_s"].is_number(), "{node}");
    assert_eq!(once["links"][0]["links"], 1, "{once}");
}

#[test]
fn a_line_a_round_for_programs() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let top = Process::start(session.command(&["top", "--json"]));
    // The first has no rates, the others have.
    let line = top.stdout_line("a second round", PATIENCE, |line| {
        line.contains("posted_per_s\":0.0")
    });
    let line: Json = serde_json::from_str(&line).expect("JSON");
    assert_eq!(line["schema"], "top/v1");
    top.signal(Signal::INT);
    assert_eq!(top.end(PATIENCE).0.code(), Some(130));
}
