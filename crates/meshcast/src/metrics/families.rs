//! The metrics: which there are, and where each is taken from.

use std::{collections::BTreeMap, time::Duration};

use prometheus_client::registry::Unit;

use super::family::{
    Family, Samples, bytes_by_region, counter, counters, gauge, gauges, gauges_by_region,
    histograms_by_region,
};
use crate::{by_region::ByRegion, command::Inspected};

/// All metrics of a node. What they mean stands in `docs/metrics.md`, by which a test checks this.
pub(super) fn families(inspected: &Inspected) -> Vec<Family> {
    let groups = [
        node(inspected),
        messages(inspected),
        frames(inspected),
        objects(inspected),
        questions(inspected),
        presence(inspected),
        queues(inspected),
        traffic(inspected),
    ];
    groups.into_iter().flatten().collect()
}

/// The node itself, and how it is doing.
fn node(inspected: &Inspected) -> Vec<Family> {
    let node = &inspected.snapshot.node;
    let links = links(inspected);
    let info = [
        ("name", node.name.to_string()),
        ("region", node.region.to_string()),
        ("mesh", node.mesh.clone()),
        ("version", node.version.to_owned()),
    ];
    let started = node.started_at.unix_millis() as f64 / 1000.0;
    let alone = inspected.isolated_since.map_or(0.0, |since| {
        let now = crate::clock::wall_time().unix_millis();
        now.saturating_sub(since.unix_millis()) as f64 / 1000.0
    });
    let measured = &inspected.measured;
    vec![
        Family::new("node", "Which node this is", Samples::Info(info.into())),
        gauge(
            "start_time",
            "When the node was started, since the Unix epoch",
            started,
        )
        .unit(Unit::Seconds),
        gauge(
            "ready",
            "1 once all seeds were tried and until the node stops",
            inspected.ready,
        ),
        gauge(
            "isolated",
            "For how long no member has been connected",
            alone,
        )
        .unit(Unit::Seconds),
        gauges(
            "seeds",
            "Seeds, by how they are doing",
            "state",
            seeds(inspected),
        ),
        gauges_by_region(
            "members",
            "Other members that are known",
            measured.members.map(|count| *count as f64),
        ),
        gauges_by_region(
            "links",
            "Members that are connected",
            links.map(|link| link.count as f64),
        ),
        gauges_by_region(
            "link_round_trip",
            "The last measured round trips of links, their mean",
            links.map(Link::mean),
        )
        .unit(Unit::Seconds),
        gauge(
            "channels",
            "Channels that are open, or were a moment ago",
            node.channels as f64,
        ),
        gauge(
            "behind_messages",
            "Messages that are known to be missing here",
            inspected.behind_by as f64,
        ),
    ]
}

/// Messages that were posted here, delivered or missed.
fn messages(inspected: &Inspected) -> Vec<Family> {
    let measured = &inspected.measured;
    let told = &inspected.object_gaps;
    let it = &inspected.snapshot.counters;
    vec![
        counter(
            "posts",
            "Records posted here: messages, and each fragment of a large one",
            it.posted,
        ),
        counter(
            "posted_frames",
            "Frames that they were packed into",
            it.frames_posted,
        ),
        counter(
            "deliveries",
            "Records of others that were delivered",
            it.delivered,
        ),
        histograms_by_region(
            "delivery_latency",
            "From the post to the delivery by both clocks, by region of the sender",
            &measured.latency,
        )
        .unit(Unit::Seconds),
        counters(
            "gaps",
            "Gaps reported, to all objects of a channel or to one",
            "reason",
            [
                ("lost", measured.missed.lost.0),
                ("too_large", measured.missed.too_large.0),
                ("incomplete", measured.missed.incomplete.0),
                ("unread", told.unread.gaps),
                ("unfetched", told.unfetched.gaps),
                ("expired", told.expired.gaps),
            ],
        ),
        counters(
            "missed_messages",
            "Records that gaps name",
            "reason",
            [
                ("lost", measured.missed.lost.1),
                ("too_large", measured.missed.too_large.1),
                ("incomplete", measured.missed.incomplete.1),
                ("unread", told.unread.numbers),
                ("unfetched", told.unfetched.numbers),
                ("expired", told.expired.numbers),
            ],
        ),
    ]
}

/// The frames of others, and repairs.
fn frames(inspected: &Inspected) -> Vec<Family> {
    let it = &inspected.snapshot.counters;
    vec![
        counters(
            "frames",
            "Frames of others that came, by what they were good for",
            "outcome",
            [
                ("accepted", it.frames_accepted),
                ("duplicate", it.frames_duplicate),
                ("unwanted", it.frames_unwanted),
            ],
        ),
        counter(
            "gossiped_frames",
            "Frames that gossip brought, each as often as it came",
            it.traffic.frames_gossiped,
        ),
        counter(
            "forwarded_frames",
            "Frames of others handed on by gossip, each for each peer that was given it",
            it.traffic.frames_forwarded,
        ),
        counters(
            "dropped_frames",
            "Frames dropped, by cause",
            "cause",
            [
                ("invalid", it.traffic.frames_invalid),
                ("stale", it.frames_stale),
                ("no_room", it.frames_without_room),
                ("made_way", it.frames_dropped),
                ("queues_full", it.traffic.frames_refused),
            ],
        ),
        counter(
            "repair_requests",
            "Times a peer was asked for frames",
            it.requests,
        ),
        counter(
            "hedged_requests",
            "Those made beside one to another peer that was not answered in a quarter of a second",
            it.requests_hedged,
        ),
        counter(
            "repaired_frames",
            "Frames that came as an answer and were new",
            it.frames_repaired,
        ),
        counter(
            "served_frames",
            "Frames given to peers that asked",
            it.frames_served,
        ),
        counters(
            "refused_repairs",
            "Requests and answers of peers that were refused",
            "what",
            [
                ("request", it.requests_refused),
                ("answer", it.answers_refused),
            ],
        ),
    ]
}

/// How the readers and handlers of channel objects fare.
fn objects(inspected: &Inspected) -> Vec<Family> {
    let it = &inspected.snapshot.counters;
    vec![
        counter(
            "recalled_messages",
            "Records that a reader was given out of the history",
            it.objects.recalled,
        ),
        counter(
            "undecodable_messages",
            "Messages that were not of the type of their object",
            it.objects.undecodable,
        ),
        counter(
            "handler_panics",
            "Handlers that panicked",
            it.objects.handler_panics,
        ),
    ]
}

/// Questions of this node, to it, and over it.
fn questions(inspected: &Inspected) -> Vec<Family> {
    let it = &inspected.snapshot.counters;
    vec![
        counter(
            "questions",
            "Questions that this node asked",
            it.asks.asks_made,
        ),
        counters(
            "question_replies",
            "What came of members to them, or did not",
            "outcome",
            [
                ("answered", it.asks.ask_answers),
                ("declined", it.asks.ask_declines),
                ("silent", it.asks.ask_silent),
                ("gone", it.asks.ask_gone),
                ("unreached", it.asks.ask_unreached),
            ],
        ),
        counters(
            "handled_questions",
            "Questions of members to this node, by what became of them",
            "outcome",
            [
                ("answered", it.asks.asks_answered),
                ("declined", it.asks.asks_declined),
                ("withdrawn", it.asks.asks_withdrawn),
            ],
        ),
        counter(
            "relayed_questions",
            "Questions of others that came over members and were handed on or answered",
            it.asks.asks_relayed,
        ),
        counters(
            "dropped_questions",
            "Questions and replies over members that were not handed on, by cause",
            "cause",
            [
                ("refused", it.asks.asks_refused),
                ("lost", it.asks.asks_lost),
                ("invalid", it.asks.asks_dropped),
            ],
        ),
    ]
}

/// Who is on which channel.
fn presence(inspected: &Inspected) -> Vec<Family> {
    let it = &inspected.snapshot.counters;
    vec![
        counters(
            "presence_records",
            "What members said of their presence on channels, by what became of it",
            "outcome",
            [
                ("accepted", it.presence.presence_records),
                ("limited", it.presence.presence_limited),
                ("no_room", it.presence.presence_refused),
                ("forged", it.presence.presence_forged),
            ],
        ),
        counter(
            "presence_beats",
            "Signs of life made for members that are not connected to this node",
            it.presence.presence_beats,
        ),
    ]
}

/// Queues, and the memory of all that waits.
fn queues(inspected: &Inspected) -> Vec<Family> {
    let measured = &inspected.measured;
    let it = &inspected.snapshot.counters;
    vec![
        gauges(
            "queue",
            "What waits on all channels",
            "queue",
            [
                ("outbox", measured.outbox_bytes as f64),
                ("unread", measured.unread_bytes as f64),
            ],
        )
        .unit(Unit::Bytes),
        gauge(
            "held_up_channels",
            "Channels that wait for their send window now",
            measured.held_up as f64,
        ),
        Family::new(
            "send_window_wait",
            "For how long channels waited for their send window",
            Samples::Histograms(vec![(None, measured.window_wait.clone())]),
        )
        .unit(Unit::Seconds),
        gauge(
            "memory",
            "What waits or is remembered, as Limits::memory_bytes counts it",
            it.memory.memory_bytes as f64,
        )
        .unit(Unit::Bytes),
        gauge(
            "own_memory",
            "Of that, what this process has not sent or not read",
            it.memory.own_memory_bytes as f64,
        )
        .unit(Unit::Bytes),
        counter(
            "memory_refusals",
            "Times somebody was refused more memory",
            it.memory.memory_refused,
        ),
        gauge(
            "history",
            "Frames kept for others, as Limits::history_bytes counts them",
            it.memory.history_bytes as f64,
        )
        .unit(Unit::Bytes),
    ]
}

/// Bytes on links, and what went wrong with them.
fn traffic(inspected: &Inspected) -> Vec<Family> {
    let measured = &inspected.measured;
    let it = &inspected.snapshot.counters;
    vec![
        bytes_by_region(
            "received",
            "What came from members, by their region",
            &measured.passed,
            |it| it.received,
        ),
        bytes_by_region(
            "sent",
            "What went to members, by their region",
            &measured.passed,
            |it| it.sent,
        ),
        counter(
            "sync",
            "What was sent to peers beside gossip",
            it.traffic.sync_bytes,
        )
        .unit(Unit::Bytes),
        counters(
            "link_troubles",
            "What went wrong with links, by kind",
            "kind",
            [
                ("slow", it.peers.slow_peer),
                ("mute", it.peers.mute_links),
                ("unresponsive", it.peers.unresponsive),
                ("misbehaving", it.peers.offences),
            ],
        ),
        counter(
            "inbound_connections",
            "Connections that others opened",
            it.connections.inbound,
        ),
        counter(
            "refused_connections",
            "Connections that were not admitted, by either side",
            it.connections.refused,
        ),
        gauge(
            "pending_connections",
            "Connections that have not shown to be of members",
            it.connections.inbound_pending as f64,
        ),
    ]
}

/// The links to a region.
#[derive(Debug, Default)]
struct Link {
    count: u64,
    measured: u32,
    sum: Duration,
}

impl Link {
    fn mean(&self) -> f64 {
        match self.measured {
            0 => f64::NAN,
            measured => (self.sum / measured).as_secs_f64(),
        }
    }
}

fn links(inspected: &Inspected) -> ByRegion<Link> {
    let mut links = ByRegion::<Link>::new();
    for peer in &inspected.snapshot.peers {
        let link = links.get(&peer.region);
        link.count += 1;
        link.measured += u32::from(peer.rtt.is_some());
        link.sum += peer.rtt.unwrap_or_default();
    }
    links
}

fn seeds(inspected: &Inspected) -> Vec<(&'static str, f64)> {
    let mut states = BTreeMap::<_, f64>::new();
    for seed in &inspected.snapshot.seeds {
        *states.entry(seed.state.as_str()).or_default() += 1.0;
    }
    states.into_iter().collect()
}
