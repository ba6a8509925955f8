//! The wire form of what a node has: a sender is named once, and by its place for each log.

use std::{collections::BTreeMap, time::Duration};

use super::{Answer, Holding, Holdings, SyncMessage, out_of_range, seq};
use crate::wire::{
    codec::{AnswerBody, CodecError, HaveBody, HaveChannelBody, HaveLogBody},
    fields::{at_most, channel, millis, once},
    id::{Sender, Seq},
};

/// What of it fits into one message.
pub(super) fn body(holdings: &[Holdings]) -> HaveBody<'_> {
    let mut places = BTreeMap::new();
    let mut senders = Vec::new();
    let mut log = |holding: &Holding| HaveLogBody {
        sender: *places.entry(holding.sender).or_insert_with(|| {
            senders.push(*holding.sender.key());
            // Bounded by the number of logs.
            senders.len() as u32 - 1
        }),
        next: holding.next.get(),
        kept: holding.next.get().saturating_sub(holding.oldest.get()),
        due: holding.due.map_or(0, Seq::get),
        hops: holding.hops,
        behind: holding.lowest.map_or(0, |lowest| {
            holding.next.get().saturating_sub(lowest.get()) + 1
        }),
        passed: holding.begin.get() - 1,
    };
    let mut room = SyncMessage::MAX_LOGS;
    let channels = holdings
        .iter()
        .take(SyncMessage::MAX_CHANNELS)
        .map(|holdings| {
            let logs: Vec<_> = holdings.logs.iter().take(room).map(&mut log).collect();
            room -= logs.len();
            HaveChannelBody {
                channel: holdings.channel.wire(),
                answer: holdings.answer.as_ref().map(AnswerBody::from),
                logs,
            }
        });
    let channels = channels.collect();
    HaveBody { senders, channels }
}

/// Reads it.
pub(super) fn read(body: &HaveBody<'_>) -> Result<Vec<Holdings>, CodecError> {
    at_most(SyncMessage::MAX_CHANNELS, body.channels.len())?;
    at_most(
        SyncMessage::MAX_LOGS,
        body.channels.iter().map(|channel| channel.logs.len()).sum(),
    )?;
    once(
        "a channel",
        body.channels.iter().map(|holdings| holdings.channel),
    )?;
    for holdings in &body.channels {
        once("a log", holdings.logs.iter().map(|log| log.sender))?;
    }
    // Every sender is named once, in the order in which logs refer to it, so that a message has
    // only one form.
    let mut places = BTreeMap::new();
    let mut log = |log: &HaveLogBody| {
        let sender = body
            .senders
            .get(log.sender as usize)
            .ok_or_else(out_of_range)?;
        let new = places.len();
        if *places.entry(*sender).or_insert(new) != log.sender as usize {
            return Err(out_of_range());
        }
        let oldest = log.next.checked_sub(log.kept).ok_or_else(out_of_range)?;
        let lowest = match log.behind.checked_sub(1) {
            Some(behind) => Some(log.next.checked_sub(behind).ok_or_else(out_of_range)?),
            None => None,
        };
        Ok(Holding {
            sender: Sender::new(*sender),
            oldest: seq(oldest)?,
            next: seq(log.next)?,
            due: Seq::new(log.due),
            hops: log.hops,
            lowest: lowest.map(seq).transpose()?,
            begin: Seq::new(log.passed.wrapping_add(1)).ok_or_else(out_of_range)?,
        })
    };
    let channels = body.channels.iter().map(|holdings| {
        Ok(Holdings {
            channel: channel(holdings.channel)?,
            answer: holdings.answer.as_ref().map(Answer::from),
            logs: holdings
                .logs
                .iter()
                .map(&mut log)
                .collect::<Result<_, _>>()?,
        })
    });
    let channels = channels.collect::<Result<_, _>>()?;
    if places.len() < body.senders.len() {
        return Err(out_of_range());
    }
    Ok(channels)
}

impl From<&Answer> for AnswerBody {
    fn from(answer: &Answer) -> Self {
        Self {
            opening: answer.opening,
            held: millis(answer.held),
            more: answer.more,
        }
    }
}

impl From<&AnswerBody> for Answer {
    fn from(body: &AnswerBody) -> Self {
        Self {
            opening: body.opening,
            held: Duration::from_millis(body.held),
            more: body.more,
        }
    }
}
