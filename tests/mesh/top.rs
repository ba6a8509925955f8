//! `meshcast top`, in a terminal and out of it.

use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session, Signal, Terminal};

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
