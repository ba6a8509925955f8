//! A mesh in virtual time, and the judge of what it did.
//!
//! Many real [engines](meshcast_proto::Engine) run in one thread over a network that is made up: it delays,
//! loses, doubles and reorders, and is cut in all the ways of a [`Fault`]; processes crash, stand still and start
//! again. A [`Scenario`] says what happens, a seed decides the rest, and [`run`] goes through minutes of it in a
//! fraction of a second. Everything that is posted, delivered or told missing goes into a [log](Entry), and the
//! [`Checker`] decides afterwards whether the log keeps the guarantees. It knows nothing of how the log came to
//! be, so that it judges real nodes too.
//!
//! The same scenario and seed give the same run, to the last bit: [`Report::trace`] is a hash over all that
//! happened. What is found once can therefore be looked at as often as one likes:
//!
//! ```text
//! meshcast sim run all-faults --seed 17 --log log.jsonl
//! meshcast sim run all-faults --seed 17 --watch fra0.1
//! ```

mod at;
mod checker;
mod log;
mod report;
mod rng;
mod run;
mod scenario;
mod world;

pub use at::At;
pub use checker::{Checker, Guarantee, ObjectRef, Rules, TooWide, Verdict, Violation};
pub use log::{Digest, Entry, Event, LogError, Name, Since, Span, read_log, write_log};
pub use report::{Report, Summary};
pub use rng::Rng;
pub use run::{run, run_logged, run_seeds, run_watched};
pub use scenario::{
    Expect, Fault, Kind, Load, Memory, Network, Random, SHIPPED, Scenario, ScenarioError, Shipped, Size,
    Topology,
};
pub use world::Traffic;
