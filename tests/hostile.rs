//! Members that lie or flood: they hold a valid key, pass the gate, and speak the protocols without
//! an engine that would keep to what they mean.
//!
//! Each [`Attack`] is a way to make a node take memory or time, or to make it deaf to others. A
//! member that is cut off comes back as somebody new: the holder of a key can be as many as it
//! likes.

mod attacks;
mod lies;
mod mute;
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use clap::ValueEnum;
use meshcast::{MeshKey, Multiaddr};
use tokio::time::{Instant, sleep, timeout_at};

pub(crate) use self::attacks::{CALM, PHANTOM, VALUES};
use self::{
    lies::Lies,
    wire::{Ears, Wire},
};
pub use self::{
    mute::mute,
    wire::{Refusing, knock, refuse},
};

/// What a hostile member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Attack {
    /// Nothing but to be there: what the others are compared with.
    Nobody,
    /// Opens one channel 512 times after it told of 16,384 invented logs, and again.
    Opens,
    /// Says that it is part of topics with names of a megabyte.
    Topics,
    /// Says that everybody it hears of is at 2^60.
    Beyond,
    /// Posts with a hole and says that what is missing is lost; and says as somebody else that it
    /// keeps that, and all that others post, and never answers.
    Holder,
    /// Posts values of a few bytes that are read into hundreds of megabytes.
    Bombs,
    /// Tells of thousands of members at addresses where somebody listens and never answers.
    Addresses,
    /// Wants to be answered, and does not read.
    Pings,
    /// Sends messages without a byte, before there is a link to answer on.
    Empty,
    /// Sends messages that nobody can read, on a link that is open.
    Garbage,
    /// Is thirty members that all tell of the same invented logs, and open thousands of channels.
    Invented,
    /// Is three hundred members that take a place each.
    Places,
    /// Says that it has what the node itself never posted.
    Impossible,
    /// Says that others are present who did not sign it, after it said so of itself, and of one
    /// that left what it said before.
    Ghosts,
    /// Says something else of itself on a channel, and again, without a pause.
    Moods,
    /// Posts as one as fast as it can, and as another wants to have that by gossip and reads none.
    Deaf,
    /// Answers the pings of a connection late, so that it seems to be long, and floods it.
    Windows,
    /// Opens hundreds of streams on a connection, and fills them with frames of a byte.
    Crumbs,
    /// Asks by members that it makes up, each a new one, as if it handed that on.
    Questions,
}

impl Attack {
    /// All of them, the first for comparison.
    pub const ALL: &[Self] = &[
        Self::Nobody,
        Self::Opens,
        Self::Topics,
        Self::Beyond,
        Self::Holder,
        Self::Bombs,
        Self::Addresses,
        Self::Pings,
        Self::Empty,
        Self::Garbage,
        Self::Invented,
        Self::Places,
        Self::Impossible,
        Self::Ghosts,
        Self::Moods,
        Self::Deaf,
        Self::Windows,
        Self::Crumbs,
        Self::Questions,
    ];

    /// Its name on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// As how many members it comes at the same time.
    const fn members(self) -> usize {
        match self {
            Self::Invented => 30,
            Self::Places => 300,
            _ => 1,
        }
    }

    const fn ears(self) -> Ears {
        match self {
            Self::Pings => Ears::Shut,
            Self::Empty => Ears::Absent,
            Self::Deaf => Ears::Beside,
            _ => Ears::Open,
        }
    }

    const fn lies(self) -> Lies {
        match self {
            Self::Windows => Lies {
                pongs_after: Duration::from_secs(2),
                ..Lies::NONE
            },
            Self::Crumbs => Lies {
                frame: 1,
                ..Lies::NONE
            },
            _ => Lies::NONE,
        }
    }
}

/// An attack on a node.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Assault {
    /// What is done.
    #[arg(long, value_enum)]
    pub attack: Attack,
    /// For how many seconds.
    #[arg(long, default_value_t = 20.0)]
    pub seconds: f64,
    /// The number of logs that each member invents, and of channels it opens: a quarter of all that
    /// a node follows by default.
    #[arg(long, default_value_t = 16_384)]
    pub logs: usize,
}

/// The result, as the hostile member sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// How often it was let in.
    pub admitted: u64,
    /// How often it was not.
    pub turned_away: u64,
    /// How many of its connections the node ended.
    pub ended: u64,
    /// How many bytes it said.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Tally {
    admitted: AtomicU64,
    turned_away: AtomicU64,
    ended: AtomicU64,
    bytes: AtomicU64,
}

impl Assault {
    /// Comes, does it until the time is over, and goes.
    pub async fn run(&self, at: &Multiaddr, key: &MeshKey) -> Report {
        let until = Instant::now() + Duration::from_secs_f64(self.seconds);
        let tally = Arc::new(Tally::default());
        let members = (0..self.attack.members()).map(|number| {
            let (assault, at, key, tally) = (*self, at.clone(), key.clone(), Arc::clone(&tally));
            tokio::spawn(async move { lives(assault, number, &at, &key, &tally, until).await })
        });
        for member in members.collect::<Vec<_>>() {
            member.await.expect("hostile members do not panic");
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Report {
            admitted: read(&tally.admitted),
            turned_away: read(&tally.turned_away),
            ended: read(&tally.ended),
            bytes: read(&tally.bytes),
        }
    }
}

/// Comes again and again, as somebody new each time.
async fn lives(
    assault: Assault,
    number: usize,
    at: &Multiaddr,
    key: &MeshKey,
    tally: &Tally,
    until: Instant,
) {
    let count = |count: &AtomicU64, by| count.fetch_add(by, Ordering::Relaxed);
    while Instant::now() < until {
        let between = match come(assault.attack, number, at, key).await {
            Ok(mut wire) => {
                count(&tally.admitted, 1);
                let outcome = timeout_at(until, attacks::play(assault, &mut wire, at, key)).await;
                if matches!(outcome, Ok(Err(_))) {
                    count(&tally.ended, 1);
                }
                count(&tally.bytes, wire.bytes);
                BETWEEN
            }
            Err(_) => {
                count(&tally.turned_away, 1);
                TURNED_AWAY
            }
        };
        // Not to be a flood of connections, which is another matter.
        let _ = timeout_at(until, sleep(between)).await;
    }
}

async fn come(attack: Attack, number: usize, at: &Multiaddr, key: &MeshKey) -> Result<Wire> {
    let identity = wire::identity(key, &format!("{}-{number}", attack.name()))?;
    Wire::open_lying(at, key, identity, (attack.ears(), attack.lies())).await
}

/// The time after which a member that was cut off comes back.
const BETWEEN: Duration = Duration::from_millis(100);

/// And somebody who was not let in.
const TURNED_AWAY: Duration = Duration::from_secs(2);
