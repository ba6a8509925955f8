//! What comes out of logs.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    conduct::Offence,
    identity::Member,
    log::{Assembled, Log},
    wire::{self, ChannelName, LogKey, Sender, SeqRange},
};

/// What came out of logs.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) batches: Vec<Batch>,
    /// Whom to ask for what.
    pub(crate) wants: Vec<(Sender, wire::Want)>,
    /// What peers are to be told of.
    pub(crate) advances: Advances,
    /// Posts of this node that peers now have.
    pub(crate) acked: Vec<Acked>,
    /// What peers did that no honest one does.
    pub(crate) offences: BTreeSet<(Sender, Offence)>,
    /// Peers that hand on too little, so that others are named in their place.
    pub(crate) passed_over: Vec<Sender>,
    /// Logs of which a frame came and that found no room, with who posts them.
    pub(crate) without_room: Vec<(LogKey, Arc<Member>)>,
}

/// Logs of which there is something new to tell peers.
#[derive(Debug, Default)]
pub(crate) struct Advances {
    /// Those that got further.
    pub(crate) advanced: BTreeSet<LogKey>,
    /// Those whose listeners got further, or are waited for no longer.
    pub(crate) acks_changed: BTreeSet<LogKey>,
    /// Those to whose sender there is another way.
    pub(crate) route_changed: BTreeSet<LogKey>,
}

/// A peer has told that it has more of what was posted here: these numbers.
#[derive(Debug)]
pub(crate) struct Acked {
    pub(crate) peer: Sender,
    pub(crate) channel: ChannelName,
    pub(crate) seqs: SeqRange,
}

/// What came out of a log at once, in order.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) channel: ChannelName,
    pub(crate) member: Arc<Member>,
    pub(crate) assembled: Vec<Assembled>,
}

impl Batch {
    pub(super) fn of((channel, _): &LogKey, log: &Log, assembled: Vec<Assembled>) -> Option<Self> {
        let member = log.member().cloned().filter(|_| !assembled.is_empty())?;
        Some(Self {
            channel: channel.clone(),
            member,
            assembled,
        })
    }
}
