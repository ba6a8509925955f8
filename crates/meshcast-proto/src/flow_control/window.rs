//! What a channel has on the way, and how much it may have: what the way takes at the rate at which
//! frames arrive.

use std::{collections::VecDeque, ops::RangeInclusive, time::Duration};

use crate::wire::{Seq, Time};

/// The frames of one channel that are on the way, and what is known of the way from those that
/// arrived.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// In order.
    frames: VecDeque<Sent>,
    bytes: usize,
    congestion: CongestionWindow,
}

#[derive(Debug, Clone, Copy)]
struct Sent {
    last: Seq,
    len: usize,
    at: Time,
}

/// A number of frames.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

/// How fast frames arrived lately and how soon, in the period that runs and in the one before.
///
/// Both are those of whoever is waited for longest. To fill the way takes rate × delay; the product
/// is also what a sender sees that fills nothing but its own window, so a little more is allowed,
/// and grows where there is room for it. A delay is told from a queue by looking with a window half
/// as large once in each period.
#[derive(Debug, Default)]
struct CongestionWindow {
    /// When the period that runs began.
    since: Option<Time>,
    /// Bytes a second, the most.
    rate: [Option<u64>; 2],
    /// From the sending to the acknowledgement, the least.
    delay: [Option<Duration>; 2],
    /// What has arrived since when, that is not in the rate yet.
    counting: Option<(Time, usize)>,
    /// The window is half as large until something arrives that is sent after this.
    probed: Option<Seq>,
}

impl InFlight {
    pub(crate) fn sent(&mut self, last: Seq, len: usize, now: Time) -> Load {
        self.frames.push_back(Sent { last, len, at: now });
        self.bytes += len;
        Load {
            frames: 1,
            bytes: len,
        }
    }

    /// Everybody who is waited for waits for `lowest`; if nobody is, nothing is learnt from it.
    /// Returns what has arrived with that.
    pub(crate) fn arrived(&mut self, lowest: Seq, anybody: bool, now: Time) -> Load {
        let (mut arrived, mut newest) = (Load::default(), None);
        while let Some(sent) = self.frames.front().copied()
            && sent.last < lowest
        {
            self.frames.pop_front();
            arrived.add(Load {
                frames: 1,
                bytes: sent.len,
            });
            newest = Some(sent);
        }
        self.bytes -= arrived.bytes;
        if let Some(newest) = newest.filter(|_| anybody) {
            let posted = self.frames.back().map_or(newest.last, |sent| sent.last);
            self.congestion.arrived(arrived.bytes, newest, posted, now);
        }
        arrived
    }

    /// All that is on the way.
    pub(crate) fn load(&self) -> Load {
        let (frames, bytes) = (self.frames.len(), self.bytes);
        Load { frames, bytes }
    }

    /// Whether there is room beside what is on the way. The last frame may be over: there is always
    /// room for one.
    pub(crate) fn has_room(&self, bounds: &RangeInclusive<usize>) -> bool {
        self.frames.len() < CHANNEL_FRAMES && self.bytes <= self.window(bounds)
    }

    /// How many bytes may be on the way, within these bounds.
    pub(crate) fn window(&self, bounds: &RangeInclusive<usize>) -> usize {
        let window = self.congestion.window().unwrap_or(AT_FIRST);
        window.clamp(*bounds.start(), *bounds.end())
    }
}

impl Load {
    pub(crate) fn add(&mut self, other: Self) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }

    pub(crate) fn remove(&mut self, other: Self) {
        self.frames -= other.frames;
        self.bytes -= other.bytes;
    }
}

impl CongestionWindow {
    /// So many bytes arrived, with this as the last of them, while `posted` was the last on the
    /// way.
    fn arrived(&mut self, bytes: usize, newest: Sent, posted: Seq, now: Time) {
        let age = self.since.map(|since| now.saturating_since(since));
        if age.is_none_or(|age| age >= PERIOD) {
            // What is older than two periods is no longer lately.
            let recent = age.is_some_and(|age| age < 2 * PERIOD);
            self.rate = [None, self.rate[0].filter(|_| recent)];
            self.delay = [None, self.delay[0].filter(|_| recent)];
            self.since = Some(now);
            self.probed = Some(posted);
        }
        if self.probed.is_some_and(|probed| newest.last > probed) {
            self.probed = None;
        }
        let delay = now.saturating_since(newest.at);
        self.delay[0] = Some(self.delay[0].map_or(delay, |least| least.min(delay)));
        let Some((since, counted)) = &mut self.counting else {
            // What was sent before it began to count does not count.
            self.counting = Some((now, 0));
            return;
        };
        *counted += bytes;
        let took = now.saturating_since(*since);
        if took >= COUNTED_FOR {
            let rate = *counted as u128 * 1_000_000_000 / took.as_nanos();
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            self.rate[0] = self.rate[0].max(Some(rate));
            self.counting = Some((now, 0));
        }
    }

    /// How many bytes fill it; `None` while that is not known.
    fn window(&self) -> Option<usize> {
        let rate = self.rate.into_iter().flatten().max()?;
        let delay = self.delay.into_iter().flatten().min()?;
        let time = delay + delay / 4 + SLACK;
        let window = u128::from(rate) * time.as_nanos() / 1_000_000_000;
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        Some(if self.probed.is_some() {
            window / 2
        } else {
            window
        })
    }
}

/// How many bytes one channel may have on the way at least and at most, of a node that keeps so
/// many of all. As little fills the way between processes on one machine and is a second's worth of
/// a slow one; as much is 80 MB/s round the world. And what is on the way must be kept until it has
/// arrived.
pub(crate) fn window_bounds(history_bytes: usize) -> RangeInclusive<usize> {
    let most = MOST.min(history_bytes / 4);
    LEAST.min(most)..=most
}

const LEAST: usize = 1024 * 1024;
const MOST: usize = 16 * 1024 * 1024;

/// Small frames fill the queues of gossip, which count frames, before they fill the bytes.
const CHANNEL_FRAMES: usize = 768;

/// What may be on the way before anything is known of it.
const AT_FIRST: usize = 2 * 1024 * 1024;

/// How long a queue may stand beside the delay itself. What is posted on other channels waits as
/// long: beside large values flat out over loopback a small message took 5 ms with four of this,
/// and takes 1.3 ms with one, for 3 to 5 % of the pace.
const SLACK: Duration = Duration::from_millis(1);

/// For how long a rate is measured at least: acknowledgements come in bursts.
const COUNTED_FOR: Duration = Duration::from_millis(10);

/// How long what was seen of a path counts at least. The way may change, and a queue must not be
/// taken for it.
const PERIOD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
