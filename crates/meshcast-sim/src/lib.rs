//! Meshes to try things with, and the judge of what they did.
//!
//! # In virtual time
//!
//! Many real [engines](meshcast_proto::Engine) run in one thread over a network that is made up: it
//! delays, loses, doubles and reorders, and is cut in all the ways of a [`Fault`]; processes crash,
//! stand still and start again. A [`Scenario`] says what happens, a seed decides the rest, and
//! [`run`](fn@run) goes through minutes of it in a fraction of a second. Everything that is posted,
//! delivered or told missing goes into a [log](Entry), and the [`Checker`] decides afterwards
//! whether the log keeps the guarantees. It knows nothing of how the log came to be, so that it
//! judges real nodes too.
//!
//! The same scenario and seed give the same run, to the last bit: [`Report::trace`] is a hash over
//! all that happened. A fault that was found once can therefore be looked at as often as one likes:
//!
//! ```text
//! meshcast sim run all-faults --seed 17 --log log.jsonl
//! meshcast sim run all-faults --seed 17 --watch fra0.1
//! ```
//!
//! # In real time
//!
//! A [`Cluster`] is real nodes in one process, over [links](meshcast::netem) that are as long as
//! those between regions ([`round_trip`]) and fail when they are told to. It writes the same log,
//! for the same checker. The parts above know nothing of it. A [`Play`] is a scenario as what is to
//! be done to a cluster, and when.

mod analysis;
mod at;
mod checker;
mod cluster;
mod locations;
mod log;
mod play;
mod report;
mod rng;
mod round_trips;
mod run;
mod scenario;
mod seeds;
mod world;

pub use analysis::{Analysis, Cost, GapTold, Pair, Ran, RegionNodes, Slice};
pub use at::At;
pub use checker::{Checker, Guarantee, ObjectRef, Rules, TooWide, Verdict, Violation};
pub use cluster::{
    Cluster, ClusterBuilder, ClusterError, CutLink, Death, MemberStatus, NotAgreed, PostFailed,
    Standing,
};
pub use locations::{Location, location};
pub use log::{Digest, Entry, Event, LogError, Name, Since, Span, read_log, write_log};
pub use play::{Deed, DeedKind, NotPlayable, Play};
pub use report::{OutcomeSummary, Report, Summary, TimesSummary, TrafficSummary};
pub use rng::Rng;
pub use round_trips::{KNOWN_REGIONS, round_trip};
pub use run::{run, run_logged, run_seeds, run_watched};
pub use scenario::{
    Expect, Fault, Kind, Load, Mark, Memory, Network, Random, SHIPPED, Scenario, ScenarioError,
    Shipped, Size, Topology,
};
pub use seeds::each_seed;
pub use world::Traffic;
