//! The channels open here that peers were told of, and how far they have answered.
//!
//! A member is told of all of them when it comes, and all members are told of one when it is
//! opened. So a time is noted once for each member and once for each channel. Each pair takes two
//! bytes more: how far the answer is. An opening that is told once more, since its answer took too
//! long, is noted by itself and charged to the member.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    time::Duration,
};

use crate::wire::{ChannelName, Time};

/// The channels that are open here.
#[derive(Debug, Default)]
pub(super) struct OpenChannels {
    channels: BTreeMap<ChannelName, OpenChannel>,
    /// Places that no channel has.
    free: Vec<usize>,
    /// The id of the last opening that anybody was told.
    openings: u64,
}

/// A channel that is open here.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenChannel {
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

impl OpenChannels {
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
    pub(super) fn open(&mut self, channel: &ChannelName, now: Time) -> OpenChannel {
        let opened = self.new_opening(Duration::ZERO, now);
        let open = self.ensure(channel);
        open.opened = opened;
        *open
    }

    /// A channel that is open here; it has a place from now on.
    pub(super) fn ensure(&mut self, channel: &ChannelName) -> &mut OpenChannel {
        let places = self.channels.len() + self.free.len();
        match self.channels.entry(channel.clone()) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) => none.insert(OpenChannel {
                place: self.free.pop().unwrap_or(places),
                opened: Opening::default(),
            }),
        }
    }

    pub(super) fn get(&self, channel: &ChannelName) -> Option<OpenChannel> {
        self.channels.get(channel).copied()
    }

    /// A channel is closed.
    pub(super) fn close(&mut self, channel: &ChannelName) -> Option<OpenChannel> {
        let open = self.channels.remove(channel)?;
        self.free.push(open.place);
        Some(open)
    }
}

impl OpenChannel {
    /// The id that answers repeat of those who were there when all were told of it.
    pub(super) const fn opening(&self) -> u64 {
        self.opened.id
    }
}

impl Answers {
    /// It is told now of all channels that are open.
    pub(super) fn begin(&mut self, all: &OpenChannels, came: Opening) {
        self.came = came;
        for open in all.channels.values() {
            self.await_answer(*open);
        }
    }

    /// It was told of a channel.
    pub(super) fn await_answer(&mut self, open: OpenChannel) {
        self.heard_mut(open).state = State::Awaited;
    }

    /// The opening that it is to answer, or has answered.
    pub(super) fn opening(&self, open: OpenChannel) -> Opening {
        let again = self.again.get(&open.place);
        again
            .copied()
            .unwrap_or(match self.came.id > open.opened.id {
                true => self.came,
                false => open.opened,
            })
    }

    pub(super) fn heard(&self, open: Option<OpenChannel>) -> AnswerHeard {
        let heard = open.and_then(|open| self.heard.get(open.place));
        heard.copied().unwrap_or_default()
    }

    pub(super) fn heard_mut(&mut self, open: OpenChannel) -> &mut AnswerHeard {
        let places = self.heard.len().max(open.place + 1);
        self.heard.resize(places, AnswerHeard::default());
        &mut self.heard[open.place]
    }

    /// Whether it has been told once more.
    pub(super) fn is_again(&self, open: OpenChannel) -> bool {
        self.again.contains_key(&open.place)
    }

    /// It is told once more.
    pub(super) fn tell_again(&mut self, open: OpenChannel, opening: Opening) {
        self.again.insert(open.place, opening);
        self.await_answer(open);
    }

    /// The opening told once more counts no longer. `true` if there was one.
    pub(super) fn end_again(&mut self, open: OpenChannel) -> bool {
        self.again.remove(&open.place).is_some()
    }

    /// The number of openings that it was told once more and has not answered.
    pub(super) fn again(&self) -> usize {
        self.again.len()
    }
}
