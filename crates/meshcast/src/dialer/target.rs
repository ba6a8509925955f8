//! Something to dial, and when to try again.

use std::time::Duration;

use libp2p::PeerId;
use meshcast_proto::Time;
use rand::{RngExt, rngs::StdRng};

/// Something to dial.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) state: State,
    pub(super) retry: Retry,
    /// When what it led to was lost, if it ever was.
    pub(super) lost: Option<Time>,
    /// Whether the outcome of a dial is known.
    pub(super) tried: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// To be dialled when the retry is due.
    Waiting,
    /// Being dialled.
    Dialling,
    /// Known to lead to this peer, which is connected (or was, when the next dial shows).
    Reaches(PeerId),
    /// Leads to this node.
    Ourselves,
}

/// When to try again.
#[derive(Debug)]
pub(super) struct Retry {
    pub(super) due: Time,
    pub(super) failures: u32,
}

impl Target {
    pub(super) const fn new(due: Time) -> Self {
        Self {
            state: State::Waiting,
            retry: Retry { due, failures: 0 },
            lost: None,
            tried: false,
        }
    }

    /// The connection it led to is gone.
    pub(super) fn lose(&mut self, rng: &mut StdRng, lasted: bool, now: Time) {
        if lasted {
            self.retry.failures = 0;
            self.lost = Some(now);
        }
        self.fail(rng, now);
    }

    /// The connection it led to is silent: another is dialled beside it, first at `due`.
    pub(super) fn silent(&mut self, due: Time, now: Time) {
        self.lost = Some(now);
        if matches!(self.state, State::Reaches(_)) {
            self.state = State::Waiting;
            self.retry = Retry { due, failures: 0 };
        }
    }

    pub(super) fn due(&self) -> Option<Time> {
        matches!(self.state, State::Waiting | State::Ourselves).then_some(self.retry.due)
    }

    pub(super) fn is_due(&self, now: Time) -> bool {
        self.due().is_some_and(|due| due <= now)
    }

    fn longest_wait(&self, now: Time) -> Duration {
        match self.lost {
            Some(lost) if now.saturating_since(lost) < RECENTLY => LONGEST_WAIT_RECENT,
            _ => LONGEST_WAIT,
        }
    }

    pub(super) fn fail(&mut self, rng: &mut StdRng, now: Time) {
        let longest = BASE_WAIT
            .saturating_mul(1 << self.retry.failures.min(16))
            .min(self.longest_wait(now));
        self.state = State::Waiting;
        self.retry.due = now + SHORTEST_WAIT + jitter(rng, longest);
        self.retry.failures = self.retry.failures.saturating_add(1);
    }
}

fn jitter(rng: &mut StdRng, longest: Duration) -> Duration {
    longest.mul_f64(rng.random())
}

/// The first wait is drawn from up to this.
pub(super) const BASE_WAIT: Duration = Duration::from_millis(250);
/// No wait is drawn from more: a seed that comes back is found within this and the 3 s of a dial.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// The same for what was connected [`RECENTLY`]: after a partition all are to be found soon.
pub(super) const LONGEST_WAIT_RECENT: Duration = Duration::from_secs(2);
/// For how long whoever was lost is looked for with some effort. Partitions mostly end within this.
pub(crate) const RECENTLY: Duration = Duration::from_secs(300);
/// No wait is shorter: a refusing port must not be hammered.
pub(super) const SHORTEST_WAIT: Duration = Duration::from_millis(50);
