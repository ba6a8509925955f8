//! Readers that stop, and go on at the ring of another member.

use super::*;
use crate::channel::{
    cursor::{Cursor, Place},
    ring::ReadPosition,
};
use meshcast_proto::{ChannelName, MeshKey, Resumption};

fn place() -> Place {
    let topics = MeshKey::from_entropy([1; 48]).mesh().topics();
    Place::new(&topics, &ChannelName::new("earth").expect("allowed"))
}

/// The position of a reader, as a client keeps it.
fn cursor(ring: &Ring, reader: ReaderId) -> Cursor {
    let now = moment();
    let cursor = match ring.read_position(reader, now).expect("it reads") {
        ReadPosition::Read(read) => Cursor::new(place(), &read, now),
        ReadPosition::Waiting(cursor) => cursor.expect("it goes on somewhere"),
    };
    cursor.to_string().parse().expect("it is one")
}

/// A node: what it was given of each sender, and what it keeps of that.
struct Node {
    ring: Ring,
    keeper: Keeper,
    heard: Vec<u64>,
}

impl Node {
    fn new(limit: usize) -> Self {
        Self {
            ring: Ring::new(limit),
            keeper: Keeper::default(),
            heard: Vec::new(),
        }
    }

    /// The next of a sender comes, if there is one.
    fn hear(&mut self, of: usize, posted: &[Vec<Item>]) {
        self.heard.resize(posted.len(), 0);
        if let Some(item) = usize::try_from(self.heard[of])
            .ok()
            .and_then(|next| posted[of].get(next))
        {
            self.keeper.keep(item);
            self.ring.push(item.clone());
            self.heard[of] += 1;
        }
    }

    /// What its engine finds for one that goes on there.
    fn found(&self, cursor: &Cursor, sources: &[Source]) -> Vec<Backlog> {
        let positions = cursor.positions();
        let logs = sources
            .iter()
            .zip(&self.heard)
            .filter(|(_, heard)| **heard > 0);
        let logs = logs.map(|(source, heard)| {
            let sender = source.member.sender();
            let (due, read) = (positions.due(sender), positions.read(sender));
            let wanted = (sender, due.get())..=(sender, *heard);
            let lowest = (due.get() <= *heard)
                .then(|| self.keeper.0.range(wanted).next())
                .flatten();
            let kept = lowest.map(|((_, first), _)| seqs(*first, *heard));
            let end = kept.map_or(*heard + 1, |kept| kept.first().get());
            let gone = read.filter(|read| read.get() + 1 < end);
            let gone = gone.map(|read| seqs(read.get() + 1, end - 1));
            let goes_on = kept.or(gone).map_or(due, |it| it.last().next());
            let resumption = (kept.is_some() || read.is_some()).then_some(Resumption {
                gone,
                due: goes_on,
                is_doubtful: read.is_some_and(|read| read.get() > *heard),
            });
            Backlog {
                resumption,
                ..past_of(source, kept, None, None)
            }
        });
        logs.collect()
    }
}

#[derive(Debug, Clone)]
enum Act {
    Post(usize),
    Hear(usize, usize),
    Read(usize),
    /// To this node, which hears so much while it looks back.
    Move(usize, Vec<usize>),
    Forget(usize, usize),
    Restart(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0_usize..4).prop_map(Act::Post),
        12 => (0_usize..3, 0_usize..4).prop_map(|(node, of)| Act::Hear(node, of)),
        6 => (1_usize..6).prop_map(Act::Read),
        3 => (0_usize..3, prop::collection::vec(0_usize..4, 0..6))
            .prop_map(|(node, meanwhile)| Act::Move(node, meanwhile)),
        2 => (0_usize..3, 1_usize..6).prop_map(|(node, count)| Act::Forget(node, count)),
        1 => (0_usize..2).prop_map(Act::Restart),
    ]
}

/// A client, and what it must see next of each sender it has seen.
struct Client {
    node: usize,
    reader: ReaderId,
    due: BTreeMap<Sender, u64>,
}

impl Client {
    /// Reads so many items. Each begins where the last of its sender ended.
    fn read(&mut self, nodes: &mut [Node], count: usize) -> Result<(), TestCaseError> {
        let Node { ring, keeper, .. } = &mut nodes[self.node];
        let mut got = 0;
        while got < count {
            let item = match ring.read(self.reader) {
                Some(item) => item,
                None if ring.is_requesting() => {
                    keeper.answer(ring, 2);
                    continue;
                }
                None => break,
            };
            got += 1;
            let (sender, seqs) = (item.member().sender(), item.seqs());
            if let Some(due) = self.due.get(&sender) {
                prop_assert_eq!(seqs.first().get(), *due, "{:?}", item);
            }
            if let Item::Missed(gap) = &item
                && gap.reason == GapReason::Expired
            {
                prop_assert!(self.due.contains_key(&sender), "it was not named");
            }
            self.due.insert(sender, seqs.last().get() + 1);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// The reference: whatever members hear, forget and restart, and wherever a client goes on, it
    /// sees each number of a sender once and in order, or is told of it exactly.
    #[test]
    fn a_client_that_moves_sees_every_number_or_is_told(
        acts in prop::collection::vec(act(), 1..120),
    ) {
        let mut sources: Vec<Source> = (0..4).map(|n| Source::new(n + 1)).collect();
        let mut posted: Vec<Vec<Item>> = vec![Vec::new(); sources.len()];
        let len = one(&mut Source::new(99), b"x").len_bytes();
        let mut nodes: Vec<Node> = [3, 6, 100].map(|room| Node::new(room * len)).into();
        let reader = nodes[0].ring.add_reader(A);
        let mut client = Client { node: 0, reader, due: BTreeMap::new() };
        for act in acts {
            match act {
                Act::Post(of) => {
                    let item = one(&mut sources[of], b"x");
                    posted[of].push(item);
                }
                Act::Hear(node, of) => nodes[node].hear(of, &posted),
                Act::Read(count) => client.read(&mut nodes, count)?,
                Act::Move(to, meanwhile) => {
                    let cursor = cursor(&nodes[client.node].ring, client.reader);
                    nodes[client.node].ring.remove_reader(client.reader);
                    let node = &mut nodes[to];
                    let late = node.ring.add_late(B, Some(cursor.clone()));
                    node.ring.claim(late);
                    node.ring.skip_to_end(late);
                    node.heard.resize(sources.len(), 0);
                    let found = node.found(&cursor, &sources);
                    meanwhile.into_iter().for_each(|of| node.hear(of, &posted));
                    begin(&mut node.ring, late, &found);
                    (client.node, client.reader) = (to, late);
                    // Of a sender that it has read nothing of since it began, it may hear anything.
                    let named = cursor.positions();
                    let due = sources.iter().filter_map(|source| {
                        let sender = source.member.sender();
                        Some((sender, named.read(sender)?.get() + 1))
                    });
                    let due: BTreeMap<_, _> = due.collect();
                    for (sender, next) in &client.due {
                        let named = due.get(sender).copied().unwrap_or(1);
                        prop_assert_eq!(named, *next, "what was read is named");
                    }
                    client.due = due;
                }
                Act::Forget(node, count) => {
                    // The lowest numbers of a sender go first.
                    let keeper = &mut nodes[node].keeper;
                    for _ in 0..count {
                        keeper.0.pop_first();
                    }
                }
                Act::Restart(of) => {
                    let number = u8::try_from(10 + sources.len()).expect("few");
                    // The one before stays as one that is gone.
                    if sources.len() < 20 {
                        sources.push(Source::new(number));
                        posted.push(Vec::new());
                        sources.swap(of, usize::from(number) - 10);
                        posted.swap(of, usize::from(number) - 10);
                        for node in &mut nodes {
                            node.heard.resize(sources.len(), 0);
                            node.heard.swap(of, usize::from(number) - 10);
                        }
                    }
                }
            }
        }
        client.read(&mut nodes, usize::MAX)?;
        let node = &nodes[client.node];
        for (source, heard) in sources.iter().zip(&node.heard) {
            if let Some(due) = client.due.get(&source.member.sender()) {
                prop_assert!(*due > *heard, "it has read all that came: {} of {}", due, heard);
            }
        }
    }
}

#[test]
fn expired_numbers_are_told_exactly_and_unknown_ones_are_not() {
    let mut source = Source::new(1);
    let me = source.member.sender();
    let items: Vec<_> = (0..12).map(|_| one(&mut source, b"x")).collect();
    let mut keeper = Keeper::default();
    items[6..].iter().for_each(|item| keeper.keep(item));
    let at = |read: u64| {
        let now = moment();
        let mark =
            crate::channel::cursor::Mark::idle_for(Seq::new(read).expect("not zero"), 0, now);
        Cursor::new(place(), &[(me.prefix(), mark)].into_iter().collect(), now)
    };
    let resume = |ring: &mut Ring, read: u64, past: Option<Backlog>| {
        let late = ring.add_late(A, Some(at(read)));
        ring.claim(late);
        ring.skip_to_end(late);
        begin(ring, late, past.as_slice());
        late
    };
    let mut ring = Ring::new(usize::MAX);
    // 3 to 6 are gone, of which a member says to have 5 and 6.
    let past = Backlog {
        resumption: Some(Resumption {
            gone: Some(seqs(3, 6)),
            due: Seq::new(11).expect("not zero"),
            is_doubtful: false,
        }),
        ..past_of(&source, Some(seqs(7, 10)), Some(seqs(5, 6)), None)
    };
    let late = resume(&mut ring, 2, Some(past));
    assert!(ring.is_backfilling(late));
    let nothing = resume(&mut ring, 2, None);
    let far = resume(&mut ring, 1_000_000, None);
    assert!(ring.is_doubtful(far));
    ring.settle(&items[10], Some(Time::ZERO));
    ring.push(items[10].clone());
    let mut got = read_with(&keeper, &mut ring, late, A);
    let told = [Got::Expired(3, 4), Got::Unfetched(5, 6)].map(|it| (me, it));
    assert_eq!(got.drain(..2).as_slice(), told);
    assert_eq!(
        got,
        (7..=11).map(|n| (me, Got::Value(n))).collect::<Vec<_>>()
    );
    assert!(ring.take_caught_up(late) && !ring.take_caught_up(late));
    let got = read_with(&keeper, &mut ring, nothing, A);
    assert_eq!(got, [(me, Got::Expired(3, 10)), (me, Got::Value(11))]);
    // It says to have read it, and it was posted before it came.
    assert_eq!(read_with(&keeper, &mut ring, far, A), []);
    let later = Time::ZERO + meshcast_proto::Engine::DOUBT + std::time::Duration::from_millis(1);
    assert!(!ring.settle(&items[11], Some(later)));
    ring.push(items[11].clone());
    assert_eq!(
        read_with(&keeper, &mut ring, far, A),
        [(me, Got::Value(12))]
    );
}

#[test]
fn a_cursor_does_not_grow_with_senders_that_are_gone() {
    let mut ring = Ring::new(usize::MAX);
    let reader = ring.add_reader(A);
    let (hour, alive) = (std::time::Duration::from_secs(3600), Source::new(0));
    let alive_prefix = alive.member.sender().prefix();
    ring.was_delivered(alive.member.sender(), Seq::FIRST);
    for n in 1..=60 {
        let mut source = Source::new(n);
        ring.push(one(&mut source, b"x"));
        read_all(&mut ring, reader, A);
    }
    assert!(ring.take_has_many_senders());
    let named = |ring: &Ring| cursor(ring, reader).positions();
    assert_eq!(named(&ring).len(), 61);
    ring.forget_idle(hour, moment(), |_| false);
    assert_eq!(named(&ring).len(), 61, "they were heard just now");
    ring.forget_idle(hour, moment() + hour, |sender| *sender == alive_prefix);
    assert_eq!(
        named(&ring).iter().collect::<Vec<_>>(),
        [(alive_prefix, Seq::FIRST)]
    );
}
