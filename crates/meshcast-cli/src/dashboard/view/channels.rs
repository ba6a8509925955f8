//! Channels, by what the nodes that have them open say.
//!
//! A channel is its name and its mesh: in another mesh, one of the same name is another one. All
//! that is said is gone through once, however many channels there are.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use meshcast::admin::schema;

use super::{
    super::picture::{Look, Picture},
    ChannelView, Tally, per_second, sum,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Channel<'a> {
    pub(in super::super) mesh: &'a str,
    pub(in super::super) name: &'a str,
}

/// A node, and what it says of a channel.
pub(super) type Said<'a> = (&'a Look, &'a schema::Channel);

/// What is said of each channel.
#[derive(Debug, Default)]
pub(super) struct Channels<'a>(BTreeMap<Channel<'a>, Vec<Said<'a>>>);

impl<'a> Channels<'a> {
    pub(super) fn of(picture: &'a Picture) -> Self {
        let mut all = BTreeMap::<_, Vec<_>>::new();
        for (_, look) in picture.looks() {
            for it in &look.channels {
                let (mesh, name) = (look.node.node.mesh.as_str(), it.name.as_str());
                all.entry(Channel { mesh, name })
                    .or_default()
                    .push((look, it));
            }
        }
        Self(all)
    }

    /// What each node that answered says of this one.
    pub(super) fn said<'s>(&'s self, channel: Channel<'s>) -> &'s [Said<'a>] {
        self.0.get(&channel).map_or(&[], Vec::as_slice)
    }

    /// What each is called. If several meshes have one of a name, it is told by a part of the
    /// mesh's id too, but in the mesh that most nodes here are of.
    fn keys(&self, picture: &'a Picture) -> BTreeMap<String, Channel<'a>> {
        let sizes = sizes(picture);
        let mut channels: Vec<_> = self.0.keys().copied().collect();
        channels.sort_by_key(|it| (Reverse(sizes.get(it.mesh).copied()), *it));
        let mut keys = BTreeMap::<String, Channel<'_>>::new();
        for channel in channels {
            let key = match keys.get(channel.name) {
                Some(other) if other.mesh != channel.mesh => key_of(channel),
                _ => channel.name.to_owned(),
            };
            keys.entry(key).or_insert(channel);
        }
        keys
    }
}

/// How many nodes each mesh has here.
fn sizes(picture: &Picture) -> BTreeMap<&str, usize> {
    let mut sizes = BTreeMap::new();
    for (_, look) in picture.looks() {
        *sizes.entry(look.node.node.mesh.as_str()).or_default() += 1;
    }
    sizes
}

/// What one is called that is not in the largest mesh.
fn key_of(channel: Channel<'_>) -> String {
    format!("{} …{}", channel.name, super::tail(channel.mesh))
}

/// The channel that is called so, if any node has it open.
pub(in super::super) fn find<'a>(picture: &'a Picture, key: &str) -> Option<Channel<'a>> {
    let sizes = sizes(picture);
    let all = picture.looks().flat_map(|(_, look)| {
        let mesh = look.node.node.mesh.as_str();
        let channels = look.channels.iter();
        channels.map(move |it| Channel {
            mesh,
            name: &it.name,
        })
    });
    // One is called by its name alone in the largest mesh that has it.
    let ranked = all.filter_map(|it| {
        let by_name = it.name == key;
        let is_it = by_name || (key.starts_with(it.name) && key == key_of(it));
        is_it.then_some((!by_name, Reverse(sizes.get(it.mesh).copied()), it))
    });
    ranked.min().map(|(.., channel)| channel)
}

/// The highest number of each sender that any node heard of.
pub(super) fn heads<'a>(said: &[Said<'a>]) -> BTreeMap<&'a str, u64> {
    let mut heads = BTreeMap::new();
    for sender in said.iter().flat_map(|(_, channel)| &channel.senders) {
        let head = heads.entry(sender.peer_id.as_str()).or_default();
        *head = sender.highest_seq.max(*head);
    }
    heads
}

/// How many messages of one sender a node lacks at most.
pub(super) fn behind(channel: &schema::Channel, heads: &BTreeMap<&str, u64>) -> u64 {
    let lacks = channel.senders.iter().filter_map(|sender| {
        let head = heads.get(sender.peer_id.as_str())?;
        Some(head.saturating_sub(sender.delivered_seq?))
    });
    lacks.max().unwrap_or(0)
}

/// How far each node is with each sender, others than itself.
fn delivered<'a>(said: &[Said<'a>]) -> BTreeMap<(&'a str, &'a str), u64> {
    let each = said.iter().flat_map(|(look, channel)| {
        let at = look.node.node.peer_id.as_str();
        let others = channel.senders.iter().filter(move |it| it.peer_id != at);
        others.filter_map(move |it| Some(((at, it.peer_id.as_str()), it.delivered_seq?)))
    });
    each.collect()
}

/// How much more there is than before. A count that was not there before adds nothing new: it may
/// be as old as it likes.
fn new<K: Ord>(now: &BTreeMap<K, u64>, before: &BTreeMap<K, u64>) -> u64 {
    sum(now.iter().map(|(key, count)| {
        let before = before.get(key).unwrap_or(count);
        count.saturating_sub(*before)
    }))
}

/// What waits at a process on all its channels.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    pub(super) behind: u64,
    pub(super) waiting_bytes: usize,
}

/// By id of the process.
pub(super) type Loads<'a> = BTreeMap<&'a str, Load>;

/// As many as a list has room for, how many others there are, and what waits on all of them.
pub(super) fn channels<'a>(
    before: Option<&Picture>,
    now: &'a Picture,
) -> (BTreeMap<String, ChannelView>, usize, Loads<'a>) {
    let (all, earlier) = (Channels::of(now), before.map(Channels::of));
    let passed = before.and_then(|before| now.at.checked_sub(before.at));
    let earlier = earlier.zip(passed);
    let (mut channels, mut left_out, mut loads) = (BTreeMap::new(), 0, Loads::new());
    for (key, channel) in all.keys(now) {
        let said = all.said(channel);
        let heads = heads(said);
        for (look, it) in said {
            let load = loads.entry(look.node.node.peer_id.as_str()).or_default();
            load.waiting_bytes += it.outbox_bytes + it.unread_bytes;
            if it.objects > 0 {
                load.behind = load.behind.max(behind(it, &heads));
            }
        }
        if channels.len() == CHANNELS {
            left_out += 1;
            continue;
        }
        let mut seen = seen(said, &heads);
        seen.name = (key != channel.name).then(|| channel.name.to_owned());
        if let Some((earlier, passed)) = &earlier {
            let (before, passed) = (earlier.said(channel), passed.as_secs_f64());
            let known = self::heads(before);
            let posted = heads
                .iter()
                .map(|(sender, seq)| seq.saturating_sub(known.get(sender).copied().unwrap_or(0)));
            seen.posted_per_s = per_second(sum(posted), passed);
            let heard = new(&delivered(said), &delivered(before));
            seen.delivered_per_s = per_second(heard, passed);
        }
        channels.insert(key, seen);
    }
    (channels, left_out, loads)
}

/// What became of it at one node.
pub(super) fn tally(channel: &schema::Channel) -> Tally {
    Tally {
        delivered: channel.delivered,
        repaired: channel.repaired,
        missed: channel.missed.saturating_add(channel.unread),
        dropped: channel.dropped,
    }
}

impl Tally {
    fn and(self, other: Self) -> Self {
        Self {
            delivered: self.delivered.saturating_add(other.delivered),
            repaired: self.repaired.saturating_add(other.repaired),
            missed: self.missed.saturating_add(other.missed),
            dropped: self.dropped.saturating_add(other.dropped),
        }
    }
}

fn seen(said: &[Said<'_>], heads: &BTreeMap<&str, u64>) -> ChannelView {
    let mut channel = ChannelView {
        senders: heads.len(),
        posted: sum(heads.values().copied()),
        ..ChannelView::default()
    };
    let mut open = BTreeSet::new();
    for (look, it) in said {
        if it.objects > 0 {
            open.insert(look.node.node.peer_id.as_str());
            let (least, most) = channel.mesh.unwrap_or((usize::MAX, 0));
            channel.mesh = Some((least.min(it.mesh.len()), most.max(it.mesh.len())));
            channel.behind = channel.behind.max(behind(it, heads));
        }
        open.extend(it.subscribers.iter().map(String::as_str));
        channel.waiting_bytes += it.outbox_bytes + it.unread_bytes;
        channel.tally = channel.tally.and(tally(it));
    }
    channel.members = open.len();
    channel
}

/// More than anybody reads.
const CHANNELS: usize = 200;
