//! Every violation planted once, into a log that is clean without it.

use std::time::Duration;

use super::*;
use crate::{
    at::At,
    log::{Digest, Event, Name, Since, Span, read_log, write_log},
};

mod beginnings_and_gaps;

/// A log that is put together line by line.
#[derive(Clone, Default)]
struct Story(Vec<Entry>);

impl Story {
    /// Three processes with one object each on the channel, all there from the beginning.
    fn new() -> Self {
        let mut story = Self::default();
        for process in ["a", "b", "c"] {
            story.tell(0, process, Event::Start);
            story.open(0, process, Since::Now);
        }
        story
    }

    fn tell(&mut self, ms: u64, process: &str, event: Event) {
        self.0.push(Entry {
            t: at(ms),
            process: process.into(),
            event,
        });
    }

    fn open(&mut self, ms: u64, process: &str, since: Since) {
        let (object, channel) = (1, "earth".into());
        self.tell(
            ms,
            process,
            Event::Open {
                object,
                channel,
                since,
            },
        );
    }

    fn post(&mut self, ms: u64, process: &str, first: u64, last: u64) {
        let (seqs, hash) = (Span::new(first, last), hash(process, first));
        let event = Event::Post {
            object: 1,
            channel: "earth".into(),
            seqs,
            hash,
        };
        self.tell(ms, process, event);
    }

    fn deliver(&mut self, ms: u64, process: &str, sender: &str, first: u64, last: u64) {
        let (seqs, hash) = (Span::new(first, last), hash(sender, first));
        let (channel, sender) = ("earth".into(), sender.into());
        self.tell(
            ms,
            process,
            Event::Delivery {
                object: 1,
                channel,
                sender,
                seqs,
                hash,
            },
        );
    }

    fn gap(&mut self, ms: u64, process: &str, sender: &str, first: u64, last: u64) {
        self.gap_kept(
            ms,
            process,
            sender,
            Span::new(first, last),
            Some(Vec::new()),
        );
    }

    fn gap_kept(
        &mut self,
        ms: u64,
        process: &str,
        sender: &str,
        missed: Span,
        kept: Option<Vec<(Name, Span)>>,
    ) {
        let (object, channel, sender) = (1, "earth".into(), sender.into());
        self.tell(
            ms,
            process,
            Event::Gap {
                object,
                channel,
                sender,
                missed,
                kept,
            },
        );
    }

    fn calm(&mut self, ms: u64, groups: &[&[&str]]) {
        let names = |group: &&[&str]| group.iter().map(|name| Name::from(*name)).collect();
        let groups = groups.iter().map(names).collect();
        self.tell(ms, "test", Event::Calm { groups });
    }

    /// Everything is calm from the beginning and over at 100 s.
    fn end(mut self) -> Self {
        if !self
            .0
            .iter()
            .any(|entry| matches!(entry.event, Event::Calm { .. }))
        {
            self.calm(0, &[&["a", "b", "c"]]);
        }
        self.tell(100_000, "test", Event::Finish);
        self
    }

    fn violations(&self) -> Vec<Violation> {
        self.judged_by(rules())
    }

    fn judged_by(&self, rules: Rules) -> Vec<Violation> {
        Checker::new(rules).check(&self.0).violations
    }

    fn only(&self) -> Violation {
        let violations = self.violations();
        assert_eq!(violations.len(), 1, "{violations:#?}");
        violations[0].clone()
    }

    /// a posts 1, 2–3, 4 and both others get them.
    fn told() -> Self {
        let mut story = Self::new();
        for (ms, (first, last)) in (1000..).zip([(1, 1), (2, 3), (4, 4)]) {
            story.post(ms, "a", first, last);
            story.deliver(ms + 50, "b", "a", first, last);
            story.deliver(ms + 60, "c", "a", first, last);
        }
        story
    }
}

fn rules() -> Rules {
    Rules {
        bound: Some(Duration::from_secs(10)),
        held_cap: Some(1000),
        history_cap: Some(2000),
        ..Rules::default()
    }
}

fn at(ms: u64) -> At {
    At::from_micros(ms * 1000)
}

fn hash(sender: &str, first: u64) -> Digest {
    Digest::of(format!("{sender} {first}").as_bytes())
}

#[test]
fn a_clean_log_is_clean() {
    let story = Story::told().end();
    let verdict = Checker::new(rules()).check(&story.0);
    assert_eq!(verdict.violations, []);
    assert_eq!((verdict.posts, verdict.deliveries, verdict.gaps), (3, 6, 0));
    assert_eq!(verdict.latency(0.5), Duration::from_millis(50));
    assert_eq!(verdict.latency(1.0), Duration::from_millis(60));
}

#[test]
fn an_empty_log_is_clean() {
    let verdict = Checker::default().check(&[]);
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.latency(0.99), Duration::ZERO);
}

#[test]
fn logs_survive_being_written_and_read() {
    let mut story = Story::told();
    story.gap_kept(
        3000,
        "b",
        "a",
        Span::new(5, 6),
        Some(vec![("c".into(), Span::new(5, 5))]),
    );
    story.gap_kept(3000, "c", "a", Span::new(5, 6), None);
    story.open(3000, "b", Since::For(60_000_000));
    story.tell(
        4000,
        "a",
        Event::Sample {
            held: 1,
            history: 2,
        },
    );
    story.tell(
        4000,
        "a",
        Event::Close {
            object: 1,
            channel: "earth".into(),
        },
    );
    let story = story.end();
    let mut bytes = Vec::new();
    write_log(&mut bytes, &story.0).expect("a vector takes all");
    assert_eq!(read_log(&bytes[..]).expect("it was written so"), story.0);
    assert!(
        String::from_utf8(bytes)
            .expect("JSON is text")
            .contains(r#""event":"delivery""#)
    );
    assert!(
        read_log(&b"\n{}\n"[..])
            .expect_err("the second line is none")
            .to_string()
            .contains("line 2")
    );
}

#[test]
fn a_value_nobody_posted() {
    let mut story = Story::told();
    story.deliver(2000, "b", "a", 9, 9);
    assert!(matches!(story.end().only(), Violation::NeverPosted { .. }));
}

#[test]
fn a_value_with_other_bytes() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 5);
    story.deliver(2050, "b", "a", 5, 5);
    let (channel, sender, seqs) = ("earth".into(), "a".into(), Span::new(5, 5));
    let hash = hash("a", 4);
    story.tell(
        2050,
        "c",
        Event::Delivery {
            object: 1,
            channel,
            sender,
            seqs,
            hash,
        },
    );
    assert!(matches!(story.end().only(), Violation::Altered { .. }));
}

#[test]
fn half_a_value() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 6);
    story.deliver(2050, "b", "a", 5, 6);
    story.deliver(2050, "c", "a", 5, 5);
    story.gap(2050, "c", "a", 6, 6);
    assert!(matches!(story.end().only(), Violation::Torn { .. }));
}

#[test]
fn a_value_before_it_was_posted() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 5);
    story.deliver(1999, "b", "a", 5, 5);
    story.deliver(2001, "c", "a", 5, 5);
    assert!(matches!(story.end().only(), Violation::BeforePosted { .. }));
}

#[test]
fn a_delivery_to_a_closed_object() {
    let mut story = Story::told();
    story.tell(
        2000,
        "b",
        Event::Close {
            object: 1,
            channel: "earth".into(),
        },
    );
    story.post(2000, "a", 5, 5);
    story.deliver(2050, "b", "a", 5, 5);
    story.deliver(2050, "c", "a", 5, 5);
    assert!(matches!(story.end().only(), Violation::NotOpen { .. }));
}

#[test]
fn a_value_twice() {
    let mut story = Story::told();
    story.deliver(2000, "b", "a", 2, 3);
    assert!(matches!(
        story.end().only(),
        Violation::Duplicate {
            seqs: Span { first: 2, .. },
            ..
        }
    ));
}

#[test]
fn a_value_that_comes_back_to_who_posted_it() {
    let mut story = Story::told();
    story.deliver(2000, "a", "a", 1, 1);
    assert!(
        story
            .end()
            .violations()
            .iter()
            .any(|found| matches!(found, Violation::Echo { .. }))
    );
}

#[test]
fn values_in_the_wrong_order_are_no_silent_gap() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 5);
    story.post(2001, "a", 6, 6);
    story.deliver(2050, "b", "a", 5, 5);
    story.deliver(2051, "b", "a", 6, 6);
    story.deliver(2050, "c", "a", 6, 6);
    story.deliver(2051, "c", "a", 5, 5);
    assert!(matches!(
        story.end().only(),
        Violation::OutOfOrder { next: 7, .. }
    ));
}

#[test]
fn a_silent_gap() {
    let mut story = Story::told();
    for n in 5..8 {
        story.post(2000, "a", n, n);
        story.deliver(2050, "b", "a", n, n);
    }
    story.deliver(2050, "c", "a", 7, 7);
    assert!(matches!(
        story.end().only(),
        Violation::SilentGap {
            missing: Span { first: 5, last: 6 },
            ..
        }
    ));
}

#[test]
fn a_lost_tail() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 6);
    story.deliver(2050, "b", "a", 5, 6);
    let Violation::Missing {
        missing, object, ..
    } = story.end().only()
    else {
        panic!("it is missing")
    };
    assert_eq!((missing, object.process.as_str()), (Span::new(5, 6), "c"));
}

#[test]
fn a_dead_sender_leaves_the_same_prefix_everywhere() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 5);
    story.post(2001, "a", 6, 6);
    story.deliver(2050, "b", "a", 5, 5);
    story.deliver(2051, "b", "a", 6, 6);
    story.deliver(2050, "c", "a", 5, 5);
    story.tell(2100, "a", Event::End);
    story.calm(3000, &[&["b", "c"]]);
    let mut clean = story.clone();
    assert!(matches!(
        story.end().only(),
        Violation::Missing {
            missing: Span { first: 6, last: 6 },
            ..
        }
    ));
    clean.deliver(4000, "c", "a", 6, 6);
    assert_eq!(clean.end().violations(), []);
}

#[test]
fn posts_that_died_with_their_sender_are_nobodys_fault() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 5);
    story.tell(2000, "a", Event::End);
    story.calm(3000, &[&["b", "c"]]);
    assert_eq!(story.end().violations(), []);
}

#[test]
fn who_cannot_be_reached_until_the_end_is_not_judged_by_what_it_lacks() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 5);
    story.deliver(2050, "b", "a", 5, 5);
    story.calm(3000, &[&["a", "b"], &["c"]]);
    assert_eq!(story.end().violations(), []);
}
