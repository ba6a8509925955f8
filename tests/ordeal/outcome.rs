//! How it went for a node that was attacked.

use std::{fmt, time::Duration};

use crate::hostile::{Attack, Report};

/// What came of it.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// What was done.
    pub attack: Attack,
    /// What the hostile member says of it.
    pub report: Report,
    /// What the victim's process had in memory before, and at most.
    pub resident: (u64, u64),
    /// The number of messages that honest members posted, and of those that one of the others was
    /// not given.
    pub posted: u64,
    /// See there.
    pub lost: u64,
    /// The gaps that were told of honest members, in words.
    pub gaps: Vec<String>,
    /// How long messages of honest members took, before and during the attack; without those of and
    /// for the one that was cut off, at that time.
    pub waits: [Vec<Duration>; 2],
    /// The time until the seed, once it was there again, was connected.
    pub seed: Option<Duration>,
    /// The time that newcomers took to be connected; `None`: they were not.
    pub newcomers: Vec<Option<Duration>>,
    /// The time until the victim was told of what nobody has, if there was such.
    pub gap: Option<Duration>,
    /// Who the victim says misbehaved, and how.
    pub named: Vec<(String, String)>,
    /// The most that the victim charged somebody with, and whom.
    pub charged: (usize, String),
    /// What the victim counted, by name.
    pub counters: std::collections::BTreeMap<String, u64>,
}

impl Outcome {
    /// By how many bytes the victim grew at most.
    pub fn grew(&self) -> u64 {
        self.resident.1.saturating_sub(self.resident.0)
    }

    /// Whether the victim said of a member whose name begins so that this happened to it.
    pub fn names(&self, name: &str, what: &str) -> bool {
        let is = |(who, how): &(String, String)| who.starts_with(name) && how.starts_with(what);
        self.named.iter().any(is)
    }

    /// Faults that a node must not let happen, whatever is done to it: empty if it held.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                faults.push(what);
            }
        };
        must(self.report.admitted > 0, "nobody attacked".to_owned());
        must(self.lost == 0, format!("{} messages were lost", self.lost));
        for gap in &self.gaps {
            must(false, format!("a gap of an honest member: {gap}"));
        }
        must(self.seed.is_some(), "the seed is not connected".to_owned());
        let refused = self.newcomers.iter().filter(|wait| wait.is_none()).count();
        must(refused == 0, format!("{refused} newcomers were not let in"));
        let waited = self.newcomers.iter().flatten().max();
        let waited = waited.copied().unwrap_or_default();
        // The attacker that takes all places does it from the host of the newcomers, between which
        // and it none are shared: they come in when it has left.
        must(
            self.attack == Attack::Places || waited <= LONGEST_OUTSIDE,
            format!("a newcomer waited {waited:.1?} outside"),
        );
        must(
            self.gap.is_none_or(|told| told <= LONGEST_CLAIM),
            format!("what nobody has was told after {:.1?}", self.gap),
        );
        // On a machine that is busy otherwise they wait without an attack, too.
        let [before, during] = [&self.waits[0], &self.waits[1]].map(|waits| quantile(waits, 0.99));
        must(
            during <= LONGEST.max(before),
            format!("honest members waited {during:.1?}, and {before:.1?} before"),
        );
        let grew = self.grew() >> 20;
        must(grew <= MOST_MIB, format!("it grew by {grew} MiB"));
        faults
    }

    /// The head of a table of these.
    pub const HEAD: &str = "\
        | attack | said | admitted, ended by the node | RSS, at most | lost | p99 before, during | seed back | \
        newcomers in | named |\n|---|---|---|---|---|---|---|---|---|";
}

/// A line of a table.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes as f64 / 1048576.0;
        let [before, during] = &self.waits;
        let let_in: Vec<_> = self.newcomers.iter().flatten().collect();
        write!(
            f,
            "| {} | {:.1} MiB | {}, {} | {:.1} MiB +{:.1} | {} of {} | {:.1?}, {:.1?} | ",
            self.attack.name(),
            mib(self.report.bytes),
            self.report.admitted,
            self.report.ended,
            mib(self.resident.0),
            mib(self.grew()),
            self.lost,
            2 * self.posted,
            quantile(before, 0.99),
            quantile(during, 0.99),
        )?;
        match self.seed {
            Some(wait) => write!(f, "{wait:.1?} | ")?,
            None => f.write_str("no | ")?,
        }
        let longest = let_in.iter().max().copied().copied().unwrap_or_default();
        write!(
            f,
            "{} of {}, longest {longest:.1?} | ",
            let_in.len(),
            self.newcomers.len()
        )?;
        let mut kinds: Vec<_> = self.named.iter().map(|(_, how)| how.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in &kinds {
            let who: Vec<_> = self.named.iter().filter(|(_, how)| how == kind).collect();
            write!(f, "{kind}: {}", who[0].0)?;
            if who.len() > 1 {
                write!(f, " and {} more", who.len() - 1)?;
            }
            f.write_str("; ")?;
        }
        let gave_up = self
            .counters
            .get("unresponsive")
            .copied()
            .unwrap_or_default();
        if gave_up > 0 {
            write!(f, "let go: {gave_up}; ")?;
        }
        let (charged, who) = &self.charged;
        write!(f, "most charged: {:.1} MiB, {who}", mib(*charged as u64))?;
        if let Some(gap) = self.gap {
            write!(f, "; what is lost was told after {gap:.0?}")?;
        }
        f.write_str(" |")
    }
}

/// Of sorted ones, that below which so many are.
pub fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * share) as usize;
    sorted.get(index).copied().unwrap_or_default()
}

/// How long messages of honest members may take at the 99th percentile during an attack. In code
/// that is not optimised, to take in what is invented takes ten times as long.
const LONGEST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 20 } else { 5 });

/// How long newcomers may wait outside during an attack.
const LONGEST_OUTSIDE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 2 });

/// The time for which a dishonoured claim may hold up that something is lost, as documented.
const LONGEST_CLAIM: Duration = Duration::from_secs(200);

/// By how much a node with default limits may grow: its memory budget and its history, and half as
/// much again for what an allocator keeps and what is not charged.
const MOST_MIB: u64 = (256 + 64) * 3 / 2;
