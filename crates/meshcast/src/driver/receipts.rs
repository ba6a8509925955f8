//! Callers that wait until peers have what was posted here.

use std::{collections::BTreeMap, ops::RangeInclusive, sync::Arc};

use meshcast_proto::{ChannelName, Seq, SeqRange};

use crate::channel::{AckError, Awaited, Hub};

/// Callers that wait, by the message that peers are to have. An acknowledgement looks only at those
/// whose messages it is about.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// For messages in an outbox, by channel and record. While one hub makes way for the next, a
    /// channel has two of them.
    queued: BTreeMap<(ChannelName, u64), Vec<Queued>>,
    /// For messages that have left, by channel and number.
    sent: BTreeMap<(ChannelName, Seq), Vec<Awaited>>,
    /// How many wait in both.
    waiting: usize,
}

/// Somebody who waits, and whose outbox its message is in.
type Queued = (Arc<Hub>, Awaited);

/// The number of peers that have a message, as [`Engine::acked`](meshcast_proto::Engine::acked)
/// says.
type Members = Option<usize>;

impl Receipts {
    /// Somebody waits from now on, unless there is an answer already.
    pub(super) fn add(
        &mut self,
        hub: &Arc<Hub>,
        awaited: Awaited,
        acked: impl Fn(&ChannelName, Seq) -> Members,
    ) {
        if self.waiting < Awaited::MOST {
            self.waiting += 1;
            self.sort_in(hub, awaited, &acked);
        } else {
            let limit = Awaited::MOST;
            // The caller may have left.
            let _ = awaited.answer.send(Err(AckError::TooMany { limit }));
        }
    }

    /// Messages have left the outbox of this hub.
    pub(super) fn handle_sent(&mut self, hub: &Hub, acked: impl Fn(&ChannelName, Seq) -> Members) {
        let all = (hub.name().clone(), 0)..=(hub.name().clone(), u64::MAX);
        while let Some(((_, record), waiting)) = self.queued.range_mut(all.clone()).next() {
            if waiting
                .iter()
                .all(|(hub, _)| hub.number_of(*record).is_none())
            {
                break;
            }
            let (record, waiting) = (*record, std::mem::take(waiting));
            self.queued.remove(&(hub.name().clone(), record));
            for (hub, awaited) in waiting {
                self.sort_in(&hub, awaited, &acked);
            }
        }
    }

    /// One more peer has some of these messages.
    pub(super) fn handle_acked(
        &mut self,
        channel: &ChannelName,
        seqs: SeqRange,
        acked: impl Fn(&ChannelName, Seq) -> Members,
    ) {
        let range = (channel.clone(), seqs.first())..=(channel.clone(), seqs.last());
        self.settle(range, acked);
    }

    /// Time has passed: some messages are kept no longer, and some who waited have left.
    pub(super) fn handle_timeout(&mut self, acked: impl Fn(&ChannelName, Seq) -> Members) {
        for (hub, awaited) in std::mem::take(&mut self.queued).into_values().flatten() {
            self.sort_in(&hub, awaited, &acked);
        }
        let ends = [self.sent.first_key_value(), self.sent.last_key_value()];
        if let [Some((first, _)), Some((last, _))] = ends {
            self.settle(first.clone()..=last.clone(), acked);
        }
    }

    /// Puts one of those who wait where it belongs, unless there is an answer.
    fn sort_in(
        &mut self,
        hub: &Arc<Hub>,
        awaited: Awaited,
        acked: &impl Fn(&ChannelName, Seq) -> Members,
    ) {
        let name = hub.name().clone();
        if let Some(seq) = hub.number_of(awaited.record) {
            match answer(awaited, acked(&name, seq)) {
                Some(awaited) => self.sent.entry((name, seq)).or_default().push(awaited),
                None => self.waiting -= 1,
            }
        } else if awaited.answer.is_closed() {
            self.waiting -= 1;
        } else {
            let waiting = self.queued.entry((name, awaited.record)).or_default();
            waiting.push((Arc::clone(hub), awaited));
        }
    }

    /// Answers those whose messages are in this range, as far as there is an answer.
    fn settle(
        &mut self,
        range: RangeInclusive<(ChannelName, Seq)>,
        acked: impl Fn(&ChannelName, Seq) -> Members,
    ) {
        let keys = self.sent.range(range).map(|(key, _)| key.clone());
        for key in keys.collect::<Vec<_>>() {
            let members = acked(&key.0, key.1);
            let Some(waiting) = self.sent.get_mut(&key) else {
                continue;
            };
            let before = waiting.len();
            let undecided = |awaited| answer(awaited, members);
            *waiting = std::mem::take(waiting)
                .into_iter()
                .filter_map(undecided)
                .collect();
            self.waiting -= before - waiting.len();
            if waiting.is_empty() {
                self.sent.remove(&key);
            }
        }
    }
}

/// Answers one of those who wait, unless too few peers have its message so far.
fn answer(awaited: Awaited, members: Members) -> Option<Awaited> {
    let answer = match members {
        None => Err(AckError::Expired),
        Some(members) if members >= awaited.members => Ok(members),
        Some(_) => return (!awaited.answer.is_closed()).then_some(awaited),
    };
    // The caller may have left.
    let _ = awaited.answer.send(answer);
    None
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use meshcast_proto::Format;
    use tokio::sync::oneshot::{self, Receiver};

    use super::*;
    use crate::{
        Limits,
        channel::{
            ChannelOptions, Poster,
            fixture::{self, Source},
        },
    };

    fn awaited(record: u64) -> (Awaited, Receiver<Result<usize, AckError>>) {
        let (answer, answered) = oneshot::channel();
        let awaited = Awaited {
            record,
            members: 1,
            answer,
        };
        (awaited, answered)
    }

    fn range(first: u64, last: u64) -> SeqRange {
        let ends = Seq::new(first).zip(Seq::new(last));
        ends.and_then(|(first, last)| SeqRange::new(first, last))
            .expect("a range")
    }

    #[tokio::test]
    async fn an_acknowledgement_looks_only_at_the_messages_it_is_about() {
        const POSTED: u64 = 100;
        let (hub, _registry) = fixture::hub(Limits::default());
        let object = hub.open_object(ChannelOptions::new());
        for _ in 0..POSTED {
            let posted = hub.post(object, Format::Raw, b"x", Poster::NonBlocking);
            posted.expect("there is room");
        }
        let looked_at = Cell::new(0);
        let ten_have_arrived = |_: &ChannelName, seq: Seq| {
            looked_at.set(looked_at.get() + 1);
            Some(usize::from(seq.get() <= 10))
        };
        let mut receipts = Receipts::default();
        let mut answers = Vec::new();
        for record in 0..Awaited::MOST as u64 {
            let (awaited, answer) = awaited(record);
            receipts.add(&hub, awaited, ten_have_arrived);
            answers.push(answer);
        }
        assert_eq!(
            (receipts.queued.len(), looked_at.take()),
            (Awaited::MOST, 0)
        );

        let (section, _) = hub.take_section();
        let (_, seqs) = Source::new(1).post(section.expect("posted"), false);
        assert_eq!(seqs, range(1, POSTED));
        hub.numbered(seqs);
        receipts.handle_sent(&hub, |_, _| Some(0));
        assert_eq!(receipts.sent.len(), POSTED as usize);

        receipts.handle_acked(hub.name(), range(1, 10), ten_have_arrived);
        assert_eq!(looked_at.take(), 10);
        for answer in answers.drain(..10) {
            assert_eq!(answer.await, Ok(Ok(1)));
        }
        assert_eq!(receipts.waiting, Awaited::MOST - 10);

        // For these nobody waits any more, for those nobody did.
        receipts.handle_acked(hub.name(), range(1, 10), ten_have_arrived);
        let other = ChannelName::new("mars").expect("allowed");
        receipts.handle_acked(&other, range(11, 20), ten_have_arrived);
        assert_eq!(looked_at.take(), 0);

        drop(answers);
        receipts.handle_timeout(|_, _| Some(0));
        let left = (receipts.queued.len(), receipts.sent.len(), receipts.waiting);
        assert_eq!(left, (0, 0, 0));
    }

    #[tokio::test]
    async fn what_is_kept_no_longer_is_found_in_time() {
        let (hub, _registry) = fixture::hub(Limits::default());
        let object = hub.open_object(ChannelOptions::new());
        hub.post(object, Format::Raw, b"x", Poster::NonBlocking)
            .expect("there is room");
        let (_, seqs) = Source::new(1).post(hub.take_section().0.expect("posted"), false);
        hub.numbered(seqs);
        let (awaited, answer) = awaited(0);
        let mut receipts = Receipts::default();
        receipts.add(&hub, awaited, |_, _| Some(0));
        receipts.handle_timeout(|_, _| None);
        assert_eq!(answer.await, Ok(Err(AckError::Expired)));
        assert_eq!(receipts.waiting, 0);
    }
}
