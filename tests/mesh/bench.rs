//! `meshcast bench`: few messages, so that it takes no time.

use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session, Terminal, new_key};

#[test]
fn a_bench_counts_what_each_region_hears_and_how_soon() {
    let session = Session::new();
    let _up = session.up_and_converged();
    for rate in ["500", "max"] {
        let report = session.json(&[
            "bench",
            "--count",
            "1000",
            "--duration",
            "25s",
            "--rate",
            rate,
            "--size",
            "200",
            "--node",
            "fra-1",
        ]);
        assert_eq!(report["schema"], "bench/v1");
        assert_eq!(
            (
                &report["node"],
                &report["posted"],
                &report["heard"],
                &report["lost"]
            ),
            (&"fra-1".into(), &1000.into(), &2000.into(), &0.into()),
            "{report}"
        );
        let asked = rate.parse::<u64>().map_or(Json::Null, Json::from);
        assert_eq!(report["asked_per_s"], asked);
        let regions = report["regions"].as_array().expect("a list");
        let names: Vec<_> = regions.iter().map(|it| &it["region"]).collect();
        assert_eq!(names, ["iad", "nrt"]);
        for region in regions {
            // As far as Frankfurt is from Virginia, one way, and less than an hour.
            let (p50, max) = (region["p50_us"].as_u64(), region["max_us"].as_u64());
            assert!(p50 >= Some(40_000) && p50 <= max, "{region}");
            assert_eq!(region["disordered"], 0, "{region}");
        }
    }
    // One message is no rate; ten take as long as they are to take, however soon they are out.
    let one = session.json(&["bench", "--count", "1"]);
    assert_eq!(
        (&one["posted"], &one["posted_per_s"], &one["heard_per_s"]),
        (&1.into(), &Json::Null, &Json::Null),
        "{one}"
    );
    let ten = session.json(&["bench", "--count", "10", "--rate", "10"]);
    assert!(ten["posted_per_s"].as_f64() <= Some(10.0), "{ten}");
    let bench = ["bench", "--count", "10", "--node", "nrt-1"];
    let (status, stdout, stderr) = session.run(&bench);
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stdout.starts_with("nrt-1 posted 10 messages of 256 B on bench in "),
        "{stdout}"
    );
    let row = stdout.lines().find(|line| line.starts_with("fra"));
    let cells: Vec<_> = row.expect("a row").split_whitespace().collect();
    assert_eq!(cells[1..4], ["1", "10", "0"], "{stdout}");
}

#[test]
fn a_bench_with_nobody_to_listen_says_so() {
    let session = Session::new();
    assert_eq!(session.run(&["bench"]).0, 3, "no node at all");
    let mut command = session.command(&["node", "--name", "fra-1", "--json"]);
    command.env("MESHCAST_KEY", new_key().to_secret_text());
    command.args(["--listen", "127.0.0.1:0"]);
    let node = Process::start(command);
    node.stdout_line("it listens", PATIENCE, |line| line.contains("listening"));
    let (status, stdout, stderr) = session.run(&["bench"]);
    assert_eq!((status, stdout.as_str()), (1, ""), "{stderr}");
    assert!(
        stderr.contains("no other node of the mesh of fra-1"),
        "{stderr}"
    );
    for nonsense in [
        ["--rate", "0"],
        ["--size", "1"],
        ["--count", "0"],
        ["--duration", "0"],
    ] {
        let [option, value] = nonsense;
        assert_eq!(session.run(&["bench", option, value]).0, 2, "{option}");
    }
}

#[test]
fn at_a_terminal_a_bar_shows_how_far_it_is() {
    let session = Session::new();
    let _up = session.up_and_converged();
    let bench = ["bench", "--count", "200", "--rate", "50", "--node", "fra-1"];
    let terminal = Terminal::start(session.command(&bench));
    terminal.shows(" of 200: ");
    terminal.shows("heard by all");
    // It makes room for the report.
    terminal.shows("LOST");
    assert!(
        !terminal.text().contains(" of 200: "),
        "{}",
        terminal.text()
    );
    assert_eq!(terminal.ends(), Some(0));
}
