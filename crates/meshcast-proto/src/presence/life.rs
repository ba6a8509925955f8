//! Whether a member lives: what was last heard of it, and how long that is enough.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    identity::Member,
    wire::{Beat, ChannelName, Sender, Time},
};

/// The known facts of a member that is or was present somewhere.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) member: Arc<Member>,
    /// The encoded chain that made it a member.
    pub(crate) chain: Bytes,
    /// The channels on which there is a record of it.
    pub(crate) rooms: BTreeSet<ChannelName>,
    /// Its newest sign of life for those who are far.
    pub(crate) beat: Option<Beat>,
    /// When it was last known to live: by a beat, or when it was connected.
    pub(crate) evidence: Option<Time>,
    /// The peer that its beats come from. `None` while they are sought.
    pub(crate) upstream: Option<Sender>,
    /// When its beats were last asked for.
    pub(crate) asked: Option<Time>,
}

/// How a member is doing. A lost member is neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Heard,
    Silent,
}

impl Life {
    pub(crate) fn new(member: Arc<Member>, chain: Bytes) -> Self {
        Self {
            member,
            chain,
            rooms: BTreeSet::new(),
            beat: None,
            evidence: None,
            upstream: None,
            asked: None,
        }
    }

    /// Its status, if there is no link to it; `None` if it counts as lost.
    pub(crate) fn status(&self, now: Time) -> Option<Status> {
        let elapsed = now.saturating_since(self.evidence?);
        let period = self
            .beat
            .as_ref()
            .map_or(Duration::ZERO, |beat| beat.period);
        let period = period.min(MAX_BEAT);
        if elapsed >= LOST_AFTER.max(period * LOST_BEATS) {
            None
        } else if elapsed >= SILENT_AFTER.max(period * SILENT_BEATS) {
            Some(Status::Silent)
        } else {
            Some(Status::Heard)
        }
    }

    pub(crate) fn heard(&mut self, at: Time) {
        self.evidence = self.evidence.max(Some(at));
    }
}

/// The interval of a member's heartbeats while somebody far follows it. Two of them come within
/// [`SILENT_AFTER`] plus a second on the way.
pub const BEAT: Duration = Duration::from_secs(2);

/// The longest interval, in a channel with as many members as it may have: so 200 heartbeats a
/// second arrive at each node, which take half a percent of a core to check.
pub const MAX_BEAT: Duration = Duration::from_secs(20);

/// How much less often each makes one for each member of the channel: from 400 members on.
pub(crate) const BEAT_PER_MEMBER: Duration = Duration::from_millis(5);

/// A member of which nothing is heard for this long is silent. Two signs of life on a link; a
/// member that is only busy, or far away, sends one of them.
pub const SILENT_AFTER: Duration = Duration::from_secs(3);

/// A member that is not connected and of which nothing is heard for this long is lost. A dead link
/// is noticed within 5 s by both of its ends; half a second later somebody between is asked for
/// beats, the first of which comes within another 2 s. The rest is for a lost packet.
pub const LOST_AFTER: Duration = Duration::from_secs(10);

/// How many beats in a row have to be missing.
const SILENT_BEATS: u32 = 3;
const LOST_BEATS: u32 = 5;
