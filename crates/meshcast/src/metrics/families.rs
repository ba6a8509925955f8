//! The metrics, and how they are written.

use std::{collections::BTreeMap, fmt, time::Duration};

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet},
    metrics::{MetricType, exemplar::Exemplar},
    registry::Unit,
};

use crate::{by_region::ByRegion, command::Inspected, measured::Histogram, traffic::PassedBytes};

/// A metric with all its series.
#[derive(Debug)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    samples: Samples,
}

#[derive(Debug)]
enum Samples {
    Info(Vec<(&'static str, String)>),
    Counters(Vec<(Labels, u64)>),
    Gauges(Vec<(Labels, f64)>),
    Histograms(Vec<(Labels, Histogram)>),
}

/// One label, or none.
type Labels = Option<(&'static str, String)>;

/// All metrics of a node. What they mean stands in `docs/metrics.md`, by which a test checks this.
pub(super) fn families(inspected: &Inspected) -> Vec<Family> {
    let node = &inspected.snapshot.node;
    let it = &inspected.snapshot.counters;
    let measured = &inspected.measured;
    let told = &inspected.object_gaps;
    let links = links(inspected);
    let seconds = |histogram: &ByRegion<Histogram>| {
        let each = histogram.iter();
        each.map(|(region, histogram)| (region_label(region), histogram.clone()))
            .collect()
    };
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
        Family::new(
            "delivery_latency",
            "From the post to the delivery by both clocks, by region of the sender",
            Samples::Histograms(seconds(&measured.latency)),
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
            it.frames_gossiped,
        ),
        counter(
            "forwarded_frames",
            "Frames of others handed on by gossip, each for each peer that was given it",
            it.frames_forwarded,
        ),
        counters(
            "dropped_frames",
            "Frames dropped, by cause",
            "cause",
            [
                ("invalid", it.frames_invalid),
                ("stale", it.frames_stale),
                ("no_room", it.frames_without_room),
                ("made_way", it.frames_dropped),
                ("queues_full", it.frames_refused),
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
        counter(
            "recalled_messages",
            "Records that a reader was given out of the history",
            it.recalled,
        ),
        counter(
            "undecodable_messages",
            "Messages that were not of the type of their object",
            it.undecodable,
        ),
        counter(
            "handler_panics",
            "Handlers that panicked",
            it.handler_panics,
        ),
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
            it.memory_bytes as f64,
        )
        .unit(Unit::Bytes),
        gauge(
            "own_memory",
            "Of that, what this process has not sent or not read",
            it.own_memory_bytes as f64,
        )
        .unit(Unit::Bytes),
        counter(
            "memory_refusals",
            "Times somebody was refused more memory",
            it.memory_refused,
        ),
        gauge(
            "history",
            "Frames kept for others, as Limits::history_bytes counts them",
            it.history_bytes as f64,
        )
        .unit(Unit::Bytes),
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
            it.sync_bytes,
        )
        .unit(Unit::Bytes),
        counters(
            "link_troubles",
            "What went wrong with links, by kind",
            "kind",
            [
                ("slow", it.slow_peer),
                ("mute", it.mute_links),
                ("unresponsive", it.unresponsive),
                ("misbehaving", it.offences),
            ],
        ),
        counter(
            "inbound_connections",
            "Connections that others opened",
            it.inbound,
        ),
        counter(
            "refused_connections",
            "Connections that were not admitted, by either side",
            it.refused,
        ),
        gauge(
            "pending_connections",
            "Connections that have not shown to be of members",
            it.inbound_pending as f64,
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

fn region_label(region: &str) -> Labels {
    Some(("region", region.to_owned()))
}

fn gauge(name: &'static str, help: &'static str, value: impl Into<f64>) -> Family {
    Family::new(name, help, Samples::Gauges(vec![(None, value.into())]))
}

fn gauges(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, f64)>,
) -> Family {
    let values = values.into_iter();
    let samples = values.map(|(of, value)| (Some((label, of.to_owned())), value));
    Family::new(name, help, Samples::Gauges(samples.collect()))
}

fn gauges_by_region(name: &'static str, help: &'static str, values: ByRegion<f64>) -> Family {
    let samples = values.iter();
    // A mean of nothing is no sample.
    let samples = samples.filter(|(_, value)| !value.is_nan());
    let samples = samples.map(|(region, value)| (region_label(region), *value));
    Family::new(name, help, Samples::Gauges(samples.collect()))
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Family {
    Family::new(name, help, Samples::Counters(vec![(None, value)]))
}

fn counters(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: impl IntoIterator<Item = (&'static str, u64)>,
) -> Family {
    let values = values.into_iter();
    let samples = values.map(|(of, value)| (Some((label, of.to_owned())), value));
    Family::new(name, help, Samples::Counters(samples.collect()))
}

fn bytes_by_region(
    name: &'static str,
    help: &'static str,
    passed: &ByRegion<PassedBytes>,
    of: impl Fn(&PassedBytes) -> u64,
) -> Family {
    let samples = passed.iter();
    let samples = samples.map(|(region, passed)| (region_label(region), of(passed)));
    Family::new(name, help, Samples::Counters(samples.collect())).unit(Unit::Bytes)
}

impl Family {
    const fn new(name: &'static str, help: &'static str, samples: Samples) -> Self {
        Self {
            name,
            help,
            unit: None,
            samples,
        }
    }

    fn unit(self, unit: Unit) -> Self {
        let unit = Some(unit);
        Self { unit, ..self }
    }

    pub(super) fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let name = format!("meshcast_{}", self.name);
        // As the registry of the library ends those of metrics that are registered with it.
        let help = format!("{}.", self.help);
        let kind = match self.samples {
            Samples::Info(_) => MetricType::Info,
            Samples::Counters(_) => MetricType::Counter,
            Samples::Gauges(_) => MetricType::Gauge,
            Samples::Histograms(_) => MetricType::Histogram,
        };
        let mut metric = encoder.encode_descriptor(&name, &help, self.unit.as_ref(), kind)?;
        match &self.samples {
            Samples::Info(labels) => metric.encode_info(labels),
            Samples::Counters(samples) => each(&mut metric, samples, |metric, value| {
                metric.encode_counter(value, None::<&Exemplar<NoLabelSet, f64>>)
            }),
            Samples::Gauges(samples) => each(&mut metric, samples, |metric, value| {
                metric.encode_gauge(value)
            }),
            Samples::Histograms(samples) => each(&mut metric, samples, |metric, it| {
                let (sum, buckets) = (it.sum().as_secs_f64(), it.buckets());
                metric.encode_histogram::<NoLabelSet>(sum, it.count(), &buckets, None)
            }),
        }
    }
}

fn each<T>(
    metric: &mut MetricEncoder<'_>,
    samples: &[(Labels, T)],
    encode: impl Fn(&mut MetricEncoder<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (label, value) in samples {
        match label {
            Some(label) => encode(&mut metric.encode_family(&OneLabel(label))?, value)?,
            None => encode(metric, value)?,
        }
    }
    Ok(())
}

struct OneLabel<'a>(&'a (&'static str, String));

impl EncodeLabelSet for OneLabel<'_> {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelSetEncoder<'_>,
    ) -> fmt::Result {
        let (key, value) = self.0;
        [(*key, value.as_str())].encode(encoder)
    }
}
