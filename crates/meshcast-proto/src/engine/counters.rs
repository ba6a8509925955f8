//! What is counted.

/// What happened so far. Counts only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Records posted here.
    pub posted: u64,
    /// Frames they were packed into.
    pub frames_posted: u64,
    /// Frames of others that brought something new.
    pub frames_accepted: u64,
    /// Frames of others that brought nothing new.
    pub frames_duplicate: u64,
    /// Frames of others on channels that are not open here, and our own coming back.
    pub frames_unwanted: u64,
    /// Frames that came ahead of a hole and found no room to wait.
    pub frames_without_room: u64,
    /// Frames that waited behind a hole and were dropped for want of room for all.
    pub frames_dropped: u64,
    /// Times a peer was asked for frames.
    pub requests: u64,
    /// Frames that came as an answer and brought something new; they count as accepted too.
    pub frames_repaired: u64,
    /// Frames given to peers who asked.
    pub frames_served: u64,
    /// Requests of peers that asked for more at once than they may, and got no answer.
    pub requests_refused: u64,
    /// Frames of senders that are not connected and were not heard of before, posted longer ago
    /// than anything is kept, by the clock of the sender: somebody repeats them, or that clock is
    /// behind.
    pub frames_stale: u64,
    /// Answers that nobody asked for, or that hold something else than frames of members.
    pub answers_refused: u64,
    /// Pairs of a sender and a channel that were not followed for want of memory.
    pub logs_refused: u64,
    /// Times a peer said what it has of a channel, or that it has one open, and there was no memory
    /// to remember it.
    pub claims_refused: u64,
    /// Records of others delivered.
    pub delivered: u64,
    /// Gaps reported.
    pub gaps: u64,
    /// Records that those gaps name.
    pub missed: u64,
}
