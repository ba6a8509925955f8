//! Gossip: what a node publishes goes to all its peers who want to know, and is handed on as its
//! engine says. On the way it gets lost, comes twice and overtakes itself.

use std::{collections::BTreeMap, sync::Arc};

use meshcast_proto::{Forward, Frame, FrameId, Member, Sender};

use super::{World, host::Input, plan::Action};

/// All that was published.
#[derive(Debug, Default)]
pub(super) struct Messages {
    all: Vec<Message>,
    /// The place of each frame among them.
    of: BTreeMap<FrameId, usize>,
}

#[derive(Debug)]
struct Message {
    frame: Frame,
    member: Arc<Member>,
    /// The place of its channel.
    channel: usize,
}

/// A copy of a message, on its way over a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Copied {
    link: usize,
    /// The end it arrives at.
    end: usize,
    /// The place of the message.
    message: usize,
    /// Whether the network made it.
    again: bool,
}

impl World<'_> {
    /// A process publishes a frame.
    pub(super) fn publish(&mut self, index: usize, frame: Frame) {
        let wall = self.wall(index);
        let Some(member) = self.vouch.member(&frame, wall) else {
            self.defects.push(format!(
                "{}: a frame published that no member signed",
                self.now
            ));
            return;
        };
        let Some(channel) = self
            .channels
            .iter()
            .position(|known| known.name == *frame.channel())
        else {
            return;
        };
        self.traffic.frames += 1;
        let message = self.messages.all.len();
        self.messages.of.insert(frame.id(), message);
        self.messages.all.push(Message {
            frame,
            member,
            channel,
        });
        if let Some(process) = &mut self.hosts[index].process {
            process.see(message);
        }
        for (link, end, _) in self.listening(index, channel) {
            self.tell(index, message, (link, end));
        }
    }

    /// A process hands a frame of another on.
    pub(super) fn forward(&mut self, index: usize, forward: &Forward) {
        let Some(message) = self.messages.of.get(&forward.frame.id()).copied() else {
            return;
        };
        let listening = self.listening(index, self.messages.all[message].channel);
        let Some(process) = &self.hosts[index].process else {
            return;
        };
        let peers = listening.iter().map(|(.., peer)| *peer);
        let to = process.engine.recipients(forward, peers);
        for (link, end, peer) in listening {
            if to.contains(&peer) {
                self.tell(index, message, (link, end));
            }
        }
    }

    /// A copy arrives.
    pub(super) fn gossip_arrives(&mut self, conn: u64, copy: Copied) {
        let link = &self.links[copy.link];
        let index = link.ends[copy.end];
        if link.carries_gossip(copy.end, conn) {
            self.give(index, Input::Gossip(copy));
        }
    }

    /// A process hears a copy.
    pub(super) fn hear(&mut self, index: usize, copy: Copied) {
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let message = &self.messages.all[copy.message];
        if !process.is_open(message.channel) {
            return;
        }
        self.traffic.copies += 1;
        self.traffic.copy_bytes += message.frame.bytes().len() as u64;
        let first = process.see(copy.message);
        if !first && !copy.again {
            return;
        }
        let (frame, member) = (message.frame.clone(), Arc::clone(&message.member));
        self.watch_process(index, |name| {
            format!("hears {frame:?} of {}", name(frame.sender()))
        });
        let wall = self.wall(index);
        let from = self.hosts[self.links[copy.link].ends[1 - copy.end]].sender();
        // Its process may have ended since.
        let from = from.unwrap_or_else(|| frame.sender());
        self.with_engine(index, |engine, now, _| {
            engine.handle_frame(from, frame, &member, now, wall);
        });
    }

    /// The peers that hear of a channel from a process, each with the link and the end of it here:
    /// to one that does not keep up nothing is sent.
    fn listening(&mut self, index: usize, channel: usize) -> Vec<(usize, usize, Sender)> {
        let links = self.hosts[index].links.iter().copied();
        let announced = links.filter(|(link, end)| self.is_announced(*link, *end, channel));
        let peers = announced.filter_map(|(link, end)| {
            let other = self.links[link].ends[1 - end];
            Some((link, end, self.hosts[other].sender()?))
        });
        let mut peers: Vec<_> = peers.collect();
        if let Some(process) = &self.hosts[index].process {
            let all = peers.len();
            peers.retain(|(.., peer)| !process.lazy_peers.contains(peer));
            self.traffic.withheld += (all - peers.len()) as u64;
        }
        peers
    }

    /// Sends copies over a link.
    fn tell(&mut self, index: usize, message: usize, (link, end): (usize, usize)) {
        let other = self.links[link].ends[1 - end];
        let loss = self.hosts[index].loss().max(self.hosts[other].loss());
        let loss = loss.max(self.scenario.network.loss);
        let copies = 1 + usize::from(self.rng.chance(self.scenario.network.duplicate));
        for copy in 0..copies {
            if self.rng.chance(loss) || !self.links[link].is_free(end) {
                continue;
            }
            let mut delay = self.one_way(link);
            if copy > 0 {
                delay += self.rng.duration(std::time::Duration::ZERO, LATE_COPY);
            }
            let conn = self.links[link].conn_id();
            let copy = Copied {
                link,
                end: 1 - end,
                message,
                again: copy > 0,
            };
            self.plan_in(delay, Action::Gossip { conn, copy });
        }
    }

    /// Whether gossip on this channel is sent from this end of the link to the other.
    fn is_announced(&self, link: usize, end: usize, channel: usize) -> bool {
        let (link, now) = (&self.links[link], self.now);
        let announced = |end: usize| {
            let process = self.hosts[link.ends[end]].process.as_ref();
            process.is_some_and(|process| {
                process.is_open(channel)
                    && process
                        .announced
                        .get(&channel)
                        .is_none_or(|from| *from <= now)
            })
        };
        link.gossips_from(end).is_some_and(|from| from <= now)
            && announced(end)
            && announced(1 - end)
    }
}

/// How much later a second copy may come.
const LATE_COPY: std::time::Duration = std::time::Duration::from_secs(3);
