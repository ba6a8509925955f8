use meshcast_sim::{Digest, Since};

use super::*;

/// A log, built line by line.
#[derive(Default)]
struct Log(Vec<Entry>);

impl Log {
    fn line(mut self, secs: u64, process: &str, event: Event) -> Self {
        self.0.push(Entry {
            t: At::from_secs(secs),
            process: Name::from(process),
            event,
        });
        self
    }

    fn open(self, secs: u64, process: &str, object: u64) -> Self {
        let (channel, since) = (Name::from("earth"), Since::Now);
        self.line(
            secs,
            process,
            Event::Open {
                object,
                channel,
                since,
            },
        )
    }

    fn close(self, secs: u64, process: &str, object: u64) -> Self {
        let channel = Name::from("earth");
        self.line(secs, process, Event::Close { object, channel })
    }

    fn post(self, secs: u64, process: &str, number: u64) -> Self {
        let (channel, seqs) = (Name::from("earth"), Span::new(number, number));
        let (object, hash) = (1, Digest::of(b""));
        self.line(
            secs,
            process,
            Event::Post {
                object,
                channel,
                seqs,
                hash,
            },
        )
    }

    fn came(self, secs: u64, process: &str, object: u64, sender: &str, number: u64) -> Self {
        let (channel, seqs) = (Name::from("earth"), Span::new(number, number));
        let (sender, hash) = (Name::from(sender), Digest::of(b""));
        self.line(
            secs,
            process,
            Event::Delivery {
                object,
                channel,
                sender,
                seqs,
                hash,
            },
        )
    }

    fn gap(self, secs: u64, process: &str, object: u64, sender: &str, missed: Span) -> Self {
        let (channel, sender, kept) = (Name::from("earth"), Name::from(sender), None);
        self.line(
            secs,
            process,
            Event::Gap {
                object,
                channel,
                sender,
                missed,
                kept,
            },
        )
    }
}

#[test]
fn a_message_that_neither_came_nor_was_reported_is_lost() {
    let log = Log::default().open(0, "a", 1).open(0, "b", 1);
    let log = (1..=5).fold(log, |log, number| log.post(1, "a", number));
    let log = log
        .came(2, "b", 1, "a", 1)
        .gap(3, "b", 1, "a", Span::new(2, 3));
    let balance = Account::of(&log.0).balance();
    assert_eq!((balance.due, balance.delivered, balance.told), (5, 1, 2));
    assert_eq!(balance.lost, [(Name::from("b"), Name::from("a"), 4, 2)]);
    assert_eq!(balance.lost(), 2);
}

#[test]
fn what_was_posted_before_an_object_was_open_or_just_before_it_closed_is_not_due() {
    let log = Log::default()
        .open(0, "a", 1)
        .post(1, "a", 1)
        .open(2, "b", 1);
    let log = log.post(3, "a", 2).post(20, "a", 3).close(22, "b", 1);
    let balance = Account::of(&log.0).balance();
    assert_eq!((balance.due, balance.lost()), (1, 1));
}

#[test]
fn what_was_posted_before_a_process_that_stops_was_told_to_is_due_and_not_what_came_while_it_stops()
{
    let log = Log::default().open(0, "a", 1).open(0, "b", 1);
    // Told to stop at 16 at the earliest.
    let log = log.post(11, "a", 1).post(12, "a", 2).close(22, "b", 1);
    let balance = Account::of(&log.0).balance();
    assert_eq!(balance.lost, [(Name::from("b"), Name::from("a"), 1, 1)]);
}

#[test]
fn an_object_that_follows_another_owes_what_is_posted_from_then_on() {
    let log = Log::default()
        .open(0, "a", 1)
        .open(0, "b", 1)
        .post(1, "a", 1);
    let log = log
        .came(1, "b", 1, "a", 1)
        .close(12, "b", 1)
        .open(13, "b", 2);
    let log = log
        .post(14, "a", 2)
        .came(15, "b", 2, "a", 2)
        .post(16, "a", 3);
    let balance = Account::of(&log.0).balance();
    assert_eq!((balance.due, balance.delivered, balance.lost()), (3, 2, 1));
}

#[test]
fn of_a_process_that_was_killed_only_that_is_due_which_a_survivor_has() {
    let log = Log::default()
        .open(0, "a", 1)
        .open(0, "b", 1)
        .open(0, "c", 1);
    let log = log.post(1, "a", 1).post(2, "a", 2).came(2, "b", 1, "a", 1);
    let killed = log.line(3, "a", Event::End);
    let balance = Account::of(&killed.0).balance();
    assert_eq!((balance.due, balance.delivered), (2, 1));
    assert_eq!(balance.lost, [(Name::from("c"), Name::from("a"), 1, 1)]);
}

#[test]
fn a_process_that_closed_its_channel_before_it_ended_was_not_killed() {
    let log = Log::default()
        .open(0, "a", 1)
        .open(0, "b", 1)
        .post(1, "a", 1);
    let ended = log.close(2, "a", 1).line(3, "a", Event::End);
    assert_eq!(Account::of(&ended.0).balance().lost(), 1);
}

#[test]
fn a_process_is_in_touch_when_it_has_heard_the_first_that_each_posted_since() {
    let log = Log::default()
        .open(0, "a", 1)
        .open(0, "b", 1)
        .post(1, "a", 1);
    let log = log
        .open(2, "c", 1)
        .post(3, "a", 2)
        .post(4, "b", 1)
        .post(5, "a", 3);
    let some = log.came(6, "c", 1, "a", 3);
    let others = ["a", "b"].map(Name::from).into();
    assert_eq!(
        Account::of(&some.0).in_touch(&Name::from("c"), &others),
        None
    );
    let all = some.came(7, "c", 1, "a", 2).came(8, "c", 1, "b", 1);
    let since = Account::of(&all.0).in_touch(&Name::from("c"), &others);
    assert_eq!(since, Some(At::from_secs(8)));
}

#[test]
fn times_are_read_off_by_rank() {
    let times: Times = (1..=100).rev().map(Duration::from_millis).collect();
    let at = |part| times.at(part).as_millis();
    assert_eq!((at(0.0), at(0.5), at(0.99), at(1.0)), (1, 50, 99, 100));
    assert_eq!(Times::default().at(0.99), Duration::ZERO);
}
