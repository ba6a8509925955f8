use std::collections::BTreeSet;

use super::*;

fn place(name: &str, open: bool, senders: Value, messages: Value) -> Place {
    let node = serde_json::json!({"schema": "node/v1", "node": {
        "name": name, "region": name, "peer_id": format!("id of {name}"), "pid": 1,
        "started_at": "", "listen_addresses": [], "version": "", "peers": 0, "channels": 1}});
    let trace = serde_json::json!({"schema": "trace/v1", "channel": "earth", "open": open,
        "senders": senders, "messages": messages, "left_out": 0});
    Place {
        node: serde_json::from_value(node).expect("a node"),
        trace: serde_json::from_value(trace).expect("a trace"),
    }
}

fn sender(highest: u64, delivered: Option<u64>, oldest: Option<u64>) -> Value {
    serde_json::json!([{"name": "fra", "region": "fra", "peer_id": "id of fra",
        "highest_seq": highest, "delivered_seq": delivered, "oldest_seq": oldest}])
}

fn message(seq: u64, received: &str, via: &str, peer: Option<&str>) -> Value {
    serde_json::json!({"sender": "id of fra", "name": "fra", "region": "fra", "seq": seq,
        "last_seq": seq, "posted_at": "2026-01-31T00:00:01.000Z", "received_at": received,
        "via": via, "peer": peer, "bytes": 6, "data": "hello"})
}

fn args(text: &[&str]) -> Trace {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        trace: Trace,
    }
    let words = ["trace", "earth"].iter().chain(text);
    <Line as clap::Parser>::try_parse_from(words)
        .expect("a line")
        .trace
}

#[test]
fn each_node_says_how_it_has_a_message_or_how_it_lacks_it() {
    let local = message(4, "2026-01-31T00:00:01.000Z", "local", None);
    let gossip = message(4, "2026-01-31T00:00:01.045Z", "gossip", Some("id of fra"));
    let repair = message(4, "2026-01-31T00:00:09.000Z", "repair", Some("id of iad"));
    let none = || serde_json::json!([]);
    let places = [
        place(
            "fra",
            true,
            sender(4, Some(4), Some(1)),
            serde_json::json!([local]),
        ),
        place(
            "iad",
            true,
            sender(4, Some(4), Some(1)),
            serde_json::json!([gossip]),
        ),
        place(
            "nrt",
            true,
            sender(4, Some(2), Some(1)),
            serde_json::json!([repair]),
        ),
        place("gru", true, sender(4, Some(3), Some(1)), none()),
        place("jnb", true, sender(3, Some(3), Some(1)), none()),
        place("lhr", true, sender(4, Some(4), Some(1)), none()),
        place("syd", true, sender(5, Some(5), Some(5)), none()),
        place("yyz", true, none(), none()),
        place("ams", false, none(), none()),
    ];
    let args = args(&["fra:4"]);
    let report = Report::new(&args, &places, vec![]);
    let states: Vec<_> = report.messages[0]
        .at
        .iter()
        .map(|at| (at.node.as_str(), at.state))
        .collect();
    let wanted = [
        ("fra", "delivered"),
        ("iad", "delivered"),
        ("nrt", "waiting"),
        ("gru", "fetching"),
        ("jnb", "not_heard"),
        ("lhr", "missed"),
        ("syd", "not_kept"),
        ("yyz", "not_heard"),
    ];
    assert_eq!(states, wanted);
    assert_eq!(report.not_open, ["ams"]);
    assert_eq!(report.verdict(&args), Ok(Exit::Failed));
    let shown = report.human(Palette::PLAIN);
    assert_eq!(
        shown.lines().take(5).collect::<Vec<_>>(),
        [
            "fra:4  00:00:01.000  hello",
            "  fra  fra     local",
            "  iad  iad     gossip      +45.0 ms  its sender",
            "  nrt  nrt     repair      +8000 ms  iad; waits for an earlier one",
            "  gru  gru     ! lacks it            fetches it",
        ]
    );
    assert!(shown.ends_with("not open at ams\n"), "{shown}");
}

#[test]
fn a_message_that_all_have_is_no_finding_and_one_nobody_keeps_is_a_failure() {
    let local = message(4, "2026-01-31T00:00:01.000Z", "local", None);
    let has = [place(
        "fra",
        true,
        sender(4, Some(4), Some(1)),
        serde_json::json!([local]),
    )];
    let wanted = args(&["fra:4"]);
    assert_eq!(
        Report::new(&wanted, &has, vec![]).verdict(&wanted),
        Ok(Exit::Ok)
    );
    let silent = vec!["iad".to_owned()];
    let partial = Report::new(&wanted, &has, silent).verdict(&wanted);
    assert_eq!(partial, Ok(Exit::Partial));
    let nothing = [place(
        "fra",
        true,
        sender(4, Some(4), Some(1)),
        serde_json::json!([]),
    )];
    let failure = Report::new(&wanted, &nothing, vec![]).verdict(&wanted);
    assert!(failure.is_err_and(|it| it.message.contains("message 4 of fra on earth")));
}

#[test]
fn a_channel_that_nobody_has_open_is_a_failure_that_says_so() {
    let none = || serde_json::json!([]);
    let closed = [place("fra", false, none(), none())];
    for line in [&[][..], &["fra:4"]] {
        let wanted = args(line);
        let failure = Report::new(&wanted, &closed, vec![]).verdict(&wanted);
        let failure = failure.expect_err("nobody has it open");
        assert_eq!(failure.exit, Exit::Failed);
        assert_eq!(failure.message, "no node here has \"earth\" open");
    }
    // It was open, and some of it is still there.
    let gossip = message(4, "2026-01-31T00:00:01.045Z", "gossip", Some("id of fra"));
    let kept = serde_json::json!([gossip]);
    let kept = [place("iad", false, sender(4, Some(4), Some(1)), kept)];
    let wanted = args(&[]);
    let report = Report::new(&wanted, &kept, vec![]);
    assert_eq!(report.verdict(&wanted), Ok(Exit::Failed));
    assert!(report.human(Palette::PLAIN).contains("still kept of it"));
}

#[test]
fn nothing_kept_is_told_from_nothing_posted() {
    let shown = |senders| {
        let places = [place("fra", true, senders, serde_json::json!([]))];
        let report = Report::new(&args(&[]), &places, vec![]);
        assert_eq!(report.verdict(&args(&[])), Ok(Exit::Ok));
        report.human(Palette::PLAIN)
    };
    assert_eq!(
        shown(serde_json::json!([])),
        "no node here has heard of a message on earth yet\n"
    );
    assert_eq!(
        shown(sender(4, None, None)),
        "there are messages on earth, and none has come yet\n"
    );
    assert_eq!(
        shown(sender(4, Some(4), None)),
        "nothing is kept any more of what came on earth\n"
    );
}

#[test]
fn a_sender_that_nobody_knows_is_told_from_a_message_that_nobody_keeps() {
    let none = || serde_json::json!([]);
    let wanted = args(&["foo:1"]);
    let report = Report::new(&wanted, &[place("fra", true, none(), none())], vec![]);
    let failure = report.verdict(&wanted).expect_err("nobody of that name");
    assert_eq!(
        failure.message,
        "no sender named \"foo\" is known here on earth"
    );
}

#[test]
fn a_node_of_another_mesh_lacks_nothing() {
    let none = || serde_json::json!([]);
    let local = message(4, "2026-01-31T00:00:01.000Z", "local", None);
    let known = || sender(4, Some(4), Some(1));
    let of = |mesh: &str, mut place: Place| {
        place.node.node.mesh = mesh.into();
        place
    };
    let mut places = vec![
        of(
            "aa",
            place("fra", true, known(), serde_json::json!([local])),
        ),
        of("aa", place("iad", false, none(), none())),
        of("bb", place("lax", true, none(), none())),
        of("bb", place("sea", false, none(), none())),
    ];
    for wanted in [args(&["fra:4"]), args(&[])] {
        let report = Report::new(&wanted, &places, vec![]);
        assert_eq!(report.verdict(&wanted), Ok(Exit::Ok));
        assert_eq!(report.messages[0].at.len(), 1);
        assert_eq!(report.nodes, ["fra"]);
        assert_eq!(report.not_open, ["iad"]);
    }
    // Both have a sender, and each is judged by its own mesh.
    let mut theirs = message(1, "2026-01-31T00:00:02.000Z", "local", None);
    theirs["sender"] = "id of lax".into();
    places[2] = of(
        "bb",
        place("lax", true, known(), serde_json::json!([theirs])),
    );
    let report = Report::new(&args(&[]), &places, vec![]);
    let at = report.messages.iter().map(|it| (it.seq, &it.at[..]));
    let at: Vec<_> = at.map(|(seq, at)| (seq, at.len(), &*at[0].node)).collect();
    assert_eq!(at, [(1, 1, "lax"), (4, 1, "fra")]);
}

#[test]
fn a_message_is_named_by_its_sender_and_number() {
    let parsed = "a:b:7".parse();
    let (name, seq) = ("a:b".to_owned(), 7);
    assert_eq!(parsed, Ok(Wanted { name, seq }));
    for wrong in ["7", "fra-1", "fra-1:", "fra-1:0", ":7", "fra-1:x"] {
        assert!(wrong.parse::<Wanted>().is_err(), "{wrong}");
    }
}

/// Messages of several processes of one name are told apart by their ids.
#[test]
fn what_is_in_several_nodes_is_one_message() {
    let local = message(1, "2026-01-31T00:00:01.000Z", "local", None);
    let gossip = message(1, "2026-01-31T00:00:01.045Z", "gossip", None);
    let places = [
        place(
            "fra",
            true,
            sender(1, Some(1), Some(1)),
            serde_json::json!([local]),
        ),
        place(
            "iad",
            true,
            sender(1, Some(1), Some(1)),
            serde_json::json!([gossip]),
        ),
    ];
    let report = Report::new(&args(&[]), &places, vec![]);
    let ids: BTreeSet<_> = report
        .messages
        .iter()
        .map(|it| (&it.sender, it.seq))
        .collect();
    assert_eq!((ids.len(), report.messages.len()), (1, 1));
    assert_eq!(report.messages[0].at[1].from("id of fra"), "another member");
}
