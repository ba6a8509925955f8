//! The documented service, as processes.

use std::time::Duration;

use crate::harness::{Fleet, PATIENCE, Process, Program, Signal, converged, get, listed};

#[test]
fn a_message_sent_to_each_is_listed_by_all_three() {
    let earths = Fleet::new().earths::<3>();
    let sent: Vec<String> = (0..3).map(|i| format!("from-{i}")).collect();
    earths
        .iter()
        .zip(&sent)
        .for_each(|(earth, message)| earth.send(message));
    earths
        .iter()
        .for_each(|earth| listed(earth, &sent, Duration::from_secs(10)));
}

#[test]
fn one_sender_is_listed_in_its_order() {
    let earths = Fleet::new().earths::<2>();
    let sent: Vec<String> = (0..200).map(|i| format!("{i:03}")).collect();
    sent.iter().for_each(|message| earths[0].send(message));
    listed(&earths[1], &sent, Duration::from_secs(10));
    assert_eq!(earths[1].messages(), sent);
}

#[test]
fn the_mesh_outlives_its_seed() {
    let fleet = Fleet::new();
    let [seed, second, third] = fleet.earths::<3>();
    seed.process.signal(Signal::KILL);
    drop(seed);
    let fourth = fleet.earth(&[&third.listen]);
    let left = [&second, &third, &fourth];
    converged(&left);
    let sent: Vec<String> = (0..3).map(|i| format!("from-{i}")).collect();
    left.iter()
        .zip(&sent)
        .for_each(|(earth, message)| earth.send(message));
    left.iter()
        .for_each(|earth| listed(earth, &sent, Duration::from_secs(10)));
}

#[test]
fn another_key_is_refused_by_name_where_it_is_known() {
    let member = Fleet::new().earth(&[]);
    let stranger = Fleet::new().earth(&[&member.listen]);
    let refused = |line: &str| line.contains("not admitted") && line.contains("wrong MESHCAST_KEY");
    member.send("secret");
    // More than one attempt: it goes on knocking, in vain.
    stranger
        .process
        .stderr_line("refused", 3, PATIENCE, refused);
    // The other side sees only that somebody goes, and says no more.
    let closed =
        |line: &str| line.contains("not admitted") && line.contains("closed the connection");
    member.process.stderr_line("closed", 3, PATIENCE, closed);
    assert!(stranger.messages().is_empty());
    assert!(stranger.peers().is_empty() && member.peers().is_empty());
}

#[test]
fn the_service_answers_as_documented() {
    let earth = Fleet::new().earth(&[]);
    let ask = |path: &str| get(earth.http, path).expect("it serves");
    let not_provided = (400, "?message not provided".to_owned());
    assert_eq!(ask("/messages"), (200, "[]".to_owned()));
    assert_eq!(ask("/send"), not_provided);
    assert_eq!(ask("/send?massage=hello"), not_provided);
    for query in ["message=%ff", "%C3=1", "message=a&message=%ED%A0%80"] {
        let no_text = (400, "the query is no UTF-8".to_owned());
        assert_eq!(ask(&format!("/send?{query}")), no_text, "{query}");
    }
    assert_eq!(
        ask("/send?message=a%20%22b%22&message=c"),
        (200, "message sent".to_owned())
    );
    assert_eq!(
        ask("/send?message="),
        (200, "message sent".to_owned()),
        "an empty one"
    );
    assert_eq!(ask("/messages"), (200, r#"["a \"b\"",""]"#.to_owned()));
    assert_eq!(ask("/"), (404, "not found".to_owned()));
    assert_eq!(ask("/nothing?message=hello"), (404, "not found".to_owned()));
}

#[test]
fn the_list_forgets_the_oldest() {
    let earths = Fleet::new().earths::<2>();
    (0..1_003).for_each(|i| earths[0].send(&i.to_string()));
    let last: Vec<String> = (3..1_003).map(|i| i.to_string()).collect();
    earths
        .iter()
        .for_each(|earth| listed(earth, &last, Duration::from_secs(10)));
}

#[test]
fn without_a_key_nobody_listens_to_the_world() {
    let fleet = Fleet::new();
    let (mut command, _) = fleet.command(Program::Earth);
    command.env_remove("MESHCAST_KEY").args([
        "--http",
        "127.0.0.1:0",
        "--listen",
        "/ip4/0.0.0.0/tcp/0",
    ]);
    let (status, stdout, stderr) = Process::start(command).end(PATIENCE);
    assert_eq!(status.code(), Some(1));
    assert_eq!(stdout, "");
    assert!(stderr.contains("needs a mesh key"), "{stderr}");

    let alone = fleet.earth_with(&[], |command| {
        command.env_remove("MESHCAST_KEY");
    });
    let member = fleet.earth(&[&alone.listen]);
    member
        .process
        .stderr_line("refused", 1, PATIENCE, |line| line.contains("not admitted"));
    assert!(alone.peers().is_empty());
}
