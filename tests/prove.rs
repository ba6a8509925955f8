//! The scenarios that the guarantees are held against, with figures.

mod bench;
mod links;
mod lives;
mod loads;
mod readers;
mod report;

use std::{path::PathBuf, time::Duration};

pub use self::{
    bench::Bench,
    report::{HEADER, Report},
};
use crate::fleet::Unavailable;

/// What all scenarios have in common.
#[derive(Debug, Clone, clap::Args)]
pub struct Common {
    /// How many processes, two in each region.
    #[arg(long, global = true, default_value_t = 10)]
    pub nodes: usize,
    /// Bytes of a value.
    #[arg(long, global = true, default_value_t = 256)]
    pub size: usize,
    /// What the choice of victims is drawn from.
    #[arg(long, global = true, default_value_t = 1)]
    pub seed: u64,
    /// Keep the logs in this directory; otherwise those of runs that fail are kept.
    #[arg(long, global = true)]
    pub logs: Option<PathBuf>,
    /// Fail for broken guarantees alone, not for slow figures: for machines with other things to
    /// do.
    #[arg(long, global = true)]
    pub untimed: bool,
}

/// What can be proved.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Scenario {
    /// All nodes post at a rate.
    Steady {
        /// For how long.
        #[arg(long, default_value_t = 10.0)]
        minutes: f64,
        /// Values a second, of all together.
        #[arg(long, default_value_t = 300.0)]
        rate: f64,
    },
    /// One node posts flat out.
    Burst {
        /// How many.
        #[arg(long, default_value_t = 20_000)]
        values: u64,
        /// Wait for room in place of being refused.
        #[arg(long)]
        wait: bool,
    },
    /// Random processes are killed, three of them down at most, and started again.
    Kill {
        /// For how long.
        #[arg(long, default_value_t = 5.0)]
        minutes: f64,
        /// Values a second, of all together.
        #[arg(long, default_value_t = 200.0)]
        rate: f64,
        /// Seconds from one kill to the next.
        #[arg(long, default_value_t = 10.0)]
        every: f64,
    },
    /// Two halves that do not reach each other for a while.
    Partition {
        /// For how many seconds; may be given several times.
        #[arg(long, default_values_t = [10, 60, 150])]
        seconds: Vec<u64>,
        /// Values a second on each side.
        #[arg(long, default_value_t = 100.0)]
        rate: f64,
    },
    /// Two halves that do not reach each other for longer than anything is kept.
    PastWindow {
        /// For how many seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// What a node keeps, in bytes.
        #[arg(long, default_value_t = 1024 * 1024)]
        history_bytes: usize,
        /// Values a second on each side.
        #[arg(long, default_value_t = 100.0)]
        rate: f64,
    },
    /// Messages of two nodes to two others are lost, but not what comes back.
    OneWay(Timed),
    /// Links are cut without a word.
    Silent {
        /// How it goes on.
        #[command(flatten)]
        timed: Timed,
        /// Which links.
        #[arg(long, value_enum, default_value_t = Cut::One)]
        cut: Cut,
    },
    /// Three groups that do not reach each other.
    ThreeWay(Timed),
    /// Two halves that part and meet every two seconds.
    Flapping(Timed),
    /// Two halves that reach each other only over the nodes of one region.
    Chain(Timed),
    /// Links round half the world that stall now and then.
    LongLinks {
        /// For how many seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Values a second, of all together.
        #[arg(long, default_value_t = 200.0)]
        rate: f64,
        /// Milliseconds of a round trip between any two.
        #[arg(long, default_value_t = 200)]
        round_trip: u64,
        /// Milliseconds for which each connection stalls, about every two seconds.
        #[arg(long, default_value_t = 200)]
        stalls: u64,
    },
    /// The link of one node goes down, and another is told that there is no way.
    Unreachable(Timed),
    /// One process stands still.
    Stopped {
        /// For how many seconds; may be given several times.
        #[arg(long, default_values_t = [30, 300])]
        seconds: Vec<u64>,
        /// Values a second, of all together.
        #[arg(long, default_value_t = 300.0)]
        rate: f64,
    },
    /// One process does not read what its channel gets.
    SlowReader {
        /// For how many seconds.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Values a second, of all together.
        #[arg(long, default_value_t = 300.0)]
        rate: f64,
    },
    /// Processes post in the tick in which they open their channel.
    FirstMessage {
        /// How many processes.
        #[arg(long, default_value_t = 1000)]
        trials: u64,
    },
    /// All processes are told to end, one after another, and started again.
    Rolling {
        /// Values a second, of all together.
        #[arg(long, default_value_t = 200.0)]
        rate: f64,
    },
    /// One process closes its channel and opens it again at once, every second.
    Reopen(Timed),
    /// One node has to catch up with much.
    CatchUp {
        /// With how much.
        #[arg(long, default_value_t = 64)]
        mib: u64,
        /// Values a second, of all together, meanwhile.
        #[arg(long, default_value_t = 100.0)]
        rate: f64,
    },
    /// All of them.
    All {
        /// Seconds in place of minutes.
        #[arg(long)]
        quick: bool,
    },
}

/// The links that are cut.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Cut {
    /// That between the first node and the last.
    One,
    /// One of each node, all at once.
    Several,
    /// All of the first node but one: a spare way is left.
    AllButOne,
}

/// For how long.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Timed {
    /// How many seconds the fault lasts.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Values a second, of all together.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
}

impl Scenario {
    /// Runs it, and hands a report to the bench. That it could not be carried out is a report too.
    pub fn run(&self, bench: &mut Bench) {
        let done = match self {
            Self::Steady { minutes, rate } => loads::steady(bench, minutes_of(*minutes), *rate),
            Self::Burst { values, wait } => loads::burst(bench, *values, *wait),
            Self::CatchUp { mib, rate } => loads::catch_up(bench, *mib, *rate),
            Self::Kill {
                minutes,
                rate,
                every,
            } => lives::kill(
                bench,
                minutes_of(*minutes),
                *rate,
                Duration::from_secs_f64(*every),
            ),
            Self::Rolling { rate } => lives::rolling(bench, *rate),
            Self::Reopen(timed) => lives::reopen(bench, *timed),
            Self::FirstMessage { trials } => lives::first_message(bench, *trials),
            Self::Partition { seconds, rate } => seconds.iter().try_for_each(|seconds| {
                links::partition(bench, Duration::from_secs(*seconds), *rate)
            }),
            Self::PastWindow {
                seconds,
                history_bytes,
                rate,
            } => links::past_window(bench, Duration::from_secs(*seconds), *history_bytes, *rate),
            Self::OneWay(timed) => links::one_way(bench, *timed),
            Self::Silent { timed, cut } => links::silent(bench, *timed, *cut),
            Self::ThreeWay(timed) => links::three_way(bench, *timed),
            Self::Flapping(timed) => links::flapping(bench, *timed),
            Self::Chain(timed) => links::chain(bench, *timed),
            Self::LongLinks {
                seconds,
                rate,
                round_trip,
                stalls,
            } => {
                let timed = Timed {
                    seconds: *seconds,
                    rate: *rate,
                };
                links::long(bench, timed, *round_trip, *stalls)
            }
            Self::Unreachable(timed) => links::unreachable(bench, *timed),
            Self::Stopped { seconds, rate } => seconds.iter().try_for_each(|seconds| {
                readers::stopped(bench, Duration::from_secs(*seconds), *rate)
            }),
            Self::SlowReader { seconds, rate } => {
                readers::slow_reader(bench, Duration::from_secs(*seconds), *rate)
            }
            Self::All { quick } => {
                Self::all(*quick).iter().for_each(|one| one.run(bench));
                Ok(())
            }
        };
        if let Err(error) = done {
            let name = format!("{self:?}");
            bench.add(match error.downcast::<Unavailable>() {
                Ok(why) => Report::skipped(&name, &why.to_string()),
                Err(error) => Report::failed(&name, &error),
            });
        }
    }

    /// All that there are: as long as it takes to trust them, or in some minutes.
    fn all(quick: bool) -> Vec<Self> {
        let timed = |seconds| Timed {
            seconds,
            rate: 200.0,
        };
        let (short, rate) = (timed(if quick { 10 } else { 60 }), 100.0);
        let choose = |short: &[u64], long: &[u64]| if quick { short } else { long }.to_vec();
        vec![
            Self::Steady {
                minutes: if quick { 0.5 } else { 10.0 },
                rate: 300.0,
            },
            Self::Burst {
                values: 20_000,
                wait: false,
            },
            Self::Kill {
                minutes: if quick { 0.5 } else { 5.0 },
                rate: 200.0,
                every: if quick { 3.0 } else { 10.0 },
            },
            Self::Partition {
                seconds: choose(&[10], &[10, 60, 150]),
                rate,
            },
            Self::PastWindow {
                seconds: if quick { 20 } else { 60 },
                history_bytes: if quick { 300 } else { 1024 } * 1024,
                rate,
            },
            Self::OneWay(short),
            Self::Silent {
                timed: short,
                cut: Cut::One,
            },
            Self::ThreeWay(short),
            Self::Flapping(short),
            Self::Chain(short),
            Self::LongLinks {
                seconds: short.seconds,
                rate: short.rate,
                round_trip: 200,
                stalls: 200,
            },
            Self::Unreachable(short),
            Self::Stopped {
                seconds: choose(&[10], &[30, 300]),
                rate: 300.0,
            },
            Self::SlowReader {
                seconds: if quick { 10 } else { 60 },
                rate: 300.0,
            },
            Self::FirstMessage {
                trials: if quick { 20 } else { 1000 },
            },
            Self::Rolling { rate: 200.0 },
            Self::Reopen(short),
            Self::CatchUp {
                mib: if quick { 16 } else { 64 },
                rate,
            },
        ]
    }
}

fn minutes_of(minutes: f64) -> Duration {
    Duration::from_secs_f64(minutes * 60.0)
}
