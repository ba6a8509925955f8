//! The order and the rate in which requests for frames are answered. Peers take turns, and live
//! traffic keeps most of the bandwidth.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use crate::{
    bounds::{FairQueue, Rate},
    log::History,
    replication::fetch::REQUEST_TIMEOUT,
    wire::{ChannelName, Sender, Seq, SeqRange, SyncMessage, Time, Want},
};

/// Requests that wait for their answer, each with the time it came. The work is bytes.
#[derive(Debug)]
pub(crate) struct Serving(FairQueue<Sender, VecDeque<(Time, Want)>>);

/// The frames of the requested numbers: as many as fit an answer.
#[derive(Debug)]
pub(crate) struct Served {
    /// Each with the time since it was posted.
    pub(crate) frames: Vec<(Duration, Bytes)>,
    /// What they take together.
    pub(crate) bytes: usize,
    /// It was looked up to here. Without any frame all of it is denied; with some, what is above
    /// the last may be asked for again.
    pub(crate) upto: Seq,
    /// What is missing below the first.
    pub(crate) lacks: Option<SeqRange>,
}

impl Served {
    /// Looks for numbers of a log in what is kept, up to the first frame whose signature was not
    /// [checked](crate::Engine) yet.
    pub(crate) fn new(
        history: &History,
        channel: &ChannelName,
        sender: Sender,
        seqs: SeqRange,
        now: Time,
    ) -> Self {
        let mut found = Self {
            frames: Vec::new(),
            bytes: 0,
            upto: seqs.last(),
            lacks: Some(seqs),
        };
        for kept in history.frames(channel, sender, seqs) {
            if !kept.is_signed() {
                if found.frames.is_empty() {
                    // Those before it were wrong and are gone; the rest may be asked for again.
                    let first = seqs.first();
                    let below = kept.seqs.first().previous();
                    found.upto = below.map_or(first, |last| last.max(first));
                    found.lacks = SeqRange::new(first, found.upto);
                }
                break;
            }
            let bytes = found.bytes + kept.bytes.len();
            if found.frames.is_empty() {
                let below = kept.seqs.first().previous();
                found.lacks = below.and_then(|last| SeqRange::new(seqs.first(), last));
            } else if bytes > SyncMessage::MAX_FRAMES_LEN {
                break;
            }
            (found.bytes, found.upto) = (bytes, kept.seqs.last());
            let age = now.saturating_since(kept.posted);
            found.frames.push((age, kept.bytes.clone()));
        }
        found
    }
}

impl Serving {
    /// A peer asks for frames. `false` if too many of its requests wait already: this one gets no
    /// answer.
    pub(crate) fn ask(&mut self, peer: Sender, want: Want, now: Time) -> bool {
        self.0.ensure(peer, VecDeque::new);
        let asked = self.0.change(peer, |waiting| {
            let has_room = waiting.len() < MAX_WAITING;
            if has_room {
                waiting.push_back((now, want));
            }
            has_room
        });
        asked.unwrap_or_default()
    }

    /// The next request to answer now. Report the length of the answer with [`Self::gave`].
    pub(crate) fn next(&mut self, now: Time) -> Option<(Sender, Want)> {
        // The peer has given up on requests this old.
        self.0
            .change_all(|waiting| waiting.retain(|(came, _)| now < *came + REQUEST_TIMEOUT));
        let (peer, taken) = self.0.next(now, VecDeque::pop_front)?;
        Some((peer, taken?.1))
    }

    /// A peer was given so many bytes.
    pub(crate) fn gave(&mut self, peer: Sender, bytes: usize, now: Time) {
        self.0.charge(peer, bytes.max(MIN_COST), now);
    }

    /// A peer is gone.
    pub(crate) fn forget(&mut self, peer: Sender) {
        self.0.remove(peer);
    }

    /// When a request can be answered next.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.0.poll_timeout()
    }
}

impl Default for Serving {
    fn default() -> Self {
        Self(FairQueue::new(RATE, Some(TOTAL_RATE)))
    }
}

/// How many bytes a second one peer is given: a history of 64 MiB in two seconds. A peer that asks
/// without end gets no more than that.
const RATE: Rate = Rate::per_second(32 * 1024 * 1024, BURST);

/// How many bytes a second all peers are given. Live traffic does not queue behind it, and is
/// several times faster.
const TOTAL_RATE: Rate = Rate::per_second(64 * 1024 * 1024, BURST);

/// The amount that an answer may be ahead of its rate, so that few timers are needed: 8 MiB of one
/// peer.
const BURST: Duration = Duration::from_millis(250);

/// What an answer costs at least, for the search.
const MIN_COST: usize = 4 * 1024;

/// How many requests of one peer wait. An honest peer has three open at a time, and three more if
/// those timed out.
const MAX_WAITING: usize = 8;

#[cfg(test)]
mod tests;
