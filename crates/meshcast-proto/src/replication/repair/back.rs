//! Fetching what was before all that this node keeps of a flow, for readers of this process that
//! came late.
//!
//! Nobody waits for these numbers but those readers, so neighbours are not told of it, and nothing
//! is reported as missing: what nobody has who is there is not fetched.

use super::*;

impl Repair {
    /// These are to be fetched, from before what this node keeps, as far as neighbours have them.
    pub(crate) const fn look_back(&mut self, seqs: SeqRange) {
        self.past = Some(seqs);
    }

    /// What is still to be fetched from before is not wanted any more.
    pub(crate) const fn look_back_no_more(&mut self) {
        self.past = None;
    }

    /// Whether something is being fetched from before what this node keeps.
    pub(crate) const fn looks_back(&self) -> bool {
        self.past.is_some()
    }

    /// The lowest of these numbers that a neighbour says it has.
    pub(crate) fn lowest_covered(&self, seqs: SeqRange, now: Time) -> Option<Seq> {
        let holders = self.holders.values();
        let covering = holders.filter_map(|holder| holder.covers(seqs, now));
        covering.map(|seqs| seqs.first()).min()
    }

    /// A frame came with these numbers. `true` if it is among what is fetched from before.
    pub(crate) fn past_came(&mut self, seqs: SeqRange) -> bool {
        let wanted = self.past.take_if(|past| past.overlap(seqs).is_some());
        if let Some(past) = wanted {
            self.past = SeqRange::new(seqs.last().next(), past.last());
        }
        wanted.is_some()
    }

    /// What to do to fetch the rest from before. Once nobody who is there has it, it is not wanted
    /// any more.
    pub(crate) fn past_step(
        &mut self,
        around: &Surroundings<'_>,
        jitter: &mut Jitter,
        now: Time,
    ) -> Option<Step> {
        let past = self.past?;
        if let Some(asked) = self.asked {
            return Some(Step::Wait(asked.until));
        }
        let step = self.best(past, around.neighbours, now, jitter);
        if step.is_none() {
            self.past = None;
        }
        step.map(|step| step.map_or_else(Step::Wait, |(peer, seqs)| Step::Ask(peer, seqs)))
    }
}
