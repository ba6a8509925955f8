//! Self-clocked fair queueing: who is served next, so that all who wait get equal shares of the
//! work, and who causes little is served at once however much others cause.
//!
//! By S. J. Golestani, "A Self-Clocked Fair Queueing Scheme for Broadband Applications" (1994),
//! with equal weights. Only afterwards is it known how much work a turn was, so it is ordered by
//! what the last of the same one was. A token bucket cannot do this: it forgets what it has
//! refilled, and who takes long turns has as many as who takes short ones.

/// The turns of one who waits, in virtual time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Turns {
    /// When its next one starts.
    start: u64,
    /// How much work the last was.
    last: u64,
}

/// The virtual time: how much work was done for each that always waits.
#[derive(Debug, Default)]
pub(crate) struct VirtualTime(u64);

impl VirtualTime {
    /// Something of it waits from now on, and nothing did: it saved up no turns meanwhile.
    pub(crate) fn arrive(&self, turns: &mut Turns) {
        turns.start = turns.start.max(self.0);
    }

    /// It is the turn of the one that [ends](Turns::end) first, which is this.
    pub(crate) fn serve(&mut self, turns: Turns) {
        self.0 = self.0.max(turns.start);
    }
}

impl Turns {
    /// When its next turn probably ends.
    pub(crate) const fn end(self) -> u64 {
        self.start.saturating_add(self.last)
    }

    /// So much work was done in its turn.
    pub(crate) const fn charge(&mut self, work: usize) {
        self.last = work as u64;
        self.start = self.end();
    }
}
