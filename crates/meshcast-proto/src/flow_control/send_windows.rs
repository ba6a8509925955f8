//! The send windows of all channels that are posted on here. Each has a [window](super::window) of
//! its own, and all together have a limit.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::RangeInclusive,
};

use super::window::{InFlight, Load, window_bounds};
use crate::wire::{ChannelName, Seq, Time};

/// The frames in flight on each channel, and who waits for room.
#[derive(Debug)]
pub(crate) struct SendWindows {
    /// How many bytes one channel may have in flight.
    bounds: RangeInclusive<usize>,
    /// How many bytes all channels together may have in flight at least.
    all_bytes: usize,
    load: Load,
    /// By itself: most nodes post on few of their channels, and in a tree of such large entries a
    /// third would be room for more of them.
    channels: BTreeMap<ChannelName, Box<Outbound>>,
    /// Channels with room in their own window that wait for room among all channels.
    waiting: VecDeque<ChannelName>,
}

/// What one channel has in flight. The log knows who has how much of it.
#[derive(Debug, Default)]
struct Outbound {
    in_flight: InFlight,
    gate: Gate,
}

/// Whether somebody waits for room on a channel.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Gate {
    #[default]
    Open,
    /// Waits until what this channel has in flight has arrived.
    Full,
    /// Waits in [`SendWindows::waiting`] for room among all channels.
    Waiting,
}

impl SendWindows {
    /// Frames in flight must be kept, so their bounds are shares of the history.
    pub(crate) fn new(history_bytes: usize) -> Self {
        Self {
            bounds: window_bounds(history_bytes),
            all_bytes: ALL_BYTES.min(history_bytes / 4),
            load: Load::default(),
            channels: BTreeMap::new(),
            waiting: VecDeque::new(),
        }
    }

    /// Whether a frame may be sent on a channel. If not, it is among the [writable](Self::arrived)
    /// ones later.
    pub(crate) fn may_send(&mut self, channel: &ChannelName) -> bool {
        let Some(outbound) = self.channels.get_mut(channel) else {
            return true;
        };
        if outbound.gate == Gate::Open {
            if !outbound.in_flight.has_room(&self.bounds) {
                outbound.gate = Gate::Full;
            } else if !has_room(self.load, self.all_bytes, &self.bounds, &outbound.in_flight) {
                outbound.gate = Gate::Waiting;
                self.waiting.push_back(channel.clone());
            }
        }
        outbound.gate == Gate::Open
    }

    /// A frame of `len` bytes was sent that ends with number `last`.
    pub(crate) fn sent(&mut self, channel: &ChannelName, last: Seq, len: usize, now: Time) {
        let outbound = match self.channels.get_mut(channel) {
            Some(outbound) => outbound,
            None => self.channels.entry(channel.clone()).or_default(),
        };
        self.load.add(outbound.in_flight.sent(last, len, now));
    }

    /// Everything below `lowest` has arrived at everybody who is waited for; without `anybody`
    /// nothing is learnt from it. Returns the channels that have room again, of those that were
    /// told that they have none.
    pub(crate) fn arrived(
        &mut self,
        channel: &ChannelName,
        lowest: Seq,
        anybody: bool,
        now: Time,
    ) -> Vec<ChannelName> {
        let Some(outbound) = self.channels.get_mut(channel) else {
            return Vec::new();
        };
        let arrived = outbound.in_flight.arrived(lowest, anybody, now);
        self.load.remove(arrived);
        if outbound.gate == Gate::Full && outbound.in_flight.has_room(&self.bounds) {
            outbound.gate = Gate::Waiting;
            self.waiting.push_back(channel.clone());
        }
        self.grant_places()
    }

    /// A channel is forgotten: it has nothing in flight any more. Returns the channels that have
    /// room for it.
    pub(crate) fn forget(&mut self, channel: &ChannelName) -> Vec<ChannelName> {
        let Some(outbound) = self.channels.remove(channel) else {
            return Vec::new();
        };
        self.load.remove(outbound.in_flight.load());
        self.grant_places()
    }

    /// Takes out the channels that have room among all channels now.
    fn grant_places(&mut self) -> Vec<ChannelName> {
        // Each channel that is told takes a place. With nothing in flight all are told, since
        // nothing would tell the others later.
        let mut places = match self.load.frames {
            0 => usize::MAX,
            frames => ALL_FRAMES.saturating_sub(frames),
        };
        let mut writable = Vec::new();
        while places > 0
            && let Some(waiting) = self.waiting.pop_front()
        {
            if let Some(outbound) = self.channels.get_mut(&waiting) {
                let in_flight = &outbound.in_flight;
                if places < usize::MAX
                    && !has_room(self.load, self.all_bytes, &self.bounds, in_flight)
                {
                    self.waiting.push_front(waiting);
                    break;
                }
                outbound.gate = Gate::Open;
            }
            writable.push(waiting);
            places -= 1;
        }
        writable
    }
}

/// Whether a channel has room within the limit for all channels. A channel whose own window is
/// larger than that limit may fill its window.
fn has_room(
    load: Load,
    all_bytes: usize,
    bounds: &RangeInclusive<usize>,
    in_flight: &InFlight,
) -> bool {
    let bytes = all_bytes.max(in_flight.window(bounds));
    load.frames < ALL_FRAMES && load.bytes <= bytes
}

/// The most that all channels together may have in flight, unless one alone may have more.
const ALL_BYTES: usize = 4 * 1024 * 1024;
/// Below the 1,024 frames that gossip queues for one peer, to leave room for forwarded ones.
const ALL_FRAMES: usize = 896;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AT: Time = Time::ZERO;

    fn channel(n: usize) -> ChannelName {
        ChannelName::new(&format!("channel-{n}")).expect("short")
    }

    fn seq(n: usize) -> Seq {
        Seq::new(n as u64).expect("not 0")
    }

    /// Sends until there is no room. Returns how many frames that took.
    fn fill(windows: &mut SendWindows, channel: &ChannelName, len: usize) -> usize {
        let mut frames = 0;
        while windows.may_send(channel) {
            frames += 1;
            windows.sent(channel, seq(frames), len, AT);
        }
        frames
    }

    #[test]
    fn a_full_channel_is_told_once_when_what_it_sent_has_arrived() {
        let mut windows = SendWindows::new(64 * 1024 * 1024);
        let frames = fill(&mut windows, &channel(0), 64 * 1024);
        assert!(frames > 1);
        let later = AT + Duration::from_millis(50);
        assert_eq!(windows.arrived(&channel(0), seq(1), true, later), []);
        let all = seq(frames + 1);
        assert_eq!(windows.arrived(&channel(0), all, true, later), [channel(0)]);
        assert_eq!(windows.arrived(&channel(0), all, true, later), []);
        assert!(windows.may_send(&channel(0)));
        assert_eq!(windows.load, Load::default());
    }

    #[test]
    fn many_channels_share_the_frames_and_those_that_wait_are_told_in_turn() {
        let mut windows = SendWindows::new(64 * 1024 * 1024);
        for n in 0..ALL_FRAMES {
            assert!(windows.may_send(&channel(n)));
            windows.sent(&channel(n), seq(1), 10, AT);
        }
        // A channel that has sent nothing yet has nobody to wait for, and is over by one frame.
        assert!(windows.may_send(&channel(ALL_FRAMES)));
        for n in [3, 1, 2] {
            assert!(!windows.may_send(&channel(n)));
        }
        let arrived = windows.arrived(&channel(7), seq(2), true, AT);
        assert_eq!(arrived, [channel(3)]);
        // That one was told and has not sent; the next is told when it is sure to fit.
        windows.sent(&channel(3), seq(2), 10, AT);
        assert_eq!(windows.forget(&channel(8)), [channel(1)]);
        for n in (0..ALL_FRAMES).rev() {
            windows.forget(&channel(n));
        }
        assert_eq!((windows.load, windows.waiting.len()), (Load::default(), 0));
    }

    #[test]
    fn a_channel_that_is_forgotten_while_it_waits_holds_up_nobody() {
        let mut windows = SendWindows::new(64 * 1024 * 1024);
        for n in 0..ALL_FRAMES {
            windows.sent(&channel(n), seq(1), 10, AT);
        }
        for n in [0, 1] {
            assert!(!windows.may_send(&channel(n)));
        }
        // It has a place of its own and takes that of the first that waits, which is itself.
        assert_eq!(windows.forget(&channel(0)), [channel(0)]);
        assert_eq!(windows.forget(&channel(2)), [channel(1)]);
    }
}
