//! What was measured.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use meshcast::admin::schema;
use serde::Serialize;

use super::{
    Bench, Rate,
    listeners::{Listener, Listeners},
    poster::Posted,
};
use crate::render::{self, Palette, Table};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    schema: &'static str,
    channel: String,
    /// The node that posted, and its region.
    node: String,
    region: String,
    /// Messages a second that were asked for; `null` for as many as get through.
    asked_per_s: Option<u32>,
    size: u32,
    duration_us: u64,
    posted: u64,
    /// One message is no rate: `null`.
    posted_per_s: Option<f64>,
    posted_bytes_per_s: Option<f64>,
    /// Together, by all that listened.
    heard: u64,
    heard_per_s: Option<f64>,
    lost: u64,
    regions: Vec<Region>,
}

/// What the nodes of one region heard.
#[derive(Debug, Serialize)]
struct Region {
    region: String,
    nodes: usize,
    heard: u64,
    /// Posted, and not heard by a node until it was over; each node counts.
    lost: u64,
    /// Messages that came after a later one, or twice.
    disordered: u64,
    /// Numbers that were given up, by reason.
    gaps: BTreeMap<String, u64>,
    p50_us: Option<u64>,
    p90_us: Option<u64>,
    p99_us: Option<u64>,
    p999_us: Option<u64>,
    max_us: Option<u64>,
}

impl Report {
    pub(super) fn new(
        args: &Bench,
        node: &schema::Node,
        posted: &Posted,
        listeners: &Listeners,
    ) -> Self {
        let mut by_region: BTreeMap<&str, Vec<&Listener>> = BTreeMap::new();
        for listener in listeners.iter() {
            by_region
                .entry(&listener.region)
                .or_default()
                .push(listener);
        }
        let regions: Vec<_> = by_region
            .into_iter()
            .map(|(region, listeners)| Region::new(region, &listeners, posted.messages))
            .collect();
        let heard = regions.iter().map(|region| region.heard).sum();
        let is_rate = posted.messages > 1;
        let rate = |count| per_second(count, posted.took).filter(|_| is_rate);
        Self {
            schema: "bench/v1",
            channel: args.channel.to_string(),
            node: node.name.clone(),
            region: node.region.clone(),
            asked_per_s: match args.rate {
                Rate::Fixed(rate) => Some(rate),
                Rate::Max => None,
            },
            size: args.size,
            duration_us: u64::try_from(posted.took.as_micros()).unwrap_or(u64::MAX),
            posted: posted.messages,
            posted_per_s: rate(posted.messages),
            posted_bytes_per_s: rate(posted.bytes),
            heard,
            heard_per_s: rate(heard),
            lost: regions.iter().map(|region| region.lost).sum(),
            regions,
        }
    }

    /// Nothing is lost, and all is in order.
    pub(super) fn is_clean(&self) -> bool {
        let mut regions = self.regions.iter();
        regions.all(|region| region.lost == 0 && region.disordered == 0)
    }

    pub(super) fn render(&self, palette: Palette) -> String {
        let mut text = format!(
            "{} posted {} {} of {} B on {}",
            render::text(&self.node),
            self.posted,
            if self.posted == 1 {
                "message"
            } else {
                "messages"
            },
            self.size,
            render::channel(&self.channel),
        );
        if let (Some(messages), Some(bytes)) = (self.posted_per_s, self.posted_bytes_per_s) {
            let seconds = Duration::from_micros(self.duration_us).as_secs_f64();
            let megabytes = bytes / 1e6;
            text += &format!(" in {seconds:.1} s: {messages:.0} a second, {megabytes:.2} MB/s");
        }
        text += "\n\n";
        let mut table = Table::new(&[
            "REGION", ">NODES", ">HEARD", ">LOST", ">P50", ">P90", ">P99", ">P99.9", ">MAX",
        ]);
        for region in &self.regions {
            table.row([
                render::text(&region.region),
                region.nodes.to_string(),
                region.heard.to_string(),
                region.lost.to_string(),
                render::rtt(region.p50_us),
                render::rtt(region.p90_us),
                render::rtt(region.p99_us),
                render::rtt(region.p999_us),
                render::rtt(region.max_us),
            ]);
        }
        text += &table.render(palette);
        for region in &self.regions {
            let name = render::text(&region.region);
            if region.disordered > 0 {
                let line = format!("! {} out of order in {name}", region.disordered);
                text += &(palette.bad(&line) + "\n");
            }
            for (reason, count) in &region.gaps {
                let line = format!("! {count} missing in {name}: {}", render::text(reason));
                text += &(palette.bad(&line) + "\n");
            }
        }
        text
    }
}

impl Region {
    fn new(region: &str, listeners: &[&Listener], posted: u64) -> Self {
        let mut all = Self {
            region: region.to_owned(),
            nodes: listeners.len(),
            heard: 0,
            lost: 0,
            disordered: 0,
            gaps: BTreeMap::new(),
            p50_us: None,
            p90_us: None,
            p99_us: None,
            p999_us: None,
            max_us: None,
        };
        let mut latency: Option<Histogram<u64>> = None;
        for listener in listeners {
            let heard = listener.heard();
            all.heard += heard.messages;
            all.lost += posted.saturating_sub(heard.messages);
            all.disordered += heard.disordered;
            for (reason, count) in &heard.gaps {
                *all.gaps.entry(reason.clone()).or_default() += count;
            }
            match &mut latency {
                // All have the same bounds.
                Some(latency) => _ = latency.add(&heard.latency),
                None => latency = Some(heard.latency.clone()),
            }
        }
        if let Some(latency) = latency.filter(|latency| !latency.is_empty()) {
            let at = |quantile| Some(latency.value_at_quantile(quantile));
            all.p50_us = at(0.5);
            all.p90_us = at(0.9);
            all.p99_us = at(0.99);
            all.p999_us = at(0.999);
            all.max_us = Some(latency.max());
        }
        all
    }
}

/// To tenths; `None` if no time has passed.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
pub(super) fn per_second(count: u64, time: Duration) -> Option<f64> {
    let rate = count as f64 / time.as_secs_f64();
    rate.is_finite().then(|| (rate * 10.0).round() / 10.0)
}
