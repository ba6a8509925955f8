//! The cost of telling each other what there is, with ten thousand logs.

use std::collections::VecDeque;

use super::{
    super::*,
    fixture::{Peer, peer},
    section,
};
use crate::wire::Part;

const CHANNELS: usize = 10_000;

/// Two peers, and what they say to each other by the way: nothing is gossiped.
struct Pair {
    engines: [Engine; 2],
    now: Time,
    /// What was said, in messages and bytes.
    said: (usize, usize),
}

impl Pair {
    fn new() -> Self {
        let engine = |n: usize| {
            let Peer { identity, member } = peer(n);
            let mut engine = Engine::new(
                Config::default(),
                identity.clone(),
                Arc::clone(member),
                n as u64,
            );
            for n in 0..CHANNELS {
                engine
                    .handle_open(&name(n), Since::Now, Time::ZERO)
                    .expect("few");
            }
            engine
        };
        let mut pair = Self {
            engines: [engine(0), engine(1)],
            now: Time::ZERO,
            said: (0, 0),
        };
        for (this, other) in [(0, 1), (1, 0)] {
            let peer = peer(other).member.sender();
            pair.engines[this].handle_peer_up(peer, pair.now);
        }
        pair.talk();
        pair
    }

    fn post(&mut self, n: usize) {
        let records = section([(Part::Whole, b"x".as_slice())]);
        let posted = self.engines[0].handle_post(&name(n), &records, self.now, WallTime::MIN);
        posted.expect("fits");
        self.talk();
    }

    /// Lets both say what they have to say now.
    fn talk(&mut self) {
        let mut under_way = VecDeque::new();
        loop {
            for (this, engine) in self.engines.iter_mut().enumerate() {
                while let Some(output) = engine.poll_output() {
                    if let Output::Sync(_, message) = output {
                        self.said.0 += 1;
                        self.said.1 += message.encode().len();
                        under_way.push_back((this, message));
                    }
                }
            }
            let Some((from, message)) = under_way.pop_front() else {
                break;
            };
            let (now, from) = (self.now, peer(from));
            let to =
                &mut self.engines[usize::from(from.member.sender() == peer(0).member.sender())];
            let signer = |frame: &Frame| {
                let signer = (0..2)
                    .map(peer)
                    .find(|peer| peer.member.sender() == frame.sender());
                let signer = signer.map(|signer| Arc::clone(&signer.member));
                signer.ok_or(VerifyError::NotTheSender)
            };
            let verify = |frames: &[Frame]| frames.iter().map(signer).collect();
            to.handle_sync(from.member.sender(), message, now, WallTime::MIN, verify);
        }
    }

    fn run_secs(&mut self, secs: u64) {
        let end = self.now + Duration::from_secs(secs);
        loop {
            let due = self.engines.iter().filter_map(Engine::poll_timeout).min();
            let Some(due) = due.filter(|due| *due <= end) else {
                break;
            };
            self.now = self.now.max(due);
            for engine in &mut self.engines {
                engine.handle_timeout(self.now);
            }
            self.talk();
        }
        self.now = end;
    }
}

fn name(n: usize) -> ChannelName {
    ChannelName::new(&format!("channel {n}")).expect("valid")
}

#[test]
fn ten_thousand_logs_cost_nothing_while_nothing_changes_and_one_message_when_one_does() {
    let mut pair = Pair::new();
    let (messages, _) = pair.said;
    assert!(
        messages <= 4 * CHANNELS.div_ceil(SyncMessage::MAX_CHANNELS),
        "{messages}"
    );
    (0..CHANNELS).for_each(|n| pair.post(n));
    pair.run_secs(60);
    assert_eq!(pair.engines[1].counters().delivered, CHANNELS as u64);

    pair.said = (0, 0);
    pair.run_secs(300);
    assert_eq!(pair.said, (0, 0), "nothing changes");

    pair.post(7);
    pair.run_secs(5);
    // A report of news, the request, the frame, and both acknowledgements: whatever else there is.
    let (messages, bytes) = pair.said;
    assert!(
        messages <= 6 && bytes <= 1_000,
        "{messages} messages of {bytes} bytes"
    );
    assert_eq!(pair.engines[1].counters().delivered, CHANNELS as u64 + 1);
}
