//! All flows of a node: one for each sender on each open channel, within limits that no member uses up for the
//! others.
//!
//! Two things can run out. Places: the flow not heard of for longest goes, first among those of a member that
//! has its share. Bytes that wait: the member that holds the most gives up what it needs last.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    credential::Member,
    delivery::Assembled,
    flow::{Flow, FlowLimits},
    frame::Frame,
    id::{Sender, Seq},
    name::ChannelName,
    time::Time,
    window::{Insert, SETTLE, Window},
};

use held::Held;
use roll::Roll;

/// Names a flow. By channel first, so that those of a channel stand together.
type Key = (ChannelName, Sender);

/// The public key of a member, which may have many senders.
type Subject = [u8; 32];

#[derive(Debug)]
pub(crate) struct Flows {
    limits: FlowsLimits,
    flows: BTreeMap<Key, Followed>,
    /// When which flow wants to be advanced although nothing came.
    deadlines: BTreeSet<(Time, Key)>,
    roll: Roll,
    held: Held,
    past: Past,
    shed: u64,
}

/// The limits of all flows together; see [`Config`](crate::Config).
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlowsLimits {
    pub(crate) flow: FlowLimits,
    pub(crate) max_flows: usize,
    pub(crate) max_held_bytes: usize,
}

/// A flow and what the books say of it.
#[derive(Debug)]
struct Followed {
    flow: Flow,
    /// When a frame came last.
    heard: Time,
    deadline: Option<Time>,
    held: usize,
}

/// What came out of a flow at once, in order.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) channel: ChannelName,
    pub(crate) member: Arc<Member>,
    pub(crate) assembled: Vec<Assembled>,
}

impl Flows {
    pub(crate) fn new(limits: FlowsLimits) -> Self {
        Self {
            flows: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            roll: Roll::new(limits.max_flows),
            held: Held::default(),
            past: Past {
                marks: BTreeMap::new(),
                roll: Roll::new(MAX_MARKS),
            },
            shed: 0,
            limits,
        }
    }

    /// Takes in a frame of this member, whose flow begins here if it has none.
    pub(crate) fn hear(
        &mut self,
        frame: Frame,
        member: &Arc<Member>,
        now: Time,
        out: &mut Vec<Batch>,
    ) -> Insert {
        let key = (frame.channel().clone(), frame.sender());
        let limits = self.limits.flow;
        let insert = self.follow(&key, member, now, out).insert(frame, &limits, now);
        self.advance(&key, now, out);
        self.shed(now, out);
        insert
    }

    /// Advances every flow that wants to be.
    pub(crate) fn handle_timeout(&mut self, now: Time, out: &mut Vec<Batch>) {
        while let Some((due, key)) = self.deadlines.first().cloned()
            && due <= now
        {
            self.advance(&key, now, out);
        }
    }

    /// Forgets the flows of a channel, and where those were that it had before.
    pub(crate) fn close(&mut self, channel: &ChannelName) {
        for key in keys_of(&self.flows, channel) {
            self.remove(&key);
        }
        for key in keys_of(&self.past.marks, channel) {
            self.past.take(&key);
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(due, _)| *due)
    }

    /// The flows of a channel.
    pub(crate) fn of(&self, channel: &ChannelName) -> impl Iterator<Item = (Sender, &Flow)> {
        of_channel(&self.flows, channel).map(|((_, sender), followed)| (*sender, &followed.flow))
    }

    /// How many frames were dropped after they had found room.
    pub(crate) const fn shed_frames(&self) -> u64 {
        self.shed
    }

    /// The flow of a member, a new one if there is none. It begins where it was if it is still known.
    fn follow(&mut self, key: &Key, member: &Arc<Member>, now: Time, out: &mut Vec<Batch>) -> &mut Flow {
        if !self.flows.contains_key(key)
            && let Some(other) = self.roll.first_to_go(&subject(member)).cloned()
        {
            self.forget(&other, out);
        }
        let new = || {
            let window = match self.past.take(key) {
                Some(next) => Window::resume(next, now),
                None => Window::new(now + SETTLE),
            };
            Followed {
                flow: Flow::new(Arc::clone(member), window),
                heard: now,
                deadline: None,
                held: 0,
            }
        };
        let followed = self.flows.entry(key.clone()).or_insert_with(new);
        let subject = subject(&followed.flow.member);
        self.roll.remove(subject, followed.heard, key);
        followed.heard = now;
        self.roll.add(subject, now, key);
        &mut followed.flow
    }

    /// Takes from a flow what is due, and writes down how it stands then.
    fn advance(&mut self, key: &Key, now: Time, out: &mut Vec<Batch>) {
        let Some(followed) = self.flows.get_mut(key) else {
            return;
        };
        let mut assembled = Vec::new();
        let due = followed.flow.advance(&self.limits.flow, now, &mut assembled);
        out.extend(Batch::of(key, &followed.flow, assembled));
        if followed.deadline != due {
            if let Some(was) = followed.deadline {
                self.deadlines.remove(&(was, key.clone()));
            }
            if let Some(due) = due {
                self.deadlines.insert((due, key.clone()));
            }
            followed.deadline = due;
        }
        let (was, is) = (followed.held, followed.flow.held_bytes());
        followed.held = is;
        self.held.change(subject(&followed.flow.member), key, was, is);
    }

    /// Makes the largest holders give up something until the rest fits.
    fn shed(&mut self, now: Time, out: &mut Vec<Batch>) {
        while self.held.total() > self.limits.max_held_bytes
            && let Some(key) = self.held.largest().cloned()
            && let Some(followed) = self.flows.get_mut(&key)
        {
            let mut assembled = Vec::new();
            self.shed += u64::from(followed.flow.shed(&mut assembled));
            out.extend(Batch::of(&key, &followed.flow, assembled));
            self.advance(&key, now, out);
        }
    }

    /// Forgets a flow but for where it was. What it holds is given out before.
    fn forget(&mut self, key: &Key, out: &mut Vec<Batch>) {
        let Some(Followed { mut flow, heard, .. }) = self.remove(key) else {
            return;
        };
        let mut assembled = Vec::new();
        flow.finish(&self.limits.flow, &mut assembled);
        out.extend(Batch::of(key, &flow, assembled));
        if let Some(next) = flow.window.next() {
            let subject = subject(&flow.member);
            self.past.remember(key, Mark { next, subject, heard });
        }
    }

    fn remove(&mut self, key: &Key) -> Option<Followed> {
        let followed = self.flows.remove(key)?;
        let subject = subject(&followed.flow.member);
        self.roll.remove(subject, followed.heard, key);
        self.held.change(subject, key, followed.held, 0);
        if let Some(deadline) = followed.deadline {
            self.deadlines.remove(&(deadline, key.clone()));
        }
        Some(followed)
    }
}

impl Batch {
    fn of((channel, _): &Key, flow: &Flow, assembled: Vec<Assembled>) -> Option<Self> {
        (!assembled.is_empty()).then(|| Self {
            channel: channel.clone(),
            member: Arc::clone(&flow.member),
            assembled,
        })
    }
}

/// Where forgotten flows were: a late copy of what they brought is no news.
#[derive(Debug)]
struct Past {
    marks: BTreeMap<Key, Mark>,
    roll: Roll,
}

#[derive(Debug)]
struct Mark {
    /// The number that would have been released next.
    next: Seq,
    subject: Subject,
    heard: Time,
}

impl Past {
    fn remember(&mut self, key: &Key, mark: Mark) {
        if let Some(other) = self.roll.first_to_go(&mark.subject).cloned() {
            self.take(&other);
        }
        self.roll.add(mark.subject, mark.heard, key);
        self.marks.insert(key.clone(), mark);
    }

    fn take(&mut self, key: &Key) -> Option<Seq> {
        let Mark { next, subject, heard } = self.marks.remove(key)?;
        self.roll.remove(subject, heard, key);
        Some(next)
    }
}

fn subject(member: &Member) -> Subject {
    member.credential().subject
}

fn of_channel<'a, T>(
    map: &'a BTreeMap<Key, T>,
    channel: &ChannelName,
) -> impl Iterator<Item = (&'a Key, &'a T)> {
    let lowest = (channel.clone(), Sender::new([0; 32]));
    map.range(lowest.clone()..)
        .take_while(move |((name, _), _)| *name == lowest.0)
}

fn keys_of<T>(map: &BTreeMap<Key, T>, channel: &ChannelName) -> Vec<Key> {
    of_channel(map, channel).map(|(key, _)| key.clone()).collect()
}

/// How many forgotten flows are remembered, at about 300 bytes. As many as may be followed by default: what is
/// forgotten for want of room was heard of within about as long as what is followed.
const MAX_MARKS: usize = 65_536;

mod held;
mod roll;

#[cfg(test)]
mod audit;
#[cfg(test)]
mod tests;
