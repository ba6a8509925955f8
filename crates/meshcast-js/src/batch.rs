//! Many messages as one buffer, since each crossing into JavaScript has its price.
//!
//! Entry after entry: a byte that says what it is, its length in four bytes and so much content.
//! Numbers are little-endian.
//!
//! | Byte | Content |
//! |---|---|
//! | 1 | a message: the number of its sender in 4 bytes, its own as *f64*, when it was posted |
//! | | … (in ms, as *f64*), its value |
//! | 2 | a sender, as JSON, with the number that messages and gaps have of it from now on |
//! | 3 | a gap, as JSON |
//! | 4 | a message of the past that the link began with, otherwise as 1 |
//! | 5 | nothing: that past is over |
//! | 6 | up to where the link has read, as text |

use std::collections::HashMap;

use meshcast::{Cursor, EncodedValue, Entry, Message, NodeName, PeerId, RecvError, Region};
use serde_json::{Value, json};

use crate::report;

const MESSAGE: u8 = 1;
const SENDER: u8 = 2;
const GAP: u8 = 3;
const HISTORY: u8 = 4;
const CAUGHT_UP: u8 = 5;
const CURSOR: u8 = 6;

/// Messages in a batch: as many as pay off.
const MESSAGES: usize = 256;
/// Bytes in a batch, beyond which it takes no more: a handful of the largest frames.
const BYTES: usize = 256 * 1024;
/// Senders that have a number at once. With more, all begin anew: processes come and go for ever.
const SENDERS: usize = 1024;

/// A batch in the making.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    messages: usize,
    senders: HashMap<PeerId, u32>,
}

impl Batch {
    pub(crate) fn is_full(&self) -> bool {
        self.messages >= MESSAGES || self.bytes.len() >= BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What there is, and room for more.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.messages = 0;
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn add(&mut self, received: &Result<Entry<EncodedValue>, RecvError>) {
        self.messages += 1;
        match received {
            Ok(Entry::Message(message)) => self.message(message),
            Err(RecvError::Gap(gap)) => {
                let sender = self.sender(gap.sender(), gap.name(), gap.region());
                let missed = gap.missed();
                self.json(
                    GAP,
                    &json!({
                        "sender": sender,
                        "first": missed.start(),
                        "last": missed.end(),
                        "reason": report::gap_reason(gap.reason()),
                    }),
                );
            }
            // Nothing is decoded here.
            Ok(_) | Err(_) => {}
        }
    }

    pub(crate) fn caught_up(&mut self) {
        self.head(CAUGHT_UP, 0);
    }

    pub(crate) fn cursor(&mut self, cursor: &Cursor) {
        let text = cursor.to_string();
        self.head(CURSOR, text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn message(&mut self, message: &Message<EncodedValue>) {
        let sender = self.sender(message.sender(), message.name(), message.region());
        let value = message.data.as_bytes();
        let kind = match message.is_history() {
            true => HISTORY,
            false => MESSAGE,
        };
        self.head(kind, 4 + 8 + 8 + value.len());
        self.bytes.extend_from_slice(&sender.to_le_bytes());
        let numbers = [
            message.seq() as f64,
            report::milliseconds(message.posted_at()),
        ];
        for number in numbers {
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
        self.bytes.extend_from_slice(value);
    }

    fn sender(&mut self, peer: PeerId, name: &NodeName, region: &Region) -> u32 {
        if let Some(number) = self.senders.get(&peer) {
            return *number;
        }
        if self.senders.len() >= SENDERS {
            self.senders.clear();
        }
        let number = self.senders.len() as u32;
        self.senders.insert(peer, number);
        self.json(
            SENDER,
            &json!({
                "number": number,
                "peerId": peer.to_string(),
                "name": name.to_string(),
                "region": region.to_string(),
            }),
        );
        number
    }

    fn json(&mut self, kind: u8, content: &Value) {
        let text = content.to_string();
        self.head(kind, text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn head(&mut self, kind: u8, length: usize) {
        self.bytes.push(kind);
        // No message is longer than its limit, which is below 4 GiB.
        self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
    }
}
