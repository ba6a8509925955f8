//! The channels open here that peers were told of, and how far they have answered.
//!
//! A member is told of all of them when it comes, and all members are told of one when it is
//! opened. So that is noted once for each member and once for each channel. Two bytes are left for
//! each pair: how far the answer is. Only what is told once more, since its answer took too long,
//! is noted apart, and charged to the member.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use crate::wire::{ChannelName, Time};

/// The channels that are open here.
#[derive(Debug, Default)]
pub(super) struct OpenHere {
    channels: BTreeMap<ChannelName, Told>,
    /// Places that no channel has.
    free: Vec<usize>,
    /// The id of the last opening that anybody was told.
    openings: u64,
}

/// A channel that is open here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Told {
    /// Its place in [`Answers`].
    place: usize,
    /// When all were told of it last.
    opened: Opening,
}

/// A peer was told that a channel is open here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Opening {
    /// The later, the higher.
    pub(super) id: u64,
    pub(super) at: Time,
    /// So much was added to the time since when it is open, for the way. An answer for which that
    /// was too little has it opened once more, with more added: each takes 200 ms longer than the
    /// last, so that who makes answers slower and slower is soon asked seldom.
    pub(super) added: Duration,
}

/// How far a peer has answered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// When it was told of all channels that were open.
    came: Opening,
    /// By the place of the channel; none where there is none yet.
    heard: Vec<AnswerHeard>,
    /// The openings that it was told once more and has not answered, by the place of the channel.
    again: BTreeMap<usize, Opening>,
}

/// What came of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct AnswerHeard {
    pub(super) state: State,
    /// The last that it said it has of a log of the channel found no room.
    pub(super) is_unknown: bool,
}

/// The state of a peer's answer to the opening of a channel here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It was not told so.
    #[default]
    NotAsked,
    /// It was, and nothing of its answer came.
    Awaited,
    /// A part of its answer came.
    Partly,
    /// It has told all it has, and tells what changes.
    Complete,
}

impl OpenHere {
    /// Something is told now.
    pub(super) const fn new_opening(&mut self, added: Duration, now: Time) -> Opening {
        self.openings += 1;
        Opening {
            id: self.openings,
            at: now,
            added,
        }
    }

    /// All are told of a channel now.
    pub(super) fn open(&mut self, channel: &ChannelName, now: Time) -> Told {
        let opened = self.new_opening(Duration::ZERO, now);
        let told = self.ensure(channel);
        told.opened = opened;
        *told
    }

    /// A channel that is open here; it has a place from now on.
    pub(super) fn ensure(&mut self, channel: &ChannelName) -> &mut Told {
        let places = self.channels.len() + self.free.len();
        match self.channels.entry(channel.clone()) {
            Entry::Occupied(told) => told.into_mut(),
            Entry::Vacant(none) => none.insert(Told {
                place: self.free.pop().unwrap_or(places),
                opened: Opening::default(),
            }),
        }
    }

    pub(super) fn get(&self, channel: &ChannelName) -> Option<Told> {
        self.channels.get(channel).copied()
    }

    /// A channel is closed.
    pub(super) fn close(&mut self, channel: &ChannelName) -> Option<Told> {
        let told = self.channels.remove(channel)?;
        self.free.push(told.place);
        Some(told)
    }
}

impl Told {
    /// The id that answers repeat of those who were there when all were told of it.
    pub(super) const fn opening(&self) -> u64 {
        self.opened.id
    }
}

impl Answers {
    /// It is told now of all channels that are open.
    pub(super) fn begin(&mut self, open: &OpenHere, came: Opening) {
        self.came = came;
        for told in open.channels.values() {
            self.await_answer(*told);
        }
    }

    /// It was told of a channel.
    pub(super) fn await_answer(&mut self, told: Told) {
        self.heard_mut(told).state = State::Awaited;
    }

    /// The opening that it is to answer, or has answered.
    pub(super) fn opening(&self, told: Told) -> Opening {
        let again = self.again.get(&told.place);
        again
            .copied()
            .unwrap_or(match self.came.id > told.opened.id {
                true => self.came,
                false => told.opened,
            })
    }

    pub(super) fn heard(&self, told: Option<Told>) -> AnswerHeard {
        let heard = told.and_then(|told| self.heard.get(told.place));
        heard.copied().unwrap_or_default()
    }

    pub(super) fn heard_mut(&mut self, told: Told) -> &mut AnswerHeard {
        let places = self.heard.len().max(told.place + 1);
        self.heard.resize(places, AnswerHeard::default());
        &mut self.heard[told.place]
    }

    /// Whether it has been told once more.
    pub(super) fn is_again(&self, told: Told) -> bool {
        self.again.contains_key(&told.place)
    }

    /// It is told once more.
    pub(super) fn tell_again(&mut self, told: Told, opening: Opening) {
        self.again.insert(told.place, opening);
        self.await_answer(told);
    }

    /// The opening told once more counts no longer. `true` if there was one.
    pub(super) fn end_again(&mut self, told: Told) -> bool {
        self.again.remove(&told.place).is_some()
    }

    /// The number of openings that it was told once more and has not answered.
    pub(super) fn again(&self) -> usize {
        self.again.len()
    }
}
