//! Counters.

/// What happened so far. The numbers only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Records posted here.
    pub posted: u64,
    /// Frames that these records were packed into.
    pub frames_posted: u64,
    /// Frames of others that brought something new.
    pub frames_accepted: u64,
    /// Frames of others that brought nothing new.
    pub frames_duplicate: u64,
    /// Frames of others on channels that are not open here, and our own coming back.
    pub frames_unwanted: u64,
    /// Frames refused because they came ahead of a hole and there was no memory for them to wait.
    pub frames_without_room: u64,
    /// Frames dropped from behind a hole because all senders together held too much.
    pub frames_dropped: u64,
    /// Times a peer was asked for frames.
    pub requests: u64,
    /// Times another was asked beside a peer that had not answered within 250 ms; they count as
    /// requests too.
    pub requests_hedged: u64,
    /// Frames that came as an answer and brought something new; they count as accepted too.
    pub frames_repaired: u64,
    /// Frames given to peers who asked.
    pub frames_served: u64,
    /// Requests that went unanswered because the peer had asked for more at once than it may.
    pub requests_refused: u64,
    /// Frames refused as replays: of a sender that is neither connected nor known, and by the
    /// sender's clock posted longer ago than anything is kept. Or that clock is behind.
    pub frames_stale: u64,
    /// Answers to no request, or with something else in them than frames of members.
    pub answers_refused: u64,
    /// Logs (pairs of sender and channel) not followed for want of memory.
    pub logs_refused: u64,
    /// Times a peer said what it has of a log, or opened a channel, and there was no memory to
    /// remember it.
    pub claims_refused: u64,
    /// Records of others delivered.
    pub delivered: u64,
    /// Gaps reported.
    pub gaps: u64,
    /// Records that those gaps name.
    pub missed: u64,
}
