//! The messages that a channel heard, at several nodes at once: for each the nodes that have it,
//! since when, and which way it came.
//!
//! A channel may carry more than anybody can read, so only so many messages a second become rows;
//! the others are counted.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::Serialize;

/// Rows, and what of them has changed.
#[derive(Debug, Default)]
pub(super) struct Tail {
    rows: VecDeque<Row>,
    /// The number of the latest row.
    last: u64,
    /// The highest number of each sender for which there was or was not a row.
    decided: BTreeMap<String, u64>,
    /// The nodes where it is followed, by name, and the region of each.
    places: BTreeMap<String, String>,
    /// The number of rows that began, less those that time has given back; as of `counted`.
    begun: f64,
    counted: Duration,
    skipped: u64,
}

/// A message or a gap.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) id: u64,
    pub(super) sender: String,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) seq: u64,
    /// By the sender's clock, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) posted_ms: Option<u64>,
    /// The message, or what is wrong with it.
    pub(super) text: String,
    /// The last number that is missing, and at which node, if it is a gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gap: Option<(u64, String)>,
    /// Who has it, by name.
    pub(super) arrivals: BTreeMap<String, Arrival>,
    #[serde(skip)]
    changed: bool,
}

/// How a message came to a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Arrival {
    pub(super) region: String,
    /// From its sender's clock to the one there, in milliseconds; nothing if that one was ahead.
    pub(super) took_ms: u64,
    /// Which way: `local`, `gossip`, `repair` or `history`; nothing if the node does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) way: Option<String>,
}

/// What has changed in a tail.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Changes {
    pub(super) rows: Vec<Row>,
    /// Messages and gaps that got no row, so far.
    pub(super) skipped: u64,
    /// The nodes where the channel is followed, by name, and the region of each.
    pub(super) places: Vec<(String, String)>,
}

/// Something that a node heard.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heard {
    pub(super) sender: String,
    pub(super) name: String,
    pub(super) region: String,
    pub(super) seq: u64,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Message(Arrived),
    /// Something that is no value.
    Undecodable,
    /// The last number that is missing.
    Gap(u64),
}

/// How a message came, in milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) posted_ms: u64,
    /// By the clock of the node, if it tells.
    pub(super) received_ms: Option<u64>,
    pub(super) way: Option<String>,
}

/// The node that heard it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) peer_id: String,
}

impl Tail {
    /// A node heard something; `now_ms` is by the clock, `now` since the tail began. Its text is
    /// only made if it gets a row.
    pub(super) fn heard(
        &mut self,
        at: &Place,
        heard: &Heard,
        text: impl FnOnce() -> String,
        now_ms: u64,
        now: Duration,
    ) {
        if let What::Gap(last) = heard.what {
            if self.may_begin(now) {
                let row = self.begin(heard, None, text());
                row.gap = Some((last, at.name.clone()));
            } else {
                self.skipped += 1;
            }
            return;
        }
        let Some(index) = self.row_of(heard, text, now) else {
            return;
        };
        let Some(row) = self.rows.get_mut(index) else {
            return;
        };
        let (received, way) = match &heard.what {
            What::Message(arrived) => (arrived.received_ms, arrived.way.clone()),
            What::Undecodable | What::Gap(_) => (None, None),
        };
        let received = received.unwrap_or(now_ms);
        let arrival = Arrival {
            region: at.region.clone(),
            took_ms: received.saturating_sub(row.posted_ms.unwrap_or(received)),
            way,
        };
        row.arrivals.insert(at.name.clone(), arrival);
        row.changed = true;
    }

    /// From now on a node tells what it hears.
    pub(super) fn enter(&mut self, place: &Place) {
        self.places.insert(place.name.clone(), place.region.clone());
    }

    /// A node tells nothing any more.
    pub(super) fn leave(&mut self, place: &Place) {
        self.places.remove(&place.name);
    }

    /// What has changed since this was asked last.
    pub(super) fn changes(&mut self) -> Changes {
        let changed = self.rows.iter_mut().filter(|row| row.changed);
        let rows = changed.map(|row| {
            row.changed = false;
            row.clone()
        });
        Changes {
            rows: rows.collect(),
            skipped: self.skipped,
            places: self.places.clone().into_iter().collect(),
        }
    }

    /// The row of a message, which begins if it is new and there is room.
    fn row_of(
        &mut self,
        heard: &Heard,
        text: impl FnOnce() -> String,
        now: Duration,
    ) -> Option<usize> {
        let decided = self.decided.get(&heard.sender).copied().unwrap_or(0);
        if heard.seq <= decided {
            let is_it =
                |row: &Row| row.seq == heard.seq && row.sender == heard.sender && row.gap.is_none();
            return self.rows.iter().rposition(is_it);
        }
        if self.decided.len() >= SENDERS && !self.decided.contains_key(&heard.sender) {
            self.decided.pop_first();
        }
        self.decided.insert(heard.sender.clone(), heard.seq);
        if !self.may_begin(now) {
            self.skipped += 1;
            return None;
        }
        let posted = match &heard.what {
            What::Message(arrived) => Some(arrived.posted_ms),
            What::Undecodable | What::Gap(_) => None,
        };
        self.begin(heard, posted, text());
        Some(self.rows.len() - 1)
    }

    fn may_begin(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.counted).as_secs_f64();
        self.begun = (self.begun - passed * ROWS_PER_SECOND).max(0.0);
        self.counted = now;
        let may = self.begun + 1.0 <= BURST;
        if may {
            self.begun += 1.0;
        }
        may
    }

    fn begin(&mut self, heard: &Heard, posted_ms: Option<u64>, text: String) -> &mut Row {
        self.last += 1;
        if self.rows.len() >= ROWS {
            self.rows.pop_front();
        }
        self.rows.push_back(Row {
            id: self.last,
            sender: heard.sender.clone(),
            name: heard.name.clone(),
            region: heard.region.clone(),
            seq: heard.seq,
            posted_ms,
            text,
            gap: None,
            arrivals: BTreeMap::new(),
            changed: true,
        });
        let latest = self.rows.len() - 1;
        &mut self.rows[latest]
    }
}

/// A person reads no more, and a browser shows these without effort.
const ROWS_PER_SECOND: f64 = 10.0;
/// The rows that may begin at once after a quiet while, as when a link is mended and all that was
/// missed comes.
const BURST: f64 = 100.0;
/// Arrivals are added to these: what is older has long come, or waits for a link.
const ROWS: usize = 300;
/// Beyond so many the first by id is forgotten, and begins anew if it posts.
const SENDERS: usize = 4096;

#[cfg(test)]
mod tests;
