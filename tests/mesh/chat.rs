//! The example `chat` as three processes that break, and clients that go on at another one where
//! they were: each hears every line once and in order, or is told exactly which it will not get.

mod client;
mod instance;

use std::{
    env,
    io::{self, Write},
    time::{Duration, Instant},
};

use meshcast_tests::fleet::Net;

use self::{client::Client, instance::Chat};
use crate::harness::{Signal, eventually};

#[test]
fn a_room_is_a_channel_of_an_instance_while_somebody_there_is_in_it() {
    let mut chat = Chat::start(None, &[]);
    let (mut stays, mut leaves) = (Client::at(&chat, 0), Client::at(&chat, 0));
    assert_eq!([0, 1, 2].map(|at| chat.objects(at)), [2, 0, 0]);
    // A person who says something need not be in the room.
    chat.say_at(&[1], 1);
    stays.hears(&chat, &ALL);
    leaves.leave();
    eventually("one is in it", BOUND, || {
        (chat.objects(0) == 1).then_some(())
    });
    stays.leave();
    eventually("nobody is in it", BOUND, || {
        (0..3).all(|at| chat.objects(at) == 0).then_some(())
    });
    // Somebody who comes then is shown what was said.
    Client::at(&chat, 2).hears(&chat, &ALL);
}

#[test]
fn a_client_whose_instance_is_killed_goes_on_at_another_and_misses_nothing() {
    let mut chat = Chat::start(None, &[]);
    let clients = [0, 1, 2].map(|at| Client::at(&chat, at));
    chat.say_at(&ALL, 10);
    clients.iter().for_each(|client| client.hears(&chat, &ALL));

    chat.kill(0);
    chat.say_at(&[1, 2], 20);
    clients.iter().for_each(|client| client.hears(&chat, &ALL));
    assert_ne!(clients[0].places(), ["fra-1"]);

    // It is there again, as another process, and knows nothing but what the others tell it.
    chat.restart(0);
    clients[1].go_to(0);
    chat.say_at(&ALL, 10);
    for client in &clients {
        client.hears(&chat, &ALL);
        client.missed_nothing();
    }
    assert_eq!(clients[1].places(), ["iad-1", "fra-1"]);
}

#[test]
fn a_client_whose_instance_stands_still_goes_on_at_another_and_misses_nothing() {
    let mut chat = Chat::start(None, &[]);
    let clients = [0, 1, 1, 2].map(|at| Client::at(&chat, at));
    chat.say_at(&ALL, 10);
    clients.iter().for_each(|client| client.hears(&chat, &ALL));

    let (stopped, heard) = (Instant::now(), clients[1].heard());
    chat.signal(1, Signal::STOP);
    chat.say_at(&[0, 2], 20);
    // One goes where something is heard, one stays.
    clients[1].go_to(2);
    for client in [&clients[0], &clients[1], &clients[3]] {
        client.hears(&chat, &ALL);
    }
    lasts(stopped, 8);
    chat.signal(1, Signal::CONT);

    // A client that goes on at that instance, where it was, gets the same.
    let late = Client::after(&chat, 1, heard);
    chat.say_at(&ALL, 10);
    for client in clients.iter().chain([&late]) {
        client.hears(&chat, &ALL);
        client.missed_nothing();
    }
    assert_eq!(clients[1].places(), ["iad-1", "nrt-1"]);
    assert_eq!(clients[2].places(), ["iad-1"]);
}

/// For 6 s, or as many as `MESHCAST_TEST_CUT` says.
#[test]
fn a_client_of_an_instance_that_is_cut_off_goes_on_at_another_and_misses_nothing() {
    let net = match Net::new(3) {
        Ok(net) => net,
        Err(why) => {
            // Not by `eprintln`, which is shown of tests that fail alone.
            let _ = writeln!(io::stderr(), "skipped: {why}");
            return;
        }
    };
    let seconds = env::var("MESHCAST_TEST_CUT").map_or(6, |text| text.parse().expect("seconds"));
    let mut chat = Chat::start(Some(net), &[]);
    let clients = [0, 0, 1, 2].map(|at| Client::at(&chat, at));
    chat.say_at(&ALL, 10);
    clients.iter().for_each(|client| client.hears(&chat, &ALL));

    let cut = Instant::now();
    chat.net().detach(0).expect("it is our network");
    chat.say_at(&ALL, 20);
    // One goes where the others are, one stays.
    clients[0].go_to(2);
    clients[0].hears(&chat, &[1, 2]);
    lasts(cut, seconds);
    chat.say_at(&ALL, 10);
    clients[1].hears(&chat, &[0]);
    assert!(!clients[1].has_all(&chat, &[1, 2]), "nothing gets through");
    chat.net().heal().expect("it is our network");
    for client in &clients {
        client.hears(&chat, &ALL);
        client.missed_nothing();
    }
    assert_eq!(clients[0].places(), ["fra-1", "nrt-1"]);
    assert_eq!(clients[1].places(), ["fra-1"]);
}

#[test]
fn a_client_that_comes_back_too_late_is_told_exactly_what_it_will_not_get() {
    let mut chat = Chat::start(None, &[("MESHCAST_HISTORY_AGE", "2s")]);
    let (stays, mut leaves) = (Client::at(&chat, 0), Client::at(&chat, 1));
    chat.say_at(&ALL, 10);
    leaves.hears(&chat, &ALL);
    leaves.leave();
    let before = leaves.heard();
    chat.say_at(&[0, 2], 10);
    stays.hears(&chat, &ALL);

    // Sooner or later nobody keeps any of it, and those that come are told so.
    let late = eventually("nobody keeps any of it", BOUND, || {
        let late = Client::after(&chat, 1, before.clone());
        chat.say_at(&[0, 2], 1);
        // All is accounted for: what came, and what was told not to come.
        stays.hears(&chat, &ALL);
        let due = stays.heard().due().clone();
        eventually("it is where others are", BOUND, || {
            (*late.heard().due() == due).then_some(())
        });
        let heard = late.heard();
        (heard.missed() >= 20).then_some(heard)
    });
    assert!(late.wrong().is_empty(), "{late:?}");
    stays.missed_nothing();
}

#[test]
fn a_newcomer_is_shown_the_last_fifty_lines_of_all_that_was_said() {
    let mut chat = Chat::start(None, &[]);
    let stays = Client::at(&chat, 0);
    for (instances, lines) in [(&ALL[..], 10), (&[2], 20), (&ALL, 12)] {
        chat.say_at(instances, lines);
    }
    stays.hears(&chat, &ALL);
    let newcomer = Client::at(&chat, 1);
    // The order is decided by when each instance sent them, and a busy one sends late. Of each
    // instance they are its last.
    let heard = newcomer.heard();
    assert_eq!((heard.begun_with(), heard.lines()), (Some(50), 50));
    assert_eq!(heard.due(), stays.heard().due());
}

/// Waits until it lasts for so long.
fn lasts(since: Instant, seconds: u64) {
    eventually(
        "it lasts",
        BOUND.max(Duration::from_secs(2 * seconds)),
        || (since.elapsed() >= Duration::from_secs(seconds)).then_some(()),
    );
}

const ALL: [usize; 3] = [0, 1, 2];

/// Far over what anything takes here.
const BOUND: Duration = Duration::from_secs(60);
