//! One member, link or channel, when somebody looks at it.

use std::collections::BTreeMap;

use meshcast::admin::schema;
use serde::Serialize;

use super::{
    super::picture::Picture,
    Tally,
    channels::{self, Channels, behind, find, heads, tally},
    links::{Pair, pairs},
};

/// A member: its links, channels and counters.
#[derive(Debug, Serialize)]
pub(in super::super) struct Member<'a> {
    pub(in super::super) node: &'a schema::Node,
    pub(in super::super) counters: &'a BTreeMap<String, u64>,
    pub(in super::super) peers: &'a [schema::Peer],
    pub(in super::super) channels: Vec<Open<'a>>,
}

/// A channel at one member.
#[derive(Debug, Serialize)]
pub(in super::super) struct Open<'a> {
    /// Of the channel, or of the member if it is about a channel.
    pub(in super::super) name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) region: Option<&'a str>,
    pub(in super::super) objects: usize,
    pub(in super::super) subscribers: usize,
    pub(in super::super) mesh: usize,
    /// The peers that its gossip sends the channel to at once: those in its mesh of gossip.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) sends_to: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) senders: Option<usize>,
    pub(in super::super) behind: u64,
    pub(in super::super) outbox_bytes: usize,
    pub(in super::super) unread_bytes: usize,
    #[serde(flatten)]
    pub(in super::super) tally: Tally,
}

/// What is between two regions.
#[derive(Debug, Serialize)]
pub(in super::super) struct Links<'a> {
    pub(in super::super) a: &'a str,
    pub(in super::super) b: &'a str,
    /// The number of links, counting those left out.
    pub(in super::super) count: usize,
    pub(in super::super) links: Vec<EachLink<'a>>,
}

/// Two members that are connected.
#[derive(Debug, Serialize)]
pub(in super::super) struct EachLink<'a> {
    pub(in super::super) a: &'a str,
    pub(in super::super) b: &'a str,
    pub(in super::super) rtt_us: Option<u64>,
    pub(in super::super) half: bool,
    pub(in super::super) mute: u32,
}

/// A channel: who of those that were asked has it open and how far they are, and who posts on it.
#[derive(Debug, Serialize)]
pub(in super::super) struct Channel<'a> {
    pub(in super::super) name: &'a str,
    pub(in super::super) members: Vec<Open<'a>>,
    pub(in super::super) senders: Vec<Head<'a>>,
}

/// How far a sender is.
#[derive(Debug, Serialize)]
pub(in super::super) struct Head<'a> {
    pub(in super::super) peer_id: &'a str,
    pub(in super::super) name: Option<&'a str>,
    pub(in super::super) region: Option<&'a str>,
    pub(in super::super) seq: u64,
}

/// `None` if it was not asked or did not answer.
pub(in super::super) fn member<'a>(picture: &'a Picture, name: &str) -> Option<Member<'a>> {
    let look = picture.nodes.get(name)?.look.as_ref()?;
    let all = Channels::of(picture);
    let channels = look.channels.iter().take(ROWS).map(|channel| {
        let (mesh, name) = (look.node.node.mesh.as_str(), channel.name.as_str());
        let said = all.said(channels::Channel { mesh, name });
        Open {
            name,
            senders: Some(channel.senders.len()),
            ..open(channel, &heads(said))
        }
    });
    Some(Member {
        node: &look.node.node,
        counters: &look.node.counters,
        peers: &look.peers,
        channels: channels.collect(),
    })
}

/// Each link by itself, slow ones first.
pub(in super::super) fn link<'a>(picture: &'a Picture, a: &'a str, b: &'a str) -> Links<'a> {
    let pairs = pairs(picture);
    let is_between = |pair: &&Pair<'_>| pair.regions == (a, b) || pair.regions == (b, a);
    let mut found: Vec<_> = pairs.values().filter(is_between).collect();
    found.sort_by_key(|pair| std::cmp::Reverse(pair.rtt_us()));
    let count = found.len();
    let links = found.into_iter().take(ROWS).map(|pair| EachLink {
        a: pair.names.0,
        b: pair.names.1,
        rtt_us: pair.rtt_us(),
        half: pair.is_half(),
        mute: pair
            .ends
            .0
            .unwrap_or_default()
            .mute
            .max(pair.ends.1.unwrap_or_default().mute),
    });
    Links {
        a,
        b,
        count,
        links: links.collect(),
    }
}

/// Of the channel with this key. Empty if nobody has it open.
pub(in super::super) fn channel<'a>(picture: &'a Picture, key: &'a str) -> Channel<'a> {
    let Some(channel) = find(picture, key) else {
        return Channel {
            name: key,
            members: Vec::new(),
            senders: Vec::new(),
        };
    };
    let all = Channels::of(picture);
    let said = all.said(channel);
    let heads = heads(said);
    let names = names(said);
    let members = said.iter().take(ROWS).map(|(look, channel)| {
        let mesh = channel.mesh.iter().take(PEERS);
        let named = mesh.filter_map(|id| names.get(id.as_str()).copied());
        Open {
            name: &look.node.node.name,
            region: Some(&look.node.node.region),
            sends_to: Some(named.collect()),
            ..open(channel, &heads)
        }
    });
    let senders = said.iter().flat_map(|(_, channel)| &channel.senders);
    let senders: BTreeMap<_, _> = senders.map(|it| (it.peer_id.as_str(), it)).collect();
    let senders = heads.iter().take(ROWS).map(|(id, seq)| {
        let sender = senders.get(id);
        Head {
            peer_id: id,
            name: sender.map(|sender| sender.name.as_str()),
            region: sender.map(|sender| sender.region.as_str()),
            seq: *seq,
        }
    });
    Channel {
        name: channel.name,
        members: members.collect(),
        senders: senders.collect(),
    }
}

/// The names of nodes that have a channel open and of those they are linked to, by id.
fn names<'a>(said: &[channels::Said<'a>]) -> BTreeMap<&'a str, &'a str> {
    let all = said.iter().flat_map(|(look, _)| {
        let node = &look.node.node;
        let peers = look.peers.iter();
        let peers = peers.map(|peer| (peer.peer_id.as_str(), peer.name.as_str()));
        peers.chain([(node.peer_id.as_str(), node.name.as_str())])
    });
    all.collect()
}

fn open<'a>(channel: &'a schema::Channel, heads: &BTreeMap<&str, u64>) -> Open<'a> {
    Open {
        name: &channel.name,
        region: None,
        objects: channel.objects,
        subscribers: channel.subscribers.len(),
        mesh: channel.mesh.len(),
        sends_to: None,
        senders: None,
        behind: behind(channel, heads),
        outbox_bytes: channel.outbox_bytes,
        unread_bytes: channel.unread_bytes,
        tally: tally(channel),
    }
}

/// More than anybody reads.
const ROWS: usize = 500;
/// Gossip sends to twelve at most by itself.
const PEERS: usize = 16;
