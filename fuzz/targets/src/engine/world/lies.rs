//! What liars make up, as a script says.

use std::{collections::BTreeSet, mem, time::Duration};

use meshcast_proto::{
    Answer, ChannelName, Draft, Format, Frame, Holding, Holdings, MAX_FRAGMENT_LEN, Part, Sender,
    Seq, SeqRange, SyncMessage, WallTime,
};

use super::{ANSWERS, CHANNELS, WALL};
use crate::{
    engine::script::Step,
    members::{channel, peer},
};

/// A frame that the liar signed, whatever it says.
pub(super) fn signed(liar: usize, step: &mut Step<'_>) -> Option<Frame> {
    let name = channel(step.below(CHANNELS + 1));
    let first = Seq::new(step.number())?;
    let since_first = step.duration();
    let wall = match step.byte() {
        0..=250 => WALL,
        251..=252 => WallTime::MIN,
        253 => WallTime::MAX,
        _ => WALL + Duration::from_secs(3600),
    };
    let mut draft = Draft::new(&name);
    if step.below(6) == 0 {
        let part = [Part::First, Part::Middle, Part::Last][step.below(3)];
        draft.push(Format::Raw, part, &[7; MAX_FRAGMENT_LEN]);
    } else {
        for _ in 0..=step.amount(256) {
            let part = if step.below(16) == 15 {
                Part::Last
            } else {
                Part::Whole
            };
            draft.push(Format::Value, part, b"lie");
        }
    }
    Frame::build(&peer(liar).identity, &name, first, wall, since_first, draft).ok()
}

/// A channel that is open here, or an invented one.
pub(super) fn named(step: &mut Step<'_>, n: usize) -> ChannelName {
    channel(if step.below(4) == 0 {
        step.below(CHANNELS)
    } else {
        n
    })
}

/// A member, or somebody invented.
pub(super) fn sender(step: &mut Step<'_>) -> Sender {
    match step.byte() {
        n @ 0..=127 => peer(usize::from(n)).sender(),
        n => Sender::new([n; 32]),
    }
}

pub(super) fn range(step: &mut Step<'_>) -> SeqRange {
    let numbers =
        [step.number(), step.number()].map(|number| Seq::new(number).unwrap_or(Seq::FIRST));
    let [first, last] = numbers;
    SeqRange::new(first.min(last), first.max(last)).unwrap_or_else(|| SeqRange::single(first))
}

/// What somebody claims to keep.
pub(super) fn holdings(step: &mut Step<'_>) -> SyncMessage {
    let mut told = Vec::new();
    let mut channels = [false; CHANNELS + 1];
    for _ in 0..=step.amount(CHANNELS) {
        let n = step.below(CHANNELS + 1);
        if mem::replace(&mut channels[n], true) {
            continue;
        }
        let logs = step.amount(SyncMessage::MAX_LOGS / 4);
        let answer = (step.byte() < 224).then(|| Answer {
            opening: if step.byte() < 224 {
                ANSWERS
            } else {
                step.number()
            },
            held: step.duration(),
            more: step.byte() % 8 == 1,
        });
        let mut seen = BTreeSet::new();
        let logs = (0..logs).map(|n| {
            let seqs = range(step);
            let invented = u32::try_from(n).unwrap_or(0).to_le_bytes();
            let sender = match n {
                0..4 => sender(step),
                _ => Sender::new(std::array::from_fn(|i| invented[i % 4] ^ 0x55)),
            };
            Holding {
                sender,
                oldest: seqs.first(),
                next: seqs.last(),
                due: Seq::new(step.number() - 1),
                begin: Seq::new(step.number())
                    .unwrap_or(Seq::FIRST)
                    .min(seqs.last()),
                hops: step.byte() / 64,
                lowest: Seq::new(step.number() - 1),
            }
        });
        told.push(Holdings {
            channel: channel(n),
            answer,
            logs: logs.filter(|log| seen.insert(log.sender)).collect(),
        });
    }
    SyncMessage::Have(told)
}
