//! A node that nobody is connected to, and what its log says of that.

use std::{
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::harness::{Fleet, PATIENCE, Signal};

/// So often a seed is dialled before it is looked at what was said of it.
const TRIES: usize = 4;

/// Somebody takes the connections of a node at the address of its seed, and hangs up: for as long
/// as it takes to be called alone, a minute. Then a member comes there.
#[test]
fn a_node_says_once_that_it_is_alone_and_once_a_change_how_its_seed_is_doing() {
    let fleet = Fleet::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("bound");
    let (tries, seed) = (
        Arc::new(AtomicUsize::new(0)),
        format!("/ip4/127.0.0.1/tcp/{}", at.port()),
    );
    let (counted, over) = (Arc::clone(&tries), Arc::new(AtomicUsize::new(0)));
    let ends = Arc::clone(&over);
    let hanging_up = thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream.expect("a connection"));
            if ends.load(Ordering::SeqCst) > 0 {
                return;
            }
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let alone = fleet.earth(&[&seed]);
    let is_alone = |line: &str| line.contains("alone: no member has been connected for long");
    let a_minute = Duration::from_secs(60);
    alone
        .process
        .stderr_line("it is alone", 1, a_minute + 2 * PATIENCE, is_alone);
    assert!(tries.load(Ordering::SeqCst) >= TRIES, "{tries:?}");

    over.store(1, Ordering::SeqCst);
    drop(TcpStream::connect(at).expect("it listens"));
    hanging_up.join().expect("no panic");
    let _member = fleet.earth_with(&[], |command| {
        command.args(["--listen", &seed]);
    });
    let is_over = |line: &str| line.contains("no longer alone");
    alone
        .process
        .stderr_line("it is over", 1, 2 * PATIENCE, is_over);
    alone.process.signal(Signal::TERM);
    let (status, _, log) = alone.process.end(PATIENCE);
    assert_eq!(status.code(), Some(0), "{log}");
    let said = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    for once in [
        "alone: no member has been connected for long",
        "no longer alone",
        "seed cannot be reached",
        "seed connected to",
    ] {
        assert_eq!(said(once), 1, "{once}:\n{log}");
    }
}
