//! Spans around what happens to messages, so that traces of a service can say which message they
//! are about.
//!
//! | Span | Level | Around |
//! |---|---|---|
//! | `post` | trace | a call of `post_message`, until the message is queued |
//! | `send` | trace | giving a frame its numbers, and giving it to gossip |
//! | `receive` | trace | what a frame brings about that came by gossip |
//! | `deliver` | trace | handing messages to the objects of this process |
//! | `handle` | debug | each call of a handler |
//!
//! Fields: `channel`, a hash that all members of the mesh have the same, and from which nobody else
//! can tell the name; `sender`, its peer id; `seq` and `last_seq`, the numbers. A span that no
//! subscriber wants costs a comparison.

use libp2p::PeerId;
use meshcast_proto::{Sender, Seq, SeqRange};
use tracing::{Span, field::Empty};

use super::{cursor::Place, ring::Item};
use crate::ids::peer_id;

/// Its number is not known before it is [sent](send).
pub(crate) fn post(place: Place, me: &PeerId) -> Span {
    tracing::trace_span!(target: TARGET, "post", channel = %place, sender = %me)
}

/// Its numbers are not known [yet](sent).
pub(crate) fn send(place: Place, me: &PeerId) -> Span {
    tracing::trace_span!(target: TARGET, "send", channel = %place, sender = %me,
        seq = Empty, last_seq = Empty)
}

/// These are the numbers of what is sent.
pub(crate) fn sent(span: &Span, seqs: SeqRange) {
    let [first, last] = ends(seqs);
    span.record("seq", first).record("last_seq", last);
}

/// The place is a hash, which is made only if somebody wants the span.
pub(crate) fn receive(
    place: impl Fn() -> Place,
    sender: Sender,
    seqs: SeqRange,
    from: &PeerId,
) -> Span {
    let [first, last] = ends(seqs);
    tracing::trace_span!(target: TARGET, "receive", channel = %place(),
        sender = %peer_id(sender), seq = first, last_seq = last, %from)
}

pub(crate) fn deliver(place: Place, item: &Item) -> Span {
    let [first, last] = ends(item.seqs());
    tracing::trace_span!(target: TARGET, "deliver", channel = %place,
        sender = %peer_id(item.member().sender()), seq = first, last_seq = last,
        missed = matches!(item, Item::Missed(_)))
}

pub(crate) fn handle(place: Place, sender: Sender, seqs: SeqRange) -> Span {
    let [first, last] = ends(seqs);
    tracing::debug_span!(target: TARGET, "handle", channel = %place,
        sender = %peer_id(sender), seq = first, last_seq = last)
}

fn ends(seqs: SeqRange) -> [u64; 2] {
    [seqs.first(), seqs.last()].map(Seq::get)
}

/// Apart from modules, so that a filter can let these through alone.
const TARGET: &str = "meshcast::message";

#[cfg(test)]
mod tests;
