//! Analysis of a run: how long messages took between regions, what was missed, and what it cost.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::{
    log::{Entry, Event, Name},
    scenario::{Mark, Scenario},
    world::Traffic,
};

/// The analysis of a run, made of its log. Times are whole microseconds after the start.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Analysis {
    /// Of which scenario.
    pub scenario: String,
    /// What that is about.
    pub about: String,
    /// With which seed.
    pub seed: u64,
    /// Whether real nodes ran, in real time.
    pub is_real: bool,
    /// How long it was.
    pub duration_us: u64,
    /// Where nodes were.
    pub regions: Vec<RegionNodes>,
    /// Values posted.
    pub posts: u64,
    /// Deliveries, to each object.
    pub deliveries: u64,
    /// Gaps that objects were told of.
    pub gaps: u64,
    /// The numbers that those name.
    pub missed: u64,
    /// Latency from region to region, for those between which anything was delivered.
    pub pairs: Vec<Pair>,
    /// The run in slices of the same length.
    pub slices: Vec<Slice>,
    /// How long each is.
    pub slice_us: u64,
    /// What went wrong.
    pub faults: Vec<Mark>,
    /// The first thousand gaps.
    pub gaps_told: Vec<GapTold>,
    /// What it cost.
    pub cost: Cost,
    /// What is not as it should be, one line each.
    pub complaints: Vec<String>,
}

/// The nodes of a region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "they say it")]
pub struct RegionNodes {
    pub name: String,
    pub nodes: Vec<String>,
}

/// From the post to the delivery, between two regions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "they say it")]
pub struct Pair {
    pub from: String,
    pub to: String,
    pub deliveries: u64,
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

/// A moment of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Slice {
    /// Values posted in it.
    pub posts: u64,
    /// Deliveries in it.
    pub deliveries: u64,
    /// Numbers that objects were told in it they will not get.
    pub missed: u64,
    /// What deliveries in it took; `None` without any.
    pub p50_us: Option<u64>,
    /// The same for the slowest of a hundred.
    pub p99_us: Option<u64>,
}

/// A gap that an object was told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "they say it")]
pub struct GapTold {
    pub at_us: u64,
    pub process: String,
    pub sender: String,
    pub first: u64,
    pub last: u64,
}

/// What a run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Frames published.
    pub frames: u64,
    /// Copies of them that arrived somewhere by gossip.
    pub copies: u64,
    /// Bytes that were sent. In virtual time those of frames and sync messages; of real nodes all
    /// that set out on the links, encryption and admission included.
    pub bytes: u64,
    /// Times a peer was asked for frames.
    pub requests: u64,
    /// Frames that came as an answer and were news.
    pub repaired: u64,
}

/// What an [`Analysis`] is made of.
#[derive(Debug, Clone, Copy)]
pub struct Ran<'a> {
    /// What was run.
    pub scenario: &'a Scenario,
    /// With which seed.
    pub seed: u64,
    /// Whether by real nodes.
    pub is_real: bool,
    /// What went wrong.
    pub faults: &'a [Mark],
    /// What was written down.
    pub log: &'a [Entry],
    /// What it cost.
    pub cost: Cost,
    /// What is not as it should be.
    pub complaints: &'a [String],
}

impl Analysis {
    /// Looks through a log.
    pub fn of(ran: Ran<'_>) -> Self {
        let Ran {
            scenario,
            seed,
            is_real,
            faults,
            log,
            cost,
            complaints,
        } = ran;
        let end = log.iter().map(|entry| entry.t.micros()).max().unwrap_or(0);
        let slice_us = slice_width(end);
        let mut found = Found::new(scenario, slice_us, end);
        let mut entries: Vec<&Entry> = log.iter().collect();
        // A post may be written down in the same microsecond as its delivery, after it.
        entries.sort_by_key(|entry| (entry.t, !matches!(entry.event, Event::Post { .. })));
        entries.iter().for_each(|entry| found.take(entry));
        let (posts, deliveries) = found.slices.iter().fold((0, 0), |sums, slice| {
            (sums.0 + slice.told.posts, sums.1 + slice.told.deliveries)
        });
        let regions = scenario.regions.iter().enumerate();
        let regions = regions.map(|(index, name)| RegionNodes {
            name: name.clone(),
            nodes: (0..scenario.nodes)
                .filter(|node| scenario.region_index(*node) == index)
                .map(|node| scenario.node_name(node))
                .collect(),
        });
        let name = |region: usize| scenario.regions[region].clone();
        let pairs = found.pairs.into_iter().map(|((from, to), mut took)| {
            took.sort_unstable();
            Pair {
                from: name(from),
                to: name(to),
                deliveries: took.len() as u64,
                p50_us: quantile(&took, 0.5).unwrap_or_default(),
                p99_us: quantile(&took, 0.99).unwrap_or_default(),
                max_us: took.last().copied().unwrap_or_default(),
            }
        });
        Self {
            scenario: scenario.name.clone(),
            about: scenario.about.clone(),
            seed,
            is_real,
            duration_us: end,
            regions: regions.collect(),
            posts,
            deliveries,
            gaps: found.gaps,
            missed: found.slices.iter().map(|slice| slice.told.missed).sum(),
            pairs: pairs.collect(),
            slices: found.slices.into_iter().map(Filling::finish).collect(),
            slice_us,
            faults: faults.to_vec(),
            gaps_told: found.gaps_told,
            cost,
            complaints: complaints.to_vec(),
        }
    }

    /// The number of times that a frame came to somebody by gossip; `None` if none was published.
    pub fn copies_per_frame(&self) -> Option<f64> {
        let Cost { frames, copies, .. } = self.cost;
        (frames > 0).then(|| copies as f64 / frames as f64)
    }

    /// The bytes sent for each message that was posted, to all who hear it; `None` if none was.
    pub fn bytes_per_message(&self) -> Option<f64> {
        let bytes = self.cost.bytes as f64;
        (self.posts > 0).then(|| bytes / self.posts as f64)
    }

    /// The bytes sent for each value that was delivered; `None` if none was.
    pub fn bytes_per_delivery(&self) -> Option<f64> {
        let bytes = self.cost.bytes as f64;
        (self.deliveries > 0).then(|| bytes / self.deliveries as f64)
    }
}

impl From<Traffic> for Cost {
    fn from(traffic: Traffic) -> Self {
        Self {
            frames: traffic.frames,
            copies: traffic.copies,
            bytes: traffic.copy_bytes + traffic.sync_bytes,
            requests: traffic.requests,
            repaired: traffic.repaired,
        }
    }
}

/// What was found so far.
struct Found<'a> {
    /// The regions of nodes, by name.
    regions: BTreeMap<String, usize>,
    /// When each value was posted, by channel, sender and its first number.
    posted: BTreeMap<(&'a Name, &'a Name, u64), u64>,
    /// What deliveries took, by regions.
    pairs: BTreeMap<(usize, usize), Vec<u64>>,
    slices: Vec<Filling>,
    slice_us: u64,
    gaps: u64,
    gaps_told: Vec<GapTold>,
}

/// A slice, and what deliveries in it took.
#[derive(Clone, Default)]
struct Filling {
    told: Slice,
    took: Vec<u64>,
}

impl<'a> Found<'a> {
    fn new(scenario: &Scenario, slice_us: u64, end: u64) -> Self {
        let regions =
            (0..scenario.nodes).map(|node| (scenario.node_name(node), scenario.region_index(node)));
        Self {
            regions: regions.collect(),
            posted: BTreeMap::new(),
            pairs: BTreeMap::new(),
            slices: vec![Filling::default(); (end / slice_us) as usize + 1],
            slice_us,
            gaps: 0,
            gaps_told: Vec::new(),
        }
    }

    fn take(&mut self, entry: &'a Entry) {
        let at = entry.t.micros();
        let Some(slice) = self.slices.get_mut((at / self.slice_us) as usize) else {
            return;
        };
        match &entry.event {
            Event::Post { channel, seqs, .. } => {
                slice.told.posts += 1;
                let key = (channel, &entry.process, seqs.first);
                self.posted.insert(key, at);
            }
            Event::Delivery {
                channel,
                sender,
                seqs,
                ..
            } => {
                slice.told.deliveries += 1;
                let posted = self.posted.get(&(channel, sender, seqs.first));
                let (Some(posted), Some(from), Some(to)) = (
                    posted,
                    region_of(&self.regions, sender),
                    region_of(&self.regions, &entry.process),
                ) else {
                    return;
                };
                let took = at.saturating_sub(*posted);
                slice.took.push(took);
                self.pairs.entry((from, to)).or_default().push(took);
            }
            Event::Gap { sender, missed, .. } => {
                slice.told.missed += missed.len();
                self.gaps += 1;
                if self.gaps_told.len() < MOST_GAPS {
                    self.gaps_told.push(GapTold {
                        at_us: at,
                        process: entry.process.to_string(),
                        sender: sender.to_string(),
                        first: missed.first,
                        last: missed.last,
                    });
                }
            }
            _ => {}
        }
    }
}

impl Filling {
    fn finish(mut self) -> Slice {
        self.took.sort_unstable();
        Slice {
            p50_us: quantile(&self.took, 0.5),
            p99_us: quantile(&self.took, 0.99),
            ..self.told
        }
    }
}

/// A process is called by its node and which start of it it is: `fra0.1`.
fn region_of(regions: &BTreeMap<String, usize>, process: &Name) -> Option<usize> {
    let (node, _) = process.as_str().rsplit_once('.')?;
    regions.get(node).copied()
}

/// Of sorted values, by nearest rank.
fn quantile(sorted: &[u64], part: f64) -> Option<u64> {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied()
}

/// A round number, so that there are no more slices than can be told apart.
fn slice_width(end: u64) -> u64 {
    let widths = [100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
    let widths = widths.map(|millis| u64::try_from(Duration::from_millis(millis).as_micros()));
    let mut widths = widths.into_iter().flatten();
    let fits = |width: &u64| end / width < MOST_SLICES;
    widths.find(fits).unwrap_or_else(|| end / MOST_SLICES + 1)
}

const MOST_SLICES: u64 = 250;
/// More nobody reads; the log has them all.
const MOST_GAPS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        at::At,
        log::{Digest, Span},
    };

    fn scenario() -> Scenario {
        let text = "name = 'mine'\nnodes = 2\nregions = ['fra', 'syd']\nduration = 1";
        Scenario::from_toml(text).expect("a scenario")
    }

    fn entry(millis: u64, process: &str, event: Event) -> Entry {
        let (t, process) = (At::from_micros(1000 * millis), process.into());
        Entry { t, process, event }
    }

    fn post(millis: u64, seq: u64) -> Entry {
        let (object, channel, seqs) = (1, "earth".into(), Span::new(seq, seq));
        let hash = Digest::of(b"");
        entry(
            millis,
            "fra0.1",
            Event::Post {
                object,
                channel,
                seqs,
                hash,
            },
        )
    }

    fn delivery(millis: u64, seq: u64) -> Entry {
        let (object, channel, seqs) = (1, "earth".into(), Span::new(seq, seq));
        let (hash, sender) = (Digest::of(b""), "fra0.1".into());
        entry(
            millis,
            "syd0.2",
            Event::Delivery {
                object,
                channel,
                sender,
                seqs,
                hash,
            },
        )
    }

    fn analysis(log: &[Entry]) -> Analysis {
        Analysis::of(Ran {
            scenario: &scenario(),
            seed: 7,
            is_real: false,
            faults: &[],
            log,
            cost: Cost {
                frames: 4,
                copies: 10,
                bytes: 900,
                ..Cost::default()
            },
            complaints: &[],
        })
    }

    #[test]
    fn latency_is_told_by_regions_and_by_time() {
        let mut log: Vec<_> = (1..=100).map(|seq| post(10 * seq, seq)).collect();
        // The first entry in the log need not be first in time.
        log.splice(0..0, (1..=99).map(|seq| delivery(10 * seq + seq, seq)));
        let (object, channel, sender) = (1, "earth".into(), "fra0.1".into());
        let missed = Span::new(100, 102);
        log.push(entry(
            2_400,
            "syd0.2",
            Event::Gap {
                object,
                channel,
                sender,
                missed,
                kept: None,
            },
        ));
        let analysis = analysis(&log);
        let pair = Pair {
            from: "fra".into(),
            to: "syd".into(),
            deliveries: 99,
            p50_us: 50_000,
            p99_us: 99_000,
            max_us: 99_000,
        };
        assert_eq!(analysis.pairs, [pair]);
        assert_eq!((analysis.posts, analysis.deliveries), (100, 99));
        assert_eq!((analysis.gaps, analysis.missed), (1, 3));
        assert_eq!((analysis.slice_us, analysis.slices.len()), (100_000, 25));
        let first = &analysis.slices[0];
        assert_eq!(
            (first.posts, first.deliveries, first.p50_us),
            (9, 9, Some(5_000))
        );
        let last = analysis.slices.last().expect("some");
        assert_eq!((last.missed, last.p50_us), (3, None));
        assert_eq!(analysis.gaps_told[0].last, 102);
        assert_eq!(analysis.copies_per_frame(), Some(2.5));
        assert_eq!(analysis.bytes_per_delivery(), Some(900.0 / 99.0));
    }

    #[test]
    fn a_run_of_nothing_is_one_slice() {
        let analysis = analysis(&[]);
        assert_eq!((analysis.slices.len(), analysis.pairs.len()), (1, 0));
        assert_eq!(analysis.bytes_per_delivery(), None);
    }

    #[test]
    fn a_long_run_has_no_more_slices_than_a_page_is_wide() {
        for seconds in [1, 25, 100, 3_600, 1_000_000] {
            let end = seconds * 1_000_000;
            assert!(end / slice_width(end) <= MOST_SLICES, "{seconds}");
        }
    }
}
