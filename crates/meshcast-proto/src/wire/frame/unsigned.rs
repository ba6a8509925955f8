//! A frame that only lacks its signature.

use std::{
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use super::{BuildError, Draft, Fields, Frame, Parts, VERSION, hash, numbers};
use crate::wire::{
    buffers,
    codec::{self, FrameHead},
    id::{Sender, Seq},
    name::ChannelName,
    record::{Records, Survey},
    time::WallTime,
};

/// What a frame says before its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) sender: Sender,
    pub(crate) channel: &'a ChannelName,
    /// The number of the first record.
    pub(crate) first: Seq,
    pub(crate) posted_at: WallTime,
    /// How long ago number 1 was posted.
    pub(crate) since_first: Duration,
}

/// Everything of a frame but its signature.
pub(crate) struct Unsigned {
    buffer: Vec<u8>,
    /// Where the frame begins in the buffer.
    begin: usize,
    fields: Fields,
    hash: blake3::Hash,
}

impl Unsigned {
    /// Packs head, records and the encoded chain of the sender.
    pub(crate) fn pack(head: Head<'_>, draft: Draft, chain: &[u8]) -> Result<Self, BuildError> {
        let len = draft.len();
        if len > Frame::MAX_RECORDS_LEN {
            let limit = Frame::MAX_RECORDS_LEN;
            return Err(BuildError::TooLong { len, limit });
        }
        let Survey { count, fragmented } = Records::survey(draft.records())?;
        let seqs = numbers(head.first, count).map_err(BuildError::OutOfNumbers)?;
        let since_first = u64::try_from(head.since_first.as_millis()).unwrap_or(u64::MAX);
        let mut front = Vec::with_capacity(Frame::longest_head(head.channel));
        front.push(VERSION);
        let frame_head = FrameHead {
            sender: *head.sender.key(),
            channel: head.channel.wire(),
            first_seq: head.first.get(),
            count,
            posted_at: head.posted_at.unix_millis(),
            since_first,
            records_len: len as u64,
        };
        codec::encode_into(&frame_head, &mut front);
        let (mut buffer, begin, records) = draft.with_head(&front);
        codec::encode_into(&chain, &mut buffer);
        let chain_end = buffer.len();
        let fields = Fields {
            sender: head.sender,
            channel: head.channel.clone(),
            seqs,
            posted_at: head.posted_at,
            since_first: Duration::from_millis(since_first),
            records: records - begin..records - begin + len,
            fragmented,
            chain: chain_end - begin - chain.len()..chain_end - begin,
        };
        Ok(Self {
            hash: hash(&buffer[begin..]),
            buffer,
            begin,
            fields,
        })
    }

    /// What the sender has to sign.
    pub(crate) const fn hash(&self) -> &blake3::Hash {
        &self.hash
    }

    /// The frame, with the signature of its sender.
    pub(crate) fn signed(self, signature: &[u8; 64]) -> Frame {
        let Self {
            mut buffer, begin, ..
        } = self;
        buffer.extend_from_slice(signature);
        Frame(Arc::new(Parts {
            bytes: buffers::freeze(buffer).slice(begin..),
            fields: self.fields,
            hash: OnceLock::from(self.hash),
            is_signed: AtomicBool::new(true),
        }))
    }
}
