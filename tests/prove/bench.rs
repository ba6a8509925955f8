//! Where scenarios run.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use meshcast_sim::{At, Checker, Rng, Rules};
use tempfile::TempDir;

use super::{Common, Report};
use crate::{
    account::{Account, Delivery, Times},
    fleet::{Fleet, Net, Run, Settings},
};

/// Runs scenarios one after another, and keeps what came out.
#[derive(Debug)]
pub struct Bench {
    /// What they have in common.
    pub common: Common,
    program: PathBuf,
    directory: Directory,
    runs: usize,
    reports: Vec<Report>,
}

#[derive(Debug)]
enum Directory {
    Asked(PathBuf),
    Temporary(TempDir),
}

impl Bench {
    /// `program` has the command `member`.
    ///
    /// # Errors
    /// Without a directory for logs.
    pub fn new(common: Common, program: impl Into<PathBuf>) -> Result<Self> {
        let directory = match &common.logs {
            Some(path) => {
                fs::create_dir_all(path).with_context(|| format!("{}", path.display()))?;
                Directory::Asked(path.clone())
            }
            None => Directory::Temporary(tempfile::Builder::new().prefix("meshcast-").tempdir()?),
        };
        Ok(Self {
            common,
            program: program.into(),
            directory,
            runs: 0,
            reports: Vec::new(),
        })
    }

    /// What came out so far.
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// Keeps the logs of runs that failed, and says where.
    pub fn close(self) -> Vec<Report> {
        let failed = self
            .reports
            .iter()
            .any(|report| !report.is_good(self.common.untimed));
        if let (true, Directory::Temporary(directory)) = (failed, self.directory) {
            eprintln!("the logs are in {}", directory.keep().display());
        }
        self.reports
    }

    /// Shows and keeps a report.
    pub(super) fn add(&mut self, report: Report) {
        println!("{report}");
        self.reports.push(report);
    }

    pub(super) fn settings(&mut self, name: &str) -> Settings {
        self.runs += 1;
        let run = format!("{:02}-{}", self.runs, name.replace(' ', "-"));
        Settings::new(&self.program, self.path().join(run), self.common.nodes)
    }

    /// A fleet on loopback, ready.
    pub(super) fn fleet(&mut self, name: &str) -> Result<Fleet> {
        Fleet::start(self.settings(name), None)
    }

    /// A fleet whose links can be disturbed, ready.
    pub(super) fn linked_fleet(&mut self, name: &str) -> Result<Fleet> {
        let settings = self.settings(name);
        let net = Net::new(settings.nodes)?;
        Fleet::start(settings, Some(net))
    }

    pub(super) fn rng(&self) -> Rng {
        Rng::new(self.common.seed)
    }

    /// Ends a fleet and judges what it did. The faults were over at `calm`.
    pub(super) fn judge(
        &mut self,
        name: &str,
        fleet: Fleet,
        calm: At,
        change: impl FnOnce(&mut Rules),
        look: impl FnOnce(&mut Report, &Run, &Account<'_>),
    ) -> Result<()> {
        let run = fleet.finish(calm)?;
        let mut rules = Rules {
            bound: Some(BOUND),
            held_cap: Some(HELD),
            history_cap: Some(HISTORY),
            ..Rules::default()
        };
        change(&mut rules);
        let verdict = Checker::new(rules).check(&run.log);
        let account = Account::of(&run.log);
        let mut report = Report::new(name, &run, &verdict, &account);
        look(&mut report, &run, &account);
        self.add(report);
        Ok(())
    }

    fn path(&self) -> &Path {
        match &self.directory {
            Directory::Asked(path) => path,
            Directory::Temporary(directory) => directory.path(),
        }
    }
}

/// A stretch of time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub(super) from: At,
    pub(super) to: At,
}

impl Window {
    pub(super) const fn new(from: At, to: At) -> Self {
        Self { from, to }
    }

    pub(super) fn holds(self, t: At) -> bool {
        self.from <= t && t < self.to
    }
}

/// The delivery times of posts in a window.
pub(super) fn latency(
    account: &Account<'_>,
    window: Window,
    counts: impl Fn(&Delivery<'_>) -> bool,
) -> Times {
    let deliveries = account.deliveries();
    deliveries
        .filter(|delivery| window.holds(delivery.posted) && counts(delivery))
        .map(|delivery| delivery.took())
        .collect()
}

/// How long after `healed` those deliveries came that were posted in a window before.
pub(super) fn recovery(
    account: &Account<'_>,
    window: Window,
    healed: At,
    counts: impl Fn(&Delivery<'_>) -> bool,
) -> Times {
    let deliveries = account.deliveries();
    deliveries
        .filter(|delivery| {
            window.holds(delivery.posted) && delivery.came >= healed && counts(delivery)
        })
        .map(|delivery| delivery.came.since(healed))
        .collect()
}

/// How much any process grew in a window, beyond what it keeps for others.
pub(super) fn growth(run: &Run, window: Window, counts: impl Fn(&str) -> bool) -> u64 {
    use std::collections::BTreeMap;

    use meshcast_sim::{Event, Name};

    let mut history: BTreeMap<&Name, Vec<(At, u64)>> = BTreeMap::new();
    for entry in &run.log {
        if let Event::Sample { history: bytes, .. } = entry.event {
            history
                .entry(&entry.process)
                .or_default()
                .push((entry.t, bytes));
        }
    }
    let mut first: BTreeMap<&Name, i128> = BTreeMap::new();
    let mut most = 0;
    let memory = run.memory.iter();
    for sample in memory.filter(|sample| window.holds(sample.t) && counts(sample.process.as_str()))
    {
        let kept = history.get(&sample.process).map_or(0, |kept| {
            let after = kept.partition_point(|(t, _)| *t <= sample.t);
            after.checked_sub(1).map_or(0, |at| kept[at].1)
        });
        let other = i128::from(sample.resident) - i128::from(kept);
        let first = *first.entry(&sample.process).or_insert(other);
        most = most.max(other - first);
    }
    u64::try_from(most).unwrap_or(0)
}

/// The longest time for anything once the faults are over. The figures are far below.
pub(super) const BOUND: Duration = Duration::from_secs(30);

/// Outbox and unread of the one channel, with their defaults.
const HELD: u64 = 16 * 1024 * 1024;

/// What a node keeps by default. A frame is counted before others are dropped for it.
pub(super) const HISTORY: u64 = 64 * 1024 * 1024;
