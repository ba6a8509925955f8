//! Members that hold the key and lie or flood: short versions of what `hostile all` shows.

use std::{path::Path, time::Duration};

use meshcast_tests::{
    hostile::{Assault, Attack},
    ordeal::{Ordeal, Outcome, quantile},
};

/// Puts a node through an attack. In any case honest members hear each other, and the node stays
/// within bounds.
async fn endured(attack: Attack, seconds: f64, most: u64) -> Outcome {
    let ordeal = Ordeal {
        assault: Assault {
            attack,
            seconds,
            // About as much work without optimisation as 16,384 are with it.
            logs: 2_048,
        },
        before: Duration::from_secs(1),
    };
    let program = Path::new(env!("CARGO_BIN_EXE_hostile"));
    let outcome = ordeal.run(program).await.expect("the node holds");
    println!("{outcome}");
    assert!(
        outcome.faults().is_empty(),
        "{:?}: {outcome}",
        outcome.faults()
    );
    assert!(outcome.grew() <= most * MIB, "{outcome}");
    outcome
}

const MIB: u64 = 1024 * 1024;

/// The memory of a node for honest members in a few seconds, and what it reads at once of another.
const LITTLE: u64 = 32;

/// As many logs as are invented, with twice what they are charged with; and little.
const LOGS: u64 = 2 * 6 + LITTLE;

/// The memory that values may take: history and a full ring, three that are being read, each with
/// twice of what it may take while a list grows; and little.
const VALUES: u64 = 64 + 8 + 3 * 2 * 64 + LITTLE;

/// The same by thirty, who open as many channels with long names, and what waits for each.
const THIRTY: u64 = 30 * (2 * 2 + 4) + LITTLE;

/// The bytes that a connection may hold unread; and little.
const UNREAD: u64 = 16 + LITTLE;

/// What 256 connections take that say nothing, at an eighth of a MiB each; and little.
const PLACES: u64 = 256 / 8 + LITTLE;

/// The bytes that wait for one that reads no gossip, and what another posts meanwhile: history, a
/// full ring, and each frame once more while it is read and read again; and little.
const GOSSIP: u64 = 2 * 64 + 64 + 8 + LITTLE;

/// Questions that are remembered and wait, and what the session holds that is not read; and little.
const ASKED: u64 = 8 + 16 + LITTLE;

macro_rules! endured {
    ($($(#[$attribute:meta])* $name:ident: $attack:ident, $seconds:literal, $most:ident;)*) => {$(
        $(#[$attribute])*
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            endured(Attack::$attack, $seconds, $most).await;
        }
    )*};
}

endured! {
    #[cfg_attr(debug_assertions, ignore = "the rate at which a node tells of logs is one for optimised code")]
    one_channel_opened_again_and_again: Opens, 6.0, LOGS;
    topics_with_names_of_a_megabyte: Topics, 5.0, LITTLE;
    senders_that_are_said_to_be_where_nobody_gets: Beyond, 8.0, LITTLE;
    a_holder_that_never_answers: Holder, 6.0, LITTLE;
    values_that_are_read_into_hundreds_of_megabytes: Bombs, 5.0, VALUES;
    addresses_where_nobody_answers: Addresses, 6.0, LITTLE;
    pings_by_somebody_who_does_not_read: Pings, 5.0, LITTLE;
    messages_without_a_byte_before_there_is_a_link: Empty, 5.0, LITTLE;
    three_hundred_identities_that_take_all_places: Places, 6.0, PLACES;
    a_connection_that_seems_long_and_is_flooded: Windows, 8.0, UNREAD;
    hundreds_of_streams_in_frames_of_a_byte: Crumbs, 6.0, LITTLE;
    questions_of_members_that_are_made_up: Questions, 8.0, ASKED;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_again_and_again_what_cannot_be_is_throttled_then_cut_off_and_named() {
    let outcome = endured(Attack::Impossible, 8.0, LITTLE).await;
    assert!(
        outcome.names("impossible-0", "throttled for impossible"),
        "{outcome}"
    );
    assert!(
        outcome.names("impossible-0", "cut for impossible"),
        "{outcome}"
    );
    assert!(outcome.report.ended > 0, "its connection ended: {outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_what_nobody_can_read_is_cut_off_and_named() {
    let outcome = endured(Attack::Garbage, 6.0, LITTLE).await;
    assert!(
        outcome.names("garbage-0", "cut for unreadable"),
        "{outcome}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_that_others_are_present_without_their_signature_is_cut_off_and_named() {
    let outcome = endured(Attack::Ghosts, 6.0, LITTLE).await;
    assert!(outcome.names("ghosts-0", "cut for forged"), "{outcome}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_changes_its_presence_without_a_pause_takes_little() {
    endured(Attack::Moods, 6.0, LITTLE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_no_gossip_is_given_no_more_than_its_share() {
    let outcome = endured(Attack::Deaf, 15.0, GOSSIP).await;
    // The amount that comes to wait in that time depends on the machine; that it is charged does
    // not.
    let (charged, who) = &outcome.charged;
    assert!(
        *charged as u64 > 8 * MIB && who.starts_with("deaf"),
        "{outcome}"
    );
}

/// Messages of many are taken in by turns, and posts of honest members go through in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_identities_with_the_same_invented_logs() {
    let outcome = endured(Attack::Invented, 6.0, THIRTY).await;
    if !cfg!(debug_assertions) {
        let during = quantile(&outcome.waits[1], 0.99);
        assert!(during <= Duration::from_secs(2), "{outcome}");
    }
}
