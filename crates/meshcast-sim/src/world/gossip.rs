//! Gossip: every node that hears something for the first time tells all its peers who want to
//! know. On the way it gets lost, comes twice and overtakes itself.

use std::sync::Arc;

use meshcast_proto::{Frame, Member};

use super::{Action, World, host::Input};
use crate::at::At;

/// Something that was published.
#[derive(Debug)]
pub(super) struct Message {
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
        let message = self.messages.len();
        self.messages.push(Message {
            frame,
            member,
            channel,
        });
        if let Some(process) = &mut self.hosts[index].process {
            process.see(message);
        }
        self.tell_peers(index, message, None);
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
        let message = &self.messages[copy.message];
        if !process.is_open(message.channel) {
            return;
        }
        self.traffic.copies += 1;
        let first = process.see(copy.message);
        if !first && !copy.again {
            return;
        }
        let (frame, member) = (message.frame.clone(), Arc::clone(&message.member));
        if first {
            self.tell_peers(index, copy.message, Some((copy.link, copy.end)));
        }
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

    /// Sends copies to all peers but the one it came from.
    fn tell_peers(&mut self, index: usize, message: usize, from: Option<(usize, usize)>) {
        let channel = self.messages[message].channel;
        for place in 0..self.hosts[index].links.len() {
            let (link, end) = self.hosts[index].links[place];
            if from == Some((link, end)) || !self.is_grafted(link, end, channel) {
                continue;
            }
            let other = self.links[link].ends[1 - end];
            if self.is_withheld(index, other, from.is_none()) {
                self.traffic.withheld += 1;
                continue;
            }
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
    }

    /// Whether a process sends a peer no copy: to one that does not keep up nothing is sent.
    /// Between the two nothing of others is forwarded either way, until a moment after that.
    fn is_withheld(&self, index: usize, other: usize, is_own: bool) -> bool {
        let until = |one: usize, other: usize| {
            let process = self.hosts[one].process.as_ref();
            let until = process.zip(self.hosts[other].sender());
            until.and_then(|(process, peer)| process.pull_only.get(&peer).copied())
        };
        let (to, from) = (until(index, other), until(other, index));
        if is_own {
            to == Some(At::NEVER)
        } else {
            to.max(from).is_some_and(|until| until > self.now)
        }
    }

    /// Whether gossip on this channel is sent from this end of the link to the other.
    fn is_grafted(&self, link: usize, end: usize, channel: usize) -> bool {
        let (link, now) = (&self.links[link], self.now);
        let grafted = |end: usize| {
            let process = self.hosts[link.ends[end]].process.as_ref();
            process.is_some_and(|process| {
                process.is_open(channel)
                    && process
                        .grafted
                        .get(&channel)
                        .is_none_or(|from| *from <= now)
            })
        };
        link.gossips_from(end).is_some_and(|from| from <= now) && grafted(end) && grafted(1 - end)
    }
}

/// How much later a second copy may come.
const LATE_COPY: std::time::Duration = std::time::Duration::from_secs(3);
