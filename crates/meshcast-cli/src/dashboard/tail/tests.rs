use super::*;

fn place(name: &str) -> Place {
    Place {
        name: name.into(),
        region: name.into(),
        peer_id: name.into(),
    }
}

fn message(sender: &str, seq: u64) -> Heard {
    Heard {
        sender: sender.into(),
        name: sender.into(),
        region: sender.into(),
        seq,
        what: What::Message(Arrived {
            posted_ms: 1_000,
            ..Arrived::default()
        }),
    }
}

fn came(message: &Heard, way: &str, received_ms: u64) -> Heard {
    Heard {
        what: What::Message(Arrived {
            posted_ms: 1_000,
            received_ms: Some(received_ms),
            way: Some(way.into()),
        }),
        ..message.clone()
    }
}

const SOON: Duration = Duration::from_secs(10);

#[test]
fn what_is_posted_as_soon_as_it_is_followed_gets_a_row() {
    let mut tail = Tail::default();
    tail.heard(
        &place("fra"),
        &message("fra", 1),
        String::new,
        0,
        Duration::ZERO,
    );
    let changes = tail.changes();
    assert_eq!((changes.rows.len(), changes.skipped), (1, 0));
}

#[test]
fn a_message_is_one_row_with_an_arrival_at_each_node() {
    let mut tail = Tail::default();
    let post = message("fra", 1);
    let (here, there) = (came(&post, "local", 1_000), came(&post, "gossip", 1_049));
    tail.heard(&place("fra"), &here, String::new, 1_060, SOON);
    tail.heard(&place("iad"), &there, String::new, 1_060, SOON);
    let rows = tail.changes().rows;
    let [row] = &rows[..] else { panic!("{rows:?}") };
    let arrivals = row.arrivals.iter();
    let arrivals: Vec<_> = arrivals
        .map(|(name, it)| (&name[..], it.took_ms, it.way.as_deref()))
        .collect();
    assert_eq!(
        arrivals,
        [("fra", 0, Some("local")), ("iad", 49, Some("gossip"))]
    );
    assert_eq!(tail.changes().rows, []);

    // After a cut is mended, it has come long ago elsewhere. The node does not tell when it came.
    tail.heard(&place("nrt"), &post, String::new, 9_000, SOON);
    let rows = tail.changes().rows;
    assert_eq!((rows.len(), rows[0].arrivals["nrt"].took_ms), (1, 8_000));
}

#[test]
fn beyond_what_a_person_reads_messages_are_counted_once_each() {
    let mut tail = Tail::default();
    for seq in 1..=1_000 {
        for node in ["fra", "iad", "nrt"] {
            tail.heard(&place(node), &message("fra", seq), String::new, 1_000, SOON);
        }
    }
    let changes = tail.changes();
    assert_eq!((changes.rows.len(), changes.skipped), (100, 900));
    assert!(changes.rows.iter().all(|row| row.arrivals.len() == 3));
}

#[test]
fn a_gap_is_a_row_that_says_who_misses_what() {
    let mut tail = Tail::default();
    let gap = Heard {
        what: What::Gap(7),
        ..message("fra", 4)
    };
    tail.heard(&place("iad"), &gap, String::new, 1_000, SOON);
    tail.heard(&place("iad"), &message("fra", 8), String::new, 1_000, SOON);
    let rows = tail.changes().rows;
    assert_eq!(rows[0].gap, Some((7, "iad".into())));
    assert_eq!((rows[1].seq, rows[1].gap.is_none()), (8, true));
}

#[test]
fn rows_and_senders_are_bounded() {
    let mut tail = Tail::default();
    for n in 0..SENDERS + 10 {
        let now = SOON * u32::try_from(n + 1).expect("small");
        tail.heard(
            &place("fra"),
            &message(&format!("sender {n}"), 1),
            String::new,
            1_000,
            now,
        );
    }
    assert_eq!((tail.rows.len(), tail.decided.len()), (ROWS, SENDERS));
}

#[test]
fn a_gap_that_gets_no_row_is_counted_as_a_message_is() {
    let mut tail = Tail::default();
    let gap = Heard {
        what: What::Gap(9),
        ..message("fra-1", 1)
    };
    let many = 150;
    for _ in 0..many {
        tail.heard(&place("iad-1"), &gap, || "lost".into(), 0, SOON);
    }
    let changes = tail.changes();
    assert!(changes.skipped > 0);
    assert_eq!(changes.rows.len() as u64 + changes.skipped, many);
}
