//! Looking through all peers and channels for whoever inspects the node: a little each turn, and
//! once for all who ask at the same time, so that nothing waits for it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use libp2p::PeerId;
use meshcast_proto::{ChannelName, Seq};

use super::Driver;
#[cfg(feature = "metrics")]
use crate::measured::Measured;
use crate::{
    clock::wall_time,
    command::{Answer, Inspected, View},
    error::AskError,
    health::Vitals,
    ids::peer_id,
    inspect::{ChannelInfo, PeerInfo, Snapshot},
};

/// The look under way, and who waits for the next: whoever asks later must see what it did before.
#[derive(Debug, Default)]
pub(super) struct Inspections {
    waiting: Vec<(View, Answer<Arc<Inspected>>)>,
    current: Option<InspectionRun>,
}

#[derive(Debug)]
struct InspectionRun {
    answers: Vec<Answer<Arc<Inspected>>>,
    wanted: View,
    channels_left: Vec<ChannelName>,
    channels: Vec<ChannelInfo>,
    /// How many of the channels that were looked at each peer has open.
    shared: HashMap<PeerId, usize>,
    behind_by: u64,
    #[cfg(feature = "metrics")]
    measured: Measured,
    /// After the channels, so that these numbers are complete.
    peers_left: Vec<PeerId>,
    peers: Vec<PeerInfo>,
}

impl Inspections {
    pub(super) fn ask(&mut self, view: View, answer: Answer<Arc<Inspected>>) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push((view, answer));
        } else {
            let limit = MAX_WAITING;
            // The caller may have left.
            let _ = answer.send(Err(AskError::TooMany { limit }));
        }
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.current.is_some() || !self.waiting.is_empty()
    }
}

impl Driver {
    /// Looks on for a moment, if anybody wants to see something.
    pub(super) fn inspect(&mut self) {
        let Some(mut look) = self
            .waiters
            .inspections
            .current
            .take()
            .or_else(|| self.begin_look())
        else {
            return;
        };
        let until = self.clock.now() + A_ROUND;
        while self.clock.now() < until {
            if let Some(name) = look.channels_left.pop() {
                self.look_at_channel(&mut look, &name);
            } else if let Some(peer) = look.peers_left.pop() {
                let shared = look.shared.get(&peer).copied().unwrap_or_default();
                look.peers.extend(self.peer_info(&peer, shared));
            } else {
                self.end_look(look);
                return;
            }
        }
        self.waiters.inspections.current = Some(look);
    }

    pub(super) fn vitals(&self) -> Vitals {
        Vitals {
            ready: self.waiters.ready.is_ready(),
            members: self.peers.iter().count(),
            isolated_since: self.isolated_since(),
            seeds: self.seeds(),
        }
    }

    fn begin_look(&mut self) -> Option<InspectionRun> {
        let mut waiting = std::mem::take(&mut self.waiters.inspections.waiting);
        waiting.retain(|(_, answer)| !answer.is_closed());
        let wanted = View {
            peers: waiting.iter().any(|(view, _)| view.peers),
            channels: waiting.iter().any(|(view, _)| view.channels),
            behind: waiting.iter().any(|(view, _)| view.behind),
        };
        let peers = self
            .peers
            .iter()
            .filter(|_| wanted.peers)
            .map(|(peer, _)| *peer);
        (!waiting.is_empty()).then(|| InspectionRun {
            answers: waiting.into_iter().map(|(_, answer)| answer).collect(),
            wanted,
            channels_left: self.channels.names().cloned().collect(),
            channels: Vec::new(),
            shared: HashMap::new(),
            behind_by: 0,
            #[cfg(feature = "metrics")]
            measured: Measured::default(),
            peers_left: peers.collect(),
            peers: Vec::new(),
        })
    }

    fn look_at_channel(&self, look: &mut InspectionRun, name: &ChannelName) {
        // It may be gone by now.
        let Some(channel) = self.channels.get(name) else {
            return;
        };
        #[cfg(feature = "metrics")]
        look.measured
            .add(channel.hub.load(), self.channels.is_held_up(name));
        if look.wanted.behind && channel.hub.objects() > 0 {
            let senders = self.engine.senders(name);
            let missing = senders.map(|(_, state)| missing(state.newest, state.next));
            look.behind_by = missing.fold(look.behind_by, u64::saturating_add);
        }
        for peer in self.engine.listeners(name).map(peer_id) {
            *look.shared.entry(peer).or_default() += 1;
        }
        if look.wanted.channels {
            look.channels.extend(self.channel_info(name));
        }
    }

    fn end_look(&self, look: InspectionRun) {
        let InspectionRun {
            answers,
            wanted,
            peers,
            channels,
            behind_by,
            #[cfg(feature = "metrics")]
            measured,
            ..
        } = look;
        let (accounts, unlinked) = match wanted.peers {
            true => (self.accounts(), self.unlinked().collect()),
            false => (Vec::new(), Vec::new()),
        };
        let inspected = Arc::new(Inspected {
            snapshot: Snapshot {
                node: self.node(),
                peers,
                unlinked,
                seeds: self.seeds(),
                accounts,
                channels,
                counters: self.counters(),
                refusals: self.reports.refusals.all(wall_time()),
                limits: self.handles.registry.common().limits().clone(),
            },
            ready: self.waiters.ready.is_ready(),
            isolated_since: self.isolated_since(),
            behind_by,
            #[cfg(feature = "metrics")]
            measured: self.measured(measured),
            #[cfg(feature = "metrics")]
            object_gaps: self.handles.registry.common().stats().object_gaps(),
        });
        for answer in answers {
            // The caller may have left.
            let _ = answer.send(Ok(Arc::clone(&inspected)));
        }
    }
}

#[cfg(feature = "metrics")]
impl Driver {
    /// The measurements, with those of the channels that were seen.
    fn measured(&self, seen: Measured) -> Measured {
        Measured {
            latency: self.reports.measures.latency.clone(),
            window_wait: self.reports.measures.window_wait.clone(),
            missed: self.reports.measures.missed,
            passed: self.network.traffic.bytes(),
            members: self.members_by_region(),
            ..seen
        }
    }
}

/// The count of numbers of a sender that are not settled, if it is known with which its log begins
/// here.
fn missing(newest: Seq, next: Option<Seq>) -> u64 {
    let end = newest.get().saturating_add(1);
    next.map_or(0, |next| end.saturating_sub(next.get()))
}

/// The most callers that may wait for the next inspection: tasks of this process, at about 16 bytes
/// each. They all get the same one.
const MAX_WAITING: usize = 1024;

/// The time that a round of the loop may spend on it: a fraction of what a message takes anyway.
/// One peer or channel is looked at in any case, which takes no longer for there being many others.
const A_ROUND: Duration = Duration::from_micros(25);

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn numbers_that_are_known_and_not_settled_are_missing() {
        let seq = |n| Seq::new(n).expect("not 0");
        assert_eq!(missing(seq(7), Some(seq(8))), 0);
        assert_eq!(missing(seq(7), Some(seq(5))), 3);
        assert_eq!(missing(seq(7), None), 0, "it may begin after them");
        assert_eq!(missing(seq(7), Some(seq(9))), 0);
    }

    #[test]
    fn one_too_many_who_wait_for_a_look_is_refused_by_name() {
        let mut inspections = Inspections::default();
        let mut waiting: Vec<_> = (0..=MAX_WAITING)
            .map(|_| {
                let (answer, answered) = oneshot::channel();
                inspections.ask(View::default(), answer);
                answered
            })
            .collect();
        let refused = waiting.pop().expect("one too many").try_recv();
        let limit = MAX_WAITING;
        assert_eq!(
            refused.map(Result::err),
            Ok(Some(AskError::TooMany { limit }))
        );
        assert!(waiting.iter_mut().all(|it| it.try_recv().is_err()));
    }

    #[test]
    fn a_log_may_be_as_long_as_its_counter() {
        assert_eq!(missing(Seq::MAX, Some(Seq::FIRST)), u64::MAX - 1);
        assert_eq!(missing(Seq::FIRST, Some(Seq::MAX)), 0);
    }
}
