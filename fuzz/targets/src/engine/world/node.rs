//! An engine that is driven, and held against what it may bring out.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use meshcast_proto::{
    ChannelName, Config, Engine, Frame, HistoryLimits, Output, Sender, Seq, SeqRange, SyncMessage,
    Time, Verifier,
};

use super::WALL;
use crate::members::{Peer, peer, trust};

/// A node: an engine with what is around it.
pub(super) struct Node {
    pub(super) peer: &'static Peer,
    pub(super) engine: Engine,
    pub(super) verifier: Verifier,
    /// Outputs of the engine that were not carried on.
    pub(super) out: Vec<Output>,
    /// The number that has to come next of each sender, on a channel that stays open.
    pub(super) next: BTreeMap<(ChannelName, Sender), Option<Seq>>,
}

impl Node {
    pub(super) fn new(n: usize) -> Self {
        let peer = peer(n);
        let engine = Engine::new(
            config(),
            peer.identity.clone(),
            Arc::clone(&peer.member),
            n as u64,
        );
        Self {
            peer,
            engine,
            verifier: Verifier::new(trust(), RETENTION),
            out: Vec::new(),
            next: BTreeMap::new(),
        }
    }

    pub(super) fn hears(&mut self, frame: &Frame, now: Time) {
        // Gossip hands nothing on that is not verified.
        if let Ok(member) = self.verifier.verify(frame, WALL) {
            self.engine
                .handle_frame(frame.sender(), frame.clone(), &member, now, WALL);
            self.drain();
        }
    }

    pub(super) fn is_told(&mut self, by: Sender, message: SyncMessage, now: Time) {
        let verifier = &mut self.verifier;
        let verify = |frames: &[Frame]| verifier.verify_all(frames, WALL);
        self.engine.handle_sync(by, message, now, WALL, verify);
        self.drain();
    }

    /// Takes what one input brought out, and holds it against what may be.
    pub(super) fn drain(&mut self) {
        let (mut outputs, mut bytes) = (0, 0);
        while let Some(output) = self.engine.poll_output() {
            outputs += 1;
            match &output {
                Output::Sync(_, message) => bytes += message.encode().len(),
                Output::Deliver(name, delivery) => {
                    self.follows(name, delivery.member.sender(), delivery.seqs());
                    let values = delivery.values();
                    assert!(
                        values.map(|posted| posted.seqs.len()).sum::<u64>()
                            == delivery.seqs().len()
                    );
                }
                Output::Missed(name, gap) => self.follows(name, gap.member.sender(), gap.missed),
                _ => {}
            }
            self.out.push(output);
        }
        assert!(outputs <= MOST_OUTPUTS, "{outputs} outputs at once");
        assert!(bytes <= MOST_BYTES, "{bytes} bytes are said at once");
    }

    /// A channel gets all of a sender without a hole that is not named.
    fn follows(&mut self, name: &ChannelName, sender: Sender, seqs: SeqRange) {
        if sender == self.peer.sender() {
            return;
        }
        let next = seqs.last().checked_add(1);
        if let Some(expected) = self.next.insert((name.clone(), sender), next) {
            assert_eq!(
                Some(seqs.first()),
                expected,
                "{sender} on {name:?} is in order and complete"
            );
        }
    }
}

fn config() -> Config {
    let defaults = Config::default();
    Config {
        max_message_len: 64 * 1024,
        max_held_bytes: 128 * 1024,
        max_held_total_bytes: 256 * 1024,
        memory_bytes: 1024 * 1024,
        history: HistoryLimits {
            bytes: 256 * 1024,
            age: RETENTION,
        },
        max_channels: 64,
        max_logs: 256,
        ..defaults
    }
}

/// For how long frames are kept.
pub(super) const RETENTION: Duration = Duration::from_secs(60);

/// What one step, or one timeout, may bring out. A `Want` may be answered with 256 KiB, an `Open`
/// with what is had of 512 channels.
const MOST_OUTPUTS: usize = 4096;
const MOST_BYTES: usize = 2 << 20;
