//! The beginnings of streams, and the gaps in them.

use super::*;

#[test]
fn an_object_that_never_heard_of_a_sender() {
    let mut story = Story::new();
    story.post(1000, "a", 1, 1);
    story.deliver(1050, "b", "a", 1, 1);
    assert!(matches!(
        story.end().only(),
        Violation::Missing {
            missing: Span { first: 1, last: 1 },
            ..
        }
    ));
}

#[test]
fn an_object_that_begins_too_late() {
    let mut story = Story::new();
    story.post(1000, "a", 1, 1);
    story.post(1001, "a", 2, 2);
    story.deliver(1050, "b", "a", 1, 1);
    story.deliver(1050, "b", "a", 2, 2);
    story.deliver(1050, "c", "a", 2, 2);
    let Violation::LateStart { due, .. } = story.end().only() else {
        panic!("it starts late")
    };
    assert_eq!(due, Span::new(1, 1));
}

/// `d` opens at 50 s, after posts at 1 s, 40 s and 48 s, and before one at 51 s.
fn late_joiner(since: Since) -> Story {
    let mut story = Story::new();
    story.calm(0, &[&["a", "b", "c", "d"]]);
    for (n, ms) in [(1, 1000), (2, 40_000), (3, 48_000)] {
        story.post(ms, "a", n, n);
        story.deliver(ms + 10, "b", "a", n, n);
        story.deliver(ms + 10, "c", "a", n, n);
    }
    story.tell(50_000, "d", Event::Start);
    story.open(50_000, "d", since);
    story.post(51_000, "a", 4, 4);
    story.deliver(51_010, "b", "a", 4, 4);
    story.deliver(51_010, "c", "a", 4, 4);
    story
}

#[test]
fn a_late_joiner_begins_when_it_opens_or_a_little_before() {
    for from in 1..=5 {
        let mut story = late_joiner(Since::Now);
        (from..=4).for_each(|n| story.deliver(52_000, "d", "a", n, n));
        let violations = story.end().violations();
        match from {
            1 | 2 => assert!(
                matches!(violations[..], [Violation::EarlyStart { .. }]),
                "{violations:?}"
            ),
            3 | 4 => assert_eq!(violations, []),
            _ => assert!(
                matches!(violations[..], [Violation::Missing { .. }]),
                "{violations:?}"
            ),
        }
    }
}

#[test]
fn a_late_joiner_gets_the_history_it_asks_for() {
    for (since, first) in [
        (Since::For(15_000_000), 2),
        (Since::Last(2), 2),
        (Since::Last(9), 1),
    ] {
        for from in 1..=3 {
            let mut story = late_joiner(since);
            (from..=4).for_each(|n| story.deliver(52_000, "d", "a", n, n));
            let violations = story.end().violations();
            if from > first {
                assert!(
                    matches!(violations[..], [Violation::LateStart { .. }]),
                    "{from} {violations:?}"
                );
            } else if from < first && !matches!(since, Since::Last(_)) {
                assert!(
                    matches!(violations[..], [Violation::EarlyStart { .. }]),
                    "{from} {violations:?}"
                );
            } else if from == first {
                assert_eq!(violations, []);
            }
        }
    }
}

/// The last that it posted got nowhere: the last two that are known are one lower.
#[test]
fn a_late_joiner_gets_the_last_messages_that_anybody_has() {
    for (reached, is_clean) in [(false, true), (true, false)] {
        let mut story = Story::new();
        story.calm(0, &[&["a", "b", "c", "d"]]);
        for n in 1..=4 {
            story.post(1_000 * n, "a", n, n);
            for process in ["b", "c"].into_iter().filter(|_| n < 4 || reached) {
                story.deliver(1_000 * n + 10, process, "a", n, n);
            }
        }
        story.tell(4_100, "a", Event::End);
        story.tell(50_000, "d", Event::Start);
        story.open(50_000, "d", Since::Last(2));
        let last = if reached { 4 } else { 3 };
        (2..=last).for_each(|n| story.deliver(52_000, "d", "a", n, n));
        let violations = story.end().violations();
        assert_eq!(violations.is_empty(), is_clean, "{violations:?}");
    }
}

#[test]
fn a_gap_about_what_was_before_the_opening() {
    let mut story = late_joiner(Since::Now);
    story.gap(51_500, "d", "a", 1, 3);
    story.deliver(52_000, "d", "a", 4, 4);
    let Violation::GapTooWide { too_wide, .. } = story.end().only() else {
        panic!("it is too wide")
    };
    assert_eq!(too_wide, TooWide::NotDue(Span::new(1, 2)));
}

#[test]
fn a_gap_that_is_right() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 6);
    story.deliver(2050, "b", "a", 5, 6);
    story.gap(2060, "c", "a", 5, 6);
    story.post(3000, "a", 7, 7);
    story.deliver(3050, "b", "a", 7, 7);
    story.deliver(3050, "c", "a", 7, 7);
    assert_eq!(story.end().violations(), []);
}

#[test]
fn a_gap_about_what_somebody_still_has() {
    let kept = |kept| {
        let mut story = Story::told();
        story.post(2000, "a", 5, 6);
        story.deliver(2050, "b", "a", 5, 6);
        story.gap_kept(2060, "c", "a", Span::new(5, 6), kept);
        story.end()
    };
    let witness = |story: Story| match story.only() {
        Violation::NeedlessGap { witness, lost, .. } => (witness, lost),
        other => panic!("{other}"),
    };
    let five_and_six = Span::new(5, 6);
    assert_eq!(
        witness(kept(Some(vec![("b".into(), five_and_six)]))),
        ("b".into(), five_and_six)
    );
    assert_eq!(witness(kept(None)), ("a".into(), five_and_six));
    assert_eq!(
        kept(Some(vec![("b".into(), Span::new(1, 4))])).violations(),
        []
    );
    assert_eq!(
        kept(Some(vec![("z".into(), five_and_six)])).violations(),
        []
    );
    let evicting = Rules {
        evicting: true,
        ..rules()
    };
    assert_eq!(kept(None).judged_by(evicting), []);
}

#[test]
fn a_gap_about_what_is_past_retention() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 5);
    story.deliver(2050, "b", "a", 5, 5);
    story.gap_kept(95_000, "c", "a", Span::new(5, 5), None);
    let story = story.end();
    assert!(matches!(story.only(), Violation::NeedlessGap { .. }));
    let short = Rules {
        retention: Duration::from_secs(93),
        ..rules()
    };
    assert_eq!(story.judged_by(short), []);
}

#[test]
fn a_gap_that_is_too_wide() {
    let wide = |first, last| {
        let mut story = Story::told();
        story.post(2000, "a", 5, 6);
        story.deliver(2050, "b", "a", 5, 6);
        story.gap(2060, "c", "a", first, last);
        match story.end().only() {
            Violation::GapTooWide { too_wide, .. } => too_wide,
            other => panic!("{other}"),
        }
    };
    assert_eq!(wide(3, 6), TooWide::Delivered(Span::new(3, 4)));
    assert_eq!(wide(5, 8), TooWide::NeverPosted(Span::new(7, 8)));
}

#[test]
fn a_gap_told_twice_and_a_value_after_its_gap() {
    let mut story = Story::told();
    story.post(2000, "a", 5, 6);
    story.deliver(2050, "b", "a", 5, 6);
    story.gap(2060, "c", "a", 5, 6);
    let mut twice = story.clone();
    twice.gap(2070, "c", "a", 5, 6);
    let Violation::GapTooWide { too_wide, .. } = twice.end().only() else {
        panic!("told twice")
    };
    assert_eq!(too_wide, TooWide::Told(Span::new(5, 6)));
    story.deliver(2070, "c", "a", 5, 6);
    assert!(matches!(story.end().only(), Violation::AfterGap { .. }));
}

#[test]
fn memory_over_its_caps() {
    for (held, history) in [(1001, 0), (0, 2001)] {
        let mut story = Story::told();
        story.tell(
            2000,
            "b",
            Event::Sample {
                held: 1000,
                history: 2000,
            },
        );
        story.tell(2001, "b", Event::Sample { held, history });
        assert!(matches!(story.end().only(), Violation::OverCap { .. }));
    }
}

#[test]
fn a_delivery_that_takes_too_long() {
    let late = |ms| {
        let mut story = Story::told();
        story.post(2000, "a", 5, 5);
        story.deliver(2050, "b", "a", 5, 5);
        story.deliver(ms, "c", "a", 5, 5);
        story.calm(20_000, &[&["a", "b", "c"]]);
        story.end()
    };
    assert_eq!(late(30_000).violations(), []);
    assert!(matches!(late(30_001).only(), Violation::Late { .. }));
    let verdict = Checker::new(rules()).check(&late(29_000).0);
    assert_eq!(verdict.catch_up, Duration::from_secs(9));
}

#[test]
fn what_was_posted_just_before_the_end_may_be_on_its_way() {
    let mut story = Story::told();
    story.post(95_000, "a", 5, 5);
    assert_eq!(story.end().violations(), []);
}

#[test]
fn objects_of_one_process_hear_each_other_and_not_themselves() {
    let mut story = Story::told();
    let channel = || Name::from("earth");
    story.tell(
        2000,
        "a",
        Event::Open {
            object: 2,
            channel: channel(),
            since: Since::Now,
        },
    );
    let hash = |n| hash("a", n);
    let post = |object, n| {
        let (seqs, hash) = (Span::new(n, n), hash(n));
        Event::Post {
            object,
            channel: channel(),
            seqs,
            hash,
        }
    };
    let hear = |object, n| {
        let (seqs, hash) = (Span::new(n, n), hash(n));
        Event::Delivery {
            object,
            channel: channel(),
            sender: "a".into(),
            seqs,
            hash,
        }
    };
    for (object, other, n) in [(1, 2, 5), (2, 1, 6), (2, 1, 7), (1, 2, 8)] {
        story.tell(3000, "a", post(object, n));
        story.tell(3000, "a", hear(other, n));
        story.deliver(3050, "b", "a", n, n);
        story.deliver(3050, "c", "a", n, n);
    }
    let mut lost = story.clone();
    assert_eq!(story.end().violations(), []);
    lost.tell(4000, "a", post(1, 9));
    lost.deliver(4050, "b", "a", 9, 9);
    lost.deliver(4050, "c", "a", 9, 9);
    let Violation::Missing { object, .. } = lost.end().only() else {
        panic!("the other object lacks it")
    };
    assert_eq!((object.process.as_str(), object.object), ("a", 2));
}

#[test]
fn a_late_reader_gets_what_is_kept_nearby_or_a_gap() {
    let kept = |first, last| vec![("a".into(), Span::new(first, last))];
    let backfilled = |since, kept, tell: &dyn Fn(&mut Story)| {
        let mut story = late_joiner(since);
        let (object, channel) = (1, "earth".into());
        story.tell(
            52_000,
            "d",
            Event::LookedBack {
                object,
                channel,
                kept,
            },
        );
        tell(&mut story);
        story.deliver(53_000, "d", "a", 4, 4);
        let violations = story.end().violations();
        let withheld = violations
            .into_iter()
            .filter_map(|violation| match violation {
                Violation::Withheld { kept, .. } => Some(kept),
                _ => None,
            });
        withheld.collect::<Vec<_>>()
    };
    let deliver = |from: u64| {
        move |story: &mut Story| (from..=3).for_each(|n| story.deliver(52_000, "d", "a", n, n))
    };
    let last = Since::Last(2);
    assert_eq!(backfilled(last, kept(1, 3), &deliver(2)), []);
    assert_eq!(backfilled(last, kept(1, 3), &deliver(3)), [Span::new(2, 2)]);
    assert_eq!(backfilled(last, kept(1, 3), &|_| ()), [Span::new(2, 2)]);
    // Only what is kept counts: of 1 and 2 the last two are both.
    assert_eq!(backfilled(last, kept(1, 2), &deliver(2)), [Span::new(1, 1)]);
    assert_eq!(backfilled(last, vec![], &deliver(4)), []);
    let told = |story: &mut Story| {
        story.gap(52_000, "d", "a", 2, 2);
        story.deliver(52_001, "d", "a", 3, 3);
    };
    assert_eq!(backfilled(last, kept(1, 3), &told), []);
    let since = Since::For(15_000_000);
    assert_eq!(backfilled(since, kept(1, 3), &deliver(2)), []);
    assert_eq!(
        backfilled(since, kept(1, 3), &deliver(3)),
        [Span::new(2, 2)]
    );
}
