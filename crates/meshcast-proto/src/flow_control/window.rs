//! The send window of a channel: what is in flight, and how much may be, from the rate and the
//! delay at which frames arrived.

use std::{collections::VecDeque, ops::RangeInclusive, time::Duration};

use crate::wire::{Seq, Time};

/// The frames of one channel in flight, and what was measured of those that arrived.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    /// In order of their numbers.
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

/// A number of frames and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

/// The highest rate and the lowest delay, in the current period and in the one before; their
/// product fills the path, as in BBR.
///
/// Both are measured at the slowest peer that keeps up. A sender that never fills more than its own
/// window would measure just that window, so a quarter more is allowed, and the window grows where
/// there is room. Once in each period the window is halved for a round trip, which tells a long
/// path from a queue.
#[derive(Debug, Default)]
struct CongestionWindow {
    /// When the current period began.
    since: Option<Time>,
    /// The highest rate, in bytes a second.
    rate: [Option<u64>; 2],
    /// The lowest time from sending to acknowledgement.
    delay: [Option<Duration>; 2],
    /// The bytes that arrived since this time and are not in the rate yet.
    counting: Option<(Time, usize)>,
    /// The window is halved until something arrives that was sent after this number.
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

    /// The slowest peer that keeps up waits for `lowest`; without `anybody` nothing is learnt from
    /// it. Returns what has arrived with that.
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

    /// Everything in flight.
    pub(crate) fn load(&self) -> Load {
        let (frames, bytes) = (self.frames.len(), self.bytes);
        Load { frames, bytes }
    }

    /// Whether another frame may be sent. The last frame may exceed the window, so there is always
    /// room for one.
    pub(crate) fn has_room(&self, bounds: &RangeInclusive<usize>) -> bool {
        self.frames.len() < CHANNEL_FRAMES && self.bytes <= self.window(bounds)
    }

    /// How many bytes may be in flight, within these bounds.
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
    /// `bytes` arrived, `newest` being the last of them, while `posted` was the last number in
    /// flight.
    fn arrived(&mut self, bytes: usize, newest: Sent, posted: Seq, now: Time) {
        let age = self.since.map(|since| now.saturating_since(since));
        if age.is_none_or(|age| age >= PERIOD) {
            // Measurements older than two periods no longer count.
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
            // Frames sent before counting began do not count.
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

    /// How many bytes fill the path; `None` before anything was measured.
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

/// The least and the most that one channel may have in flight, given how much history the node
/// keeps: frames in flight must be kept until they have arrived. The least fills the path between
/// processes on one machine and takes a second on a slow link; the most is 80 MB/s round the world.
pub(crate) fn window_bounds(history_bytes: usize) -> RangeInclusive<usize> {
    let most = MOST.min(history_bytes / 4);
    LEAST.min(most)..=most
}

const LEAST: usize = 1024 * 1024;
const MOST: usize = 16 * 1024 * 1024;

/// Small frames fill the queues of gossip, which count frames, before they fill the bytes.
const CHANNEL_FRAMES: usize = 768;

/// The window before anything was measured.
const AT_FIRST: usize = 2 * 1024 * 1024;

/// How long a queue may be beside the delay itself. Messages on other channels wait as long: beside
/// large values at full speed over loopback a small message took 5 ms with four times this, and
/// takes 1.3 ms with this, at the price of 3 to 5 % of the rate.
const SLACK: Duration = Duration::from_millis(1);

/// A rate is measured over at least this time, since acknowledgements come in bursts.
const COUNTED_FOR: Duration = Duration::from_millis(10);

/// How long a period is. The path may change, so old measurements go; and a queue must not be taken
/// for the path.
const PERIOD: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
