//! Looking through all peers and channels for whoever inspects the node: a little each turn, and
//! once for all who ask at the same time, so that nothing waits for it.

use std::{sync::Arc, time::Duration};

use libp2p::PeerId;
use meshcast_proto::ChannelName;
use tokio::sync::oneshot;

use super::Driver;
use crate::inspect::{ChannelInfo, PeerInfo, Snapshot};

/// What somebody wants to see, beside what is always there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) peers: bool,
    pub(crate) channels: bool,
}

/// Shared by all who asked for it; the copying is theirs.
pub(crate) type Inspected = Arc<Snapshot>;

/// The look under way, and who waits for the next: whoever asks later must see what it did before.
#[derive(Debug, Default)]
pub(super) struct Inspections {
    waiting: Vec<(View, oneshot::Sender<Inspected>)>,
    current: Option<Look>,
}

#[derive(Debug)]
struct Look {
    answers: Vec<oneshot::Sender<Inspected>>,
    peers_left: Vec<PeerId>,
    peers: Vec<PeerInfo>,
    channels_left: Vec<ChannelName>,
    channels: Vec<ChannelInfo>,
}

impl Inspections {
    pub(super) fn ask(&mut self, view: View, answer: oneshot::Sender<Inspected>) {
        self.waiting.push((view, answer));
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty()
    }
}

impl Driver {
    /// Looks on for a moment, if anybody wants to see something.
    pub(super) fn inspect(&mut self) {
        let Some(mut look) = self
            .inspections
            .current
            .take()
            .or_else(|| self.begin_look())
        else {
            return;
        };
        let until = self.parts.clock.now() + A_TURN;
        while self.parts.clock.now() < until {
            if let Some(peer) = look.peers_left.pop() {
                look.peers.extend(self.peer_info(&peer));
            } else if let Some(name) = look.channels_left.pop() {
                look.channels.extend(self.channel_info(&name));
            } else {
                self.end_look(look);
                return;
            }
        }
        self.inspections.current = Some(look);
    }

    fn begin_look(&mut self) -> Option<Look> {
        let mut waiting = std::mem::take(&mut self.inspections.waiting);
        waiting.retain(|(_, answer)| !answer.is_closed());
        let wanted = View {
            peers: waiting.iter().any(|(view, _)| view.peers),
            channels: waiting.iter().any(|(view, _)| view.channels),
        };
        let peers = self
            .peers
            .iter()
            .filter(|_| wanted.peers)
            .map(|(peer, _)| *peer);
        let channels = self.channels.keys().filter(|_| wanted.channels).cloned();
        (!waiting.is_empty()).then(|| Look {
            answers: waiting.into_iter().map(|(_, answer)| answer).collect(),
            peers_left: peers.collect(),
            peers: Vec::new(),
            channels_left: channels.collect(),
            channels: Vec::new(),
        })
    }

    fn end_look(&self, look: Look) {
        let Look {
            answers,
            peers,
            channels,
            ..
        } = look;
        let snapshot = Arc::new(Snapshot {
            node: self.node(),
            peers,
            seeds: self.seeds(),
            channels,
            counters: self.counters(),
        });
        for answer in answers {
            // Whoever asked may have left.
            let _ = answer.send(Arc::clone(&snapshot));
        }
    }
}

/// How long a turn may look: a fraction of what a message takes anyway. One peer or channel is
/// looked at in any case.
const A_TURN: Duration = Duration::from_micros(25);
