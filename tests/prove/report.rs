//! What came out of a scenario.

use std::{fmt, time::Duration};

use meshcast_sim::Verdict;

use crate::{
    account::{Account, Balance, Times},
    fleet::Run,
};

/// What came out of one run of a scenario.
#[derive(Debug, Clone, Default)]
pub struct Report {
    name: String,
    /// Why it could not be run.
    skipped: Option<String>,
    posts: u64,
    balance: Balance,
    duplicates: usize,
    disorder: usize,
    gaps: u64,
    latency: [Duration; 3],
    resident: u64,
    details: Vec<String>,
    /// Guarantees that were broken.
    broken: Vec<String>,
    /// Figures over their limit.
    slow: Vec<String>,
}

impl Report {
    pub(super) fn new(name: &str, run: &Run, verdict: &Verdict, account: &Account<'_>) -> Self {
        use meshcast_sim::Guarantee::{G2, G3};

        let balance = account.balance();
        let latency: Times = account
            .deliveries()
            .map(|delivery| delivery.took())
            .collect();
        let count = verdict.by_guarantee();
        let of = |guarantee| count.get(&guarantee).copied().unwrap_or(0);
        let mut report = Self {
            name: name.to_owned(),
            posts: verdict.posts,
            duplicates: of(G2),
            disorder: of(G3),
            gaps: verdict.gaps,
            latency: [0.5, 0.99, 0.999].map(|part| latency.at(part)),
            resident: run
                .memory
                .iter()
                .map(|memory| memory.resident)
                .max()
                .unwrap_or(0),
            ..Self::default()
        };
        let violations = verdict.violations.iter();
        let violations =
            violations.map(|violation| format!("{:?} {violation}", violation.guarantee()));
        report.broken.extend(violations);
        for (receiver, sender, first, count) in &balance.lost {
            report.broken.push(format!(
                "{receiver} lacks {count} values of {sender}, the first is {first}"
            ));
        }
        if balance.due == 0 {
            report.broken.push("nothing was due".to_owned());
        }
        report.balance = balance;
        report
    }

    pub(super) fn skipped(name: &str, why: &str) -> Self {
        Self {
            name: name.to_owned(),
            skipped: Some(why.to_owned()),
            ..Self::default()
        }
    }

    pub(super) fn failed(name: &str, error: &anyhow::Error) -> Self {
        Self {
            name: name.to_owned(),
            broken: vec![format!("not carried out: {error:#}")],
            ..Self::default()
        }
    }

    /// What it is of.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why it could not be run, if it could not.
    pub fn why_skipped(&self) -> Option<&str> {
        self.skipped.as_deref()
    }

    /// Guarantees that were broken, one line each.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// Whether no guarantee was broken and, unless they do not count, no figure is over its limit.
    pub fn is_good(&self, untimed: bool) -> bool {
        self.broken.is_empty() && (untimed || self.slow.is_empty())
    }

    /// A figure without a limit.
    pub(super) fn detail(&mut self, line: String) {
        self.details.push(line);
    }

    /// A figure that may be so large.
    pub(super) fn limit(&mut self, what: &str, is: Duration, limit: Duration) {
        self.detail(format!("{what}: {is:.1?}, at most {limit:.1?}"));
        if is > limit {
            self.slow
                .push(format!("{what}: {is:.1?} is over {limit:.1?}"));
        }
    }

    /// A figure that may be so large, in bytes.
    pub(super) fn limit_bytes(&mut self, what: &str, is: u64, limit: u64) {
        self.detail(format!("{what}: {}, at most {}", mib(is), mib(limit)));
        if is > limit {
            self.slow
                .push(format!("{what}: {} is over {}", mib(is), mib(limit)));
        }
    }

    /// The most that a latency may rise above what it was.
    pub(super) fn limit_rise(&mut self, what: &str, before: &Times, during: &Times, times: f64) {
        let (before, during) = (before.at(0.99), during.at(0.99));
        let limit = before.mul_f64(times);
        self.detail(format!(
            "{what}: p99 {before:.1?} before, {during:.1?} during; at most {limit:.1?}"
        ));
        if during > limit {
            self.slow.push(format!(
                "{what}: p99 rises from {before:.1?} to {during:.1?}"
            ));
        }
    }

    /// Something that must be so whatever the machine does.
    pub(super) fn demand(&mut self, is: bool, otherwise: impl FnOnce() -> String) {
        if !is {
            self.broken.push(otherwise());
        }
    }

    /// The row of this scenario under [`HEADER`].
    pub fn row(&self, untimed: bool) -> String {
        let Self {
            name,
            balance,
            duplicates,
            disorder,
            gaps,
            latency,
            resident,
            ..
        } = self;
        if let Some(why) = &self.skipped {
            return format!("{name:<24} skipped: {why}");
        }
        let [p50, p99, p999] = latency.map(|latency| format!("{latency:.1?}"));
        format!(
            "{name:<24} {:>9} {:>6} {duplicates:>5} {disorder:>5} {gaps:>5} {p50:>9} {p99:>9} {p999:>9} {:>9}  {}",
            balance.due,
            balance.lost(),
            mib(*resident),
            if !self.broken.is_empty() {
                "BROKEN"
            } else if !self.is_good(untimed) {
                "SLOW"
            } else {
                "ok"
            },
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, balance, .. } = self;
        if let Some(why) = &self.skipped {
            return writeln!(f, "{name}: skipped: {why}");
        }
        let [p50, p99, p999] = self.latency;
        writeln!(
            f,
            "{name}: {} posts, {} deliveries due: {} lost, {} told missing, {} duplicates, {} out of order",
            self.posts,
            balance.due,
            balance.lost(),
            balance.told,
            self.duplicates,
            self.disorder
        )?;
        if balance.lost() == 0 && balance.due > 0 {
            let bound = 3.0 / balance.due as f64;
            writeln!(f, "  with 95 % confidence fewer than {bound:.1e} are lost")?;
        }
        writeln!(
            f,
            "  latency: p50 {p50:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}; {} gaps; {} resident at most",
            self.gaps,
            mib(self.resident)
        )?;
        for detail in &self.details {
            writeln!(f, "  {detail}")?;
        }
        for (what, lines) in [("BROKEN", &self.broken), ("SLOW", &self.slow)] {
            for line in lines.iter().take(MAX_LINES) {
                writeln!(f, "  {what}: {line}")?;
            }
            if lines.len() > MAX_LINES {
                writeln!(f, "  {what}: and {} more", lines.len() - MAX_LINES)?;
            }
        }
        Ok(())
    }
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / (1024.0 * 1024.0))
}

/// What the columns of [`Report::row`] are.
pub const HEADER: &str = "scenario                         N   lost   dup order  gaps       p50       p99     p99.9  resident";

/// The first of what is wrong mostly is the cause of the rest.
const MAX_LINES: usize = 10;
