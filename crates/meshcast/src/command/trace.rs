//! Questions about single messages, and what is known of them.

use meshcast_proto::{ChannelName, Delivery, Seq, WallTime};

use crate::inspect::SenderInfo;

/// Which messages are traced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TraceQuery {
    pub(crate) channel: ChannelName,
    pub(crate) wanted: Traced,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Traced {
    /// The newest so many of each sender.
    Last(u64),
    /// The one with this number, of each sender of this name: each process counts anew.
    One(String, Seq),
}

/// What is known of them.
#[derive(Debug)]
pub(crate) struct Trace {
    /// An object is open on the channel.
    pub(crate) is_open: bool,
    pub(crate) senders: Vec<TracedSender>,
    /// Senders that there was no room for.
    pub(crate) left_out: usize,
}

#[derive(Debug)]
pub(crate) struct TracedSender {
    pub(crate) info: SenderInfo,
    /// The lowest number that is kept.
    pub(crate) oldest: Option<Seq>,
    /// Messages of it that came and are kept, with when they came: whether they were delivered or
    /// wait for a number below.
    pub(crate) kept: Vec<(WallTime, Delivery)>,
}
