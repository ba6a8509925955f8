//! Each cause by what a node tells of it. That nodes do tell it when it happens is shown with real
//! ones in `tests/mesh/doctor.rs`.

use serde_json::{Value, json};

use super::*;
use crate::{
    client::Client,
    faults,
    survey::{Answer, Reports, Surveyed},
};

const NOW: Duration = Duration::from_secs(1_767_225_600);

/// What a node tells, with this changed.
fn reports(name: &str, change: impl FnOnce(&mut Value)) -> Reports {
    let mut all = json!({
        "node": {"schema": "node/v1", "node": {
            "name": name, "region": name.split('-').next(), "peer_id": format!("id of {name}"),
            "mesh": "aa", "pid": std::process::id(), "started_at": "", "listen_addresses": [],
            "version": "0.1.0", "peers": 0, "channels": 1},
            "counters": {"memory_bytes": 1, "history_bytes": 1},
            "protocol": 6,
            "limits": {"memory_bytes": 1000, "history_bytes": 1000, "outbox_bytes": 1000,
                       "unread_bytes": 1000},
            "refusals": []},
        "peers": {"schema": "peers/v1", "peers": [], "seeds": []},
        "channels": {"schema": "channels/v1", "channels": []},
    });
    change(&mut all);
    let mut take = |part: &str| all[part].take();
    Reports {
        node: serde_json::from_value(take("node")).expect("a node"),
        peers: serde_json::from_value(take("peers")).expect("peers"),
        channels: serde_json::from_value(take("channels")).expect("channels"),
    }
}

fn peer(name: &str) -> Value {
    json!({"name": name, "region": name.split('-').next(), "peer_id": format!("id of {name}"),
        "addresses": [], "rtt_us": 312, "direction": "inbound", "connected_since": "",
        "shared_channels": 1, "clock_ahead_us": 1_000})
}

fn survey(answers: Vec<(&str, Answer)>) -> Survey {
    let nodes = answers.into_iter().map(|(name, answer)| Surveyed {
        client: Client::new(format!("/run/{name}.sock").into()),
        answer,
    });
    Survey {
        nodes: nodes.collect(),
        up: Up::None,
    }
}

fn of(all: Vec<Reports>) -> Report {
    let answers = all.iter().map(|it| it.name().to_owned());
    let names: Vec<String> = answers.collect();
    let answers = names.iter().zip(all);
    let answers = answers.map(|(name, it)| (name.as_str(), Answer::Reports(Box::new(it))));
    Report::new(&survey(answers.collect()), NOW)
}

fn of_one(change: impl FnOnce(&mut Value)) -> Report {
    of(vec![reports("fra-1", change)])
}

/// The one finding: which check it is of, how bad it is, and what it says.
fn found(report: &Report) -> (&'static str, State, &str) {
    let mut found = report.checks.iter().filter(|it| it.state.is_finding());
    let one = found.next().expect("something is found");
    assert_eq!(found.next(), None, "one cause, one finding");
    assert!(one.help.is_some(), "it says what helps");
    (one.check, one.state, &one.reason)
}

#[track_caller]
fn assert_found(report: &Report, check: &str, state: State, said: &str) {
    let (of, is, reason) = found(report);
    assert_eq!((of, is), (check, state), "{reason}");
    assert!(reason.contains(said), "{reason}");
}

#[test]
fn nothing_is_found_in_a_mesh_that_is_well_and_each_cause_is_looked_at() {
    let all = ["fra-1", "iad-1", "nrt-1"];
    let nodes = all.iter().map(|name| {
        reports(name, |it| {
            let others = all.iter().filter(|other| *other != name);
            it["peers"]["peers"] = others.map(|other| peer(other)).collect();
            it["peers"]["seeds"] = json!([{"address": "/ip4/127.0.0.1/tcp/1", "state": "connected",
                "since": "", "reason": null, "name": "fra-1", "peer_id": "12D3"}]);
        })
    });
    let report = of(nodes.collect());
    assert_eq!(report.findings, 0, "{report:?}");
    let checked: Vec<_> = report.checks.iter().map(|it| it.check).collect();
    assert_eq!(checked, checks::NAMES);
    let others = report.checks.iter().filter(|it| it.state != State::Pass);
    let others: Vec<_> = others.map(|it| (it.check, it.state)).collect();
    assert_eq!(others, [("faults", State::Skip)], "{report:?}");
    let human = report.human(Palette::PLAIN, None);
    assert!(human.ends_with("nothing found\n"));
}

#[test]
fn a_node_that_runs_without_its_admin_socket_is_told() {
    let mut survey = survey(vec![]);
    let node = |name: &str, state| faults::NodeStatus {
        name: name.into(),
        region: "fra".into(),
        state,
        peer_id: None,
    };
    survey.up = Up::Says(faults::Status {
        schema: "faults/v1".into(),
        nodes: vec![node("fra-1", faults::State::Up)],
        cuts: vec![],
        around: vec![],
    });
    let report = Report::new(&survey, NOW);
    assert_found(&report, "admin", State::Fail, "its admin socket is gone");
    if let Up::Says(up) = &mut survey.up {
        up.nodes = vec![node("fra-1", faults::State::Down)];
    }
    let report = Report::new(&survey, NOW);
    assert!(!report.checks.iter().any(|it| it.reason.contains("is gone")));
}

#[test]
fn a_seed_that_does_not_answer_is_named_with_the_reason() {
    for (state, refusal, said) in [
        ("refused", None, "refused"),
        ("unresolved", None, "no such name"),
        ("timed_out", None, "timeout"),
        ("not_admitted", Some("other_mesh"), "wrong key"),
        ("not_admitted", Some("version"), "versions apart"),
        ("not_admitted", Some("clock"), "not valid at this time"),
        ("not_admitted", Some("full"), "no room"),
        ("not_admitted", Some("what comes later"), "not admitted"),
        ("unreachable", None, "no way"),
    ] {
        let seed = json!([{"address": "/dns/a.example/tcp/1", "state": state, "since": "",
            "reason": "so it is", "refusal": refusal, "name": null, "peer_id": null}]);
        let report = of_one(|it| it["peers"]["seeds"] = seed);
        assert_found(&report, "seeds", State::Fail, said);
        assert!(found(&report).2.contains("/dns/a.example/tcp/1"));
        assert!(found(&report).2.contains("so it is"));
    }
}

#[test]
fn one_seed_of_several_that_does_not_answer_is_a_warning_and_one_on_its_way_is_none() {
    let seed = |state: &str| {
        json!({"address": format!("/ip4/127.0.0.1/tcp/{}", state.len()), "state": state,
            "since": "", "reason": null, "name": null, "peer_id": null})
    };
    let both = json!([seed("connected"), seed("refused")]);
    let report = of_one(|it| it["peers"]["seeds"] = both);
    assert_found(&report, "seeds", State::Warn, "refused");
    for fine in ["dialling", "resolving", "ourselves"] {
        assert_eq!(
            of_one(|it| it["peers"]["seeds"] = json!([seed(fine)])).findings,
            0
        );
    }
}

#[test]
fn what_does_not_fit_a_terminal_goes_on_below_where_it_began() {
    let seed = json!([{"address": "/dns/a.example/tcp/1", "state": "refused", "since": "",
        "reason": "connection refused", "name": null, "peer_id": null}]);
    let report = of_one(|it| it["peers"]["seeds"] = seed);
    let human = report.human(Palette::PLAIN, Some(60));
    assert!(
        human.lines().all(|line| line.chars().count() <= 60),
        "{human}"
    );
    let lines: Vec<_> = human
        .lines()
        .skip_while(|it| !it.contains("seeds"))
        .collect();
    assert_eq!(
        lines[0],
        "✗ FAIL  seeds        fra-1: seed /dns/a.example/tcp/1:"
    );
    assert_eq!(
        lines[1],
        "                     refused: the machine is there, and"
    );
    let wide = report.human(Palette::PLAIN, None);
    assert!(
        wide.contains("tcp/1: refused: the machine is there, and nobody listens"),
        "{wide}"
    );
}

fn refusal(kind: &str, times: u64, at: &str) -> Value {
    json!([{"kind": kind, "reason": "as they say", "address": "/ip4/10.0.0.1/tcp/1",
        "direction": "inbound", "at": at, "times": times,
        "lately": {"address": "/ip4/10.0.0.2/tcp/2", "times": times}}])
}

/// A minute before [`NOW`].
const BEFORE: &str = "2025-12-31T23:59:00.000Z";

#[test]
fn who_was_refused_lately_is_told_by_why() {
    for (kind, times, check, state) in [
        ("other_mesh", 1, "key", State::Fail),
        ("credential", 1, "key", State::Fail),
        ("hung_up", 5, "key", State::Warn),
        ("version", 1, "versions", State::Fail),
        ("clock", 1, "clock", State::Fail),
    ] {
        let report = of_one(|it| it["node"]["refusals"] = refusal(kind, times, BEFORE));
        assert_found(&report, check, state, "as they say");
        let long_ago = refusal(kind, times, "2025-12-31T00:00:00.000Z");
        assert_eq!(of_one(|it| it["node"]["refusals"] = long_ago).findings, 0);
    }
    for (kind, times) in [
        ("hung_up", 4),
        ("timeout", 100),
        ("foreign", 100),
        ("full", 100),
    ] {
        let report = of_one(|it| it["node"]["refusals"] = refusal(kind, times, BEFORE));
        assert_eq!(
            report.findings, 0,
            "{kind}: any program that knocks does so"
        );
    }
}

#[test]
fn who_hangs_up_counts_by_place_and_lately() {
    let long = refusal("hung_up", 1_000, BEFORE);
    let of = |lately: Value| {
        let mut refusals = long.clone();
        refusals[0]["lately"] = lately;
        of_one(|it| it["node"]["refusals"] = refusals)
    };
    let few = json!({"address": "/ip4/10.0.0.2/tcp/2", "times": 4});
    assert_eq!(of(few).findings, 0, "others long ago say nothing");
    assert_eq!(
        of(Value::Null).findings,
        0,
        "a node of before does not tell"
    );
    let many = json!({"address": "/ip4/10.0.0.2/tcp/2", "times": 5});
    let said = "as they say 5 times in 5 min, last from /ip4/10.0.0.2/tcp/2";
    assert_found(&of(many), "key", State::Warn, said);
}

#[test]
fn a_meshcast_up_that_cannot_tell_is_not_called_none() {
    for (up, said) in [
        (Up::None, "no `meshcast up` is running"),
        (Up::Several, "several `meshcast up` are running"),
        (Up::Silent, "does not answer"),
    ] {
        let mut survey = survey(vec![]);
        survey.up = up;
        let report = Report::new(&survey, NOW);
        let mut checks = report.checks.iter();
        let faults = checks
            .find(|it| it.check == "faults")
            .expect("it is checked");
        assert_eq!(faults.state, State::Skip);
        assert!(faults.reason.contains(said), "{}", faults.reason);
    }
}

/// What a `meshcast up` of two nodes says.
fn up(state: &str, cuts: &Value) -> faults::Status {
    let node =
        |name: &str, state: &str| json!({"name": name, "region": &name[..3], "state": state});
    let status = json!({"schema": "faults/v1", "around": [], "cuts": cuts,
        "nodes": [node("fra-1", "up"), node("iad-1", state)]});
    serde_json::from_value(status).expect("a status")
}

#[test]
fn what_somebody_broke_on_purpose_is_told_with_what_mends_it() {
    let of = |up, seeds: Value| {
        let fra = reports("fra-1", |it| it["peers"]["seeds"] = seeds);
        let mut survey = survey(vec![("fra-1", Answer::Reports(Box::new(fra)))]);
        survey.up = Up::Says(up);
        Report::new(&survey, NOW)
    };
    let found = |report: &Report| -> Vec<String> {
        let found = report.checks.iter().filter(|it| it.state.is_finding());
        let said = found.map(|it| {
            let node = it.node.as_deref().unwrap_or("all");
            let help = it.help.as_deref().unwrap_or_default();
            format!("{} {node}: {}: {help}", it.check, it.reason)
        });
        said.collect()
    };
    let well = found(&of(up("up", &json!([])), json!([])));
    assert!(!well.iter().any(|it| it.starts_with("faults")), "{well:?}");
    for (state, said) in [
        (
            "down",
            "faults iad-1: it is down: `meshcast fault restart iad-1`",
        ),
        (
            "paused",
            "faults iad-1: it is paused: `meshcast fault resume iad-1`",
        ),
    ] {
        let mut status = up(state, &json!([]));
        status.nodes[0].state = faults::State::Up;
        let found = found(&of(status, json!([])));
        assert!(found.contains(&said.to_owned()), "{found:?}");
    }
    let cuts = json!([{"from": "fra", "to": "iad"}, {"from": "iad", "to": "fra"},
        {"from": "iad", "to": "nrt"}]);
    let silent = json!([{"address": "/ip4/127.0.0.1/tcp/1", "state": "timed_out", "since": "",
        "reason": null, "name": "iad-1", "peer_id": null}]);
    let found = found(&of(up("up", &cuts), silent));
    let is =
        "`meshcast fault` has cut fra from iad, the way from iad to nrt: `meshcast fault heal`";
    assert!(found.contains(&format!("faults all: {is}")), "{found:?}");
    let seed = found.iter().find(|it| it.starts_with("seeds fra-1: "));
    assert!(seed.is_some_and(|it| it.ends_with(is)), "{found:?}");
}

#[test]
fn seeds_that_are_not_there_yet_are_being_dialled() {
    let seed = |state: &str| {
        json!({"address": "/ip4/127.0.0.1/tcp/1", "state": state, "since": "", "reason": null,
            "name": null, "peer_id": null})
    };
    let seeds = ["connected", "dialling", "resolving"].map(seed);
    let report = of_one(|it| it["peers"]["seeds"] = json!(seeds));
    let seeds = report.checks.iter().find(|it| it.check == "seeds");
    assert_eq!(
        seeds.map(|it| it.reason.as_str()),
        Some("1 of 3 connected, 2 are being dialled")
    );
}

#[test]
fn a_clock_that_is_off_is_told_and_how_far() {
    for (ahead, state, said) in [
        (8_500_000_i64, State::Warn, "iad-1 is 8.5 s ahead of"),
        (-8_500_000, State::Warn, "iad-1 is 8.5 s behind"),
        (3_600_000_000, State::Fail, "3600.0 s ahead of"),
    ] {
        let report = of_one(|it| {
            let mut iad = peer("iad-1");
            iad["clock_ahead_us"] = json!(ahead);
            it["peers"]["peers"] = json!([iad]);
        });
        assert_found(&report, "clock", state, said);
    }
}

#[test]
fn versions_apart_are_told() {
    let old = reports("iad-1", |it| it["node"]["node"]["version"] = json!("0.0.9"));
    let report = of(vec![reports("fra-1", |_| {}), old]);
    let versions = report.checks.iter().find(|it| it.check == "versions");
    let versions = versions.expect("it was checked");
    assert_eq!(versions.state, State::Warn);
    assert_eq!(
        versions.reason,
        "versions apart: 0.0.9 at iad-1; 0.1.0 at fra-1"
    );
}

#[test]
fn one_link_between_regions_is_told_and_so_is_a_part_that_is_cut_off() {
    let linked = |name: &str, others: &[&str]| {
        let peers: Value = others.iter().map(|other| peer(other)).collect();
        reports(name, |it| it["peers"]["peers"] = peers)
    };
    let chain = vec![
        linked("fra-1", &["fra-2", "iad-1"]),
        linked("fra-2", &["fra-1"]),
        linked("iad-1", &["fra-1"]),
    ];
    let said = "one link alone, fra-1 – iad-1, holds iad to the rest";
    assert_found(&of(chain), "links", State::Warn, said);
    let parted = vec![
        linked("fra-1", &["fra-2"]),
        linked("fra-2", &["fra-1"]),
        linked("iad-1", &[]),
    ];
    assert_found(
        &of(parted),
        "links",
        State::Fail,
        "cut off from the rest: iad-1",
    );
}

#[test]
fn a_mute_link_is_told() {
    let report = of_one(|it| {
        let mut iad = peer("iad-1");
        iad["mute"] = json!(3);
        it["peers"]["peers"] = json!([iad]);
    });
    assert_found(
        &report,
        "mute",
        State::Warn,
        "the gossip of iad-1 did not arrive",
    );
}

#[test]
fn queues_under_pressure_are_told_with_their_channel() {
    for (queue, waits, state, said) in [
        (
            "outbox_bytes",
            500,
            State::Warn,
            "to be sent on earth, 50 %",
        ),
        (
            "unread_bytes",
            999,
            State::Warn,
            "to be read on earth, 99 %",
        ),
        (
            "unread_bytes",
            1_000,
            State::Fail,
            "to be read on earth, 100 %",
        ),
    ] {
        let report = of_one(|it| {
            let mut earth = json!({"name": "earth", "objects": 1, "subscribers": [], "mesh": [],
                "senders": [], "outbox_bytes": 0, "unread_bytes": 0});
            earth[queue] = json!(waits);
            it["channels"]["channels"] = json!([earth]);
        });
        assert_found(&report, "queues", state, said);
    }
}

#[test]
fn memory_and_a_history_that_are_full_are_told() {
    for (gauge, check) in [("memory_bytes", "memory"), ("history_bytes", "history")] {
        let report = of_one(|it| it["node"]["counters"][gauge] = json!(950));
        assert_found(&report, check, State::Warn, "");
        assert_eq!(
            of_one(|it| it["node"]["counters"][gauge] = json!(940)).findings,
            0
        );
    }
}

#[test]
fn sockets_that_nobody_answers_at_are_told() {
    let well = || ("fra-1", Answer::Reports(Box::new(reports("fra-1", |_| {}))));
    let dead = Report::new(&survey(vec![well(), ("iad-1", Answer::Dead)]), NOW);
    assert_found(&dead, "admin", State::Warn, "nobody listens");
    let silent = Report::new(&survey(vec![well(), ("iad-1", Answer::Silent)]), NOW);
    assert_found(&silent, "admin", State::Fail, "does not answer");
    let alone = Report::new(&survey(vec![("iad-1", Answer::Silent)]), NOW);
    assert_found(&alone, "admin", State::Fail, "does not answer");
    let skipped = alone.checks.iter().filter(|it| it.state == State::Skip);
    assert_eq!(
        skipped.count(),
        checks::NAMES.len() - 1,
        "skipped is not passed"
    );
}

/// A node of before tells no limits and no clocks.
#[test]
fn what_a_node_does_not_tell_is_skipped_and_says_why() {
    let report = of_one(|it| {
        it["node"]["limits"] = json!({});
    });
    for check in ["seeds", "clock", "links", "memory", "history", "queues"] {
        let it = report
            .checks
            .iter()
            .find(|it| it.check == check)
            .expect(check);
        assert_eq!(it.state, State::Skip, "{it:?}");
        assert!(!it.reason.is_empty());
    }
}

#[test]
fn the_json_is_the_documented_one() {
    let well = ("fra-1", Answer::Reports(Box::new(reports("fra-1", |_| {}))));
    let report = Report::new(&survey(vec![well, ("iad-1", Answer::Dead)]), NOW);
    let shown = serde_json::to_value(&report).expect("plain");
    assert_eq!(shown["schema"], "doctor/v1");
    assert_eq!(
        (&shown["nodes"], &shown["findings"]),
        (&json!(["fra-1"]), &json!(1))
    );
    assert_eq!(
        shown["checks"][0],
        json!({"check": "admin", "state": "warn", "node": "iad-1",
            "reason": "it has ended without tidying up: nobody listens at its socket",
            "help": "start it again, or remove /run/iad-1.sock"})
    );
    assert_eq!(shown["checks"][1]["check"], "faults");
    assert_eq!(shown["checks"][1]["state"], "skip");
    assert_eq!(shown["checks"][1]["node"], Value::Null);
}
