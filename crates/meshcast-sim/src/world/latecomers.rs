//! Objects that come late to a channel, as a driver has them: what was before, then what is
//! delivered meanwhile and since.

use meshcast_proto::{Backfilled, Backlog, ChannelName, Recalled, Sender, Seq, SeqRange};

use super::{
    World,
    host::{from, span},
};
use crate::log::{Digest, Event, Name, Since, Span};

/// An object that has not been told yet what was before it.
#[derive(Debug)]
pub(super) struct Late {
    object: u64,
    /// The place of its channel.
    channel: usize,
    /// What was delivered meanwhile.
    waiting: Vec<(Sender, Item)>,
}

impl Late {
    pub(super) const fn channel(&self) -> usize {
        self.channel
    }
}

/// Which object is handed something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    /// Of which host.
    pub(super) index: usize,
    pub(super) object: u64,
    pub(super) channel: &'a ChannelName,
}

/// What an object is handed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Item {
    Value(SeqRange, Digest),
    Missed(SeqRange),
}

/// The seam between the backfill of an object and what is delivered of a sender.
#[derive(Debug)]
pub(super) struct Seam {
    /// Numbers delivered below were read before, or are not wanted.
    from: Option<Seq>,
    /// Could not be fetched, which could not be said while nobody knew whose it is.
    owed: Option<SeqRange>,
}

impl World<'_> {
    /// Makes one more object on a channel that is open, which wants what was before.
    pub(super) fn look_back(&mut self, index: usize, channel: usize, since: Since) {
        let (opened, logged) = (&self.channels[channel].name, &self.channels[channel].logged);
        let (opened, logged) = (opened.clone(), logged.clone());
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let object = process.next_object;
        process.next_object += 1;
        let name = process.name.clone();
        self.watch_process(index, |_| format!("looks back at {opened:?} {since:?}"));
        let event = Event::Open {
            object,
            channel: logged,
            since,
        };
        self.note(name, event);
        self.tell_expecting(index);
        self.drain(index);
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        process.objects.entry(channel).or_default().push(object);
        let now = process.time(self.now);
        let id = process.engine.handle_backfill(&opened, from(since), now);
        let late = Late {
            object,
            channel,
            waiting: Vec::new(),
        };
        process.late.insert(id, late);
        self.with_engine(index, |_, _, _| {});
    }

    /// Tells the engine whether somebody may be connected in a moment, while anybody looks back.
    /// `true` if it did.
    pub(super) fn follow_expecting(&mut self, index: usize) -> bool {
        let process = self.hosts[index].process.as_ref();
        let looks = process.is_some_and(|process| process.engine.is_backfilling());
        if looks {
            self.tell_expecting(index);
        }
        looks
    }

    fn tell_expecting(&mut self, index: usize) {
        let mut links = self.hosts[index].links.iter();
        let expecting = links.any(|&(link, end)| self.expects(link, end));
        if let Some(process) = &mut self.hosts[index].process {
            let now = process.time(self.now);
            process.engine.handle_expecting(expecting, now);
        }
    }

    /// Lets an object begin that came late.
    pub(super) fn begin_late(&mut self, index: usize, Backfilled { id, logs, .. }: &Backfilled) {
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let Some(late) = process.late.remove(id) else {
            return;
        };
        let Late {
            object,
            channel,
            waiting,
        } = late;
        let (process, name) = (process.name.clone(), self.channels[channel].name.clone());
        let event = Event::LookedBack {
            object,
            channel: self.channels[channel].logged.clone(),
            kept: self.kept_near(index, channel),
        };
        self.note(process, event);
        let place = Place {
            index,
            object,
            channel: &name,
        };
        for past in logs {
            self.give_past(place, past);
        }
        for (sender, item) in waiting {
            self.hand(place, sender, item);
        }
    }

    fn give_past(&mut self, place: Place<'_>, past: &Backlog) {
        let Place {
            index,
            object,
            channel,
        } = place;
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let sender = past.sender;
        let (mut items, mut rest) = (Vec::new(), past.kept);
        if let Some(member) = &past.member {
            items.extend(past.gone.map(Item::Missed));
            items.extend(past.unfetched.map(Item::Missed));
            while let Some(seqs) = rest {
                let recall = process.engine.recall(channel, member, seqs, A_RECALL);
                for part in recall.parts {
                    match part {
                        Recalled::Values(delivery) => {
                            let values = delivery.into_values();
                            items.extend(
                                values.map(|value| {
                                    Item::Value(value.seqs, Digest::of(&value.payload))
                                }),
                            );
                        }
                        Recalled::Missing(missed) | Recalled::TooLarge(missed) => {
                            items.push(Item::Missed(missed))
                        }
                    }
                }
                rest = SeqRange::new(recall.upto.next(), seqs.last());
            }
        }
        let seam = Seam {
            from: past.from,
            owed: past.unfetched.filter(|_| past.member.is_none()),
        };
        for item in items {
            self.note_item(place, sender, item);
        }
        if let Some(process) = &mut self.hosts[index].process {
            process.seams.insert((object, sender), seam);
        }
    }

    /// Hands an object what is delivered of a sender, or keeps it while the object does not know
    /// what was before.
    pub(super) fn hand(&mut self, place: Place<'_>, sender: Sender, item: Item) {
        let Place { index, object, .. } = place;
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        if let Some(late) = process.late.values_mut().find(|late| late.object == object) {
            late.waiting.push((sender, item));
            return;
        }
        let seam = process.seams.remove(&(object, sender));
        if let Some(Seam { from, owed }) = seam {
            let from = from.unwrap_or(Seq::FIRST);
            if let Some(missed) = owed {
                self.note_item(place, sender, Item::Missed(missed));
            }
            let last = item.seqs().last();
            if let Some(item) = item.since(from) {
                self.note_item(place, sender, item);
            }
            if last.next() < from
                && let Some(process) = &mut self.hosts[index].process
            {
                let (from, owed) = (Some(from), None);
                process.seams.insert((object, sender), Seam { from, owed });
            }
            return;
        }
        self.note_item(place, sender, item);
    }

    fn note_item(&mut self, place: Place<'_>, sender: Sender, item: Item) {
        let Place {
            index,
            object,
            channel,
        } = place;
        let Some((process, _, channel_name)) = self.objects(index, channel) else {
            return;
        };
        let Some(of) = self.names.get(&sender).cloned() else {
            self.defects
                .push(format!("{}: something of nobody", self.now));
            return;
        };
        let event = match item {
            Item::Value(seqs, hash) => Event::Delivery {
                object,
                channel: channel_name,
                sender: of,
                seqs: span(seqs),
                hash,
            },
            Item::Missed(missed) => Event::Gap {
                object,
                channel: channel_name,
                sender: of,
                missed: span(missed),
                kept: Some(self.kept(channel, sender, missed)),
            },
        };
        self.note(process, event);
    }

    /// What a process and those it is connected to keep of each sender.
    fn kept_near(&self, index: usize, channel: usize) -> Vec<(Name, Span)> {
        let links = self.hosts[index].links.iter();
        let near = links.filter(|(link, end)| self.is_connected(*link, *end));
        let near = near.map(|(link, end)| self.links[*link].ends[1 - end]);
        let near = near.chain([index]).filter_map(|near| {
            let host = &self.hosts[near];
            host.process
                .as_ref()
                .filter(|process| process.is_open(channel) && !host.paused)
        });
        let name = &self.channels[channel].name;
        let all = SeqRange::new(Seq::FIRST, Seq::MAX);
        let mut kept = Vec::new();
        for process in near {
            for (sender, logged) in &self.names {
                let frames = all.map(|all| process.engine.history().frames(name, *sender, all));
                for frame in frames.into_iter().flatten() {
                    kept.push((logged.clone(), span(frame.seqs)));
                }
            }
        }
        kept.sort();
        kept.dedup();
        let mut runs: Vec<(Name, Span)> = Vec::new();
        for (name, span) in kept {
            match runs.last_mut() {
                Some((last, run)) if *last == name && span.first <= run.last + 1 => {
                    run.last = run.last.max(span.last);
                }
                _ => runs.push((name, span)),
            }
        }
        runs
    }
}

impl Item {
    const fn seqs(&self) -> SeqRange {
        match self {
            Self::Value(seqs, _) | Self::Missed(seqs) => *seqs,
        }
    }

    /// What it holds from this number on.
    fn since(self, first: Seq) -> Option<Self> {
        match self {
            Self::Value(seqs, _) => (seqs.first() >= first).then_some(self),
            Self::Missed(seqs) => {
                SeqRange::new(seqs.first().max(first), seqs.last()).map(Self::Missed)
            }
        }
    }
}

/// How many bytes of the past are taken at a time.
const A_RECALL: usize = 256 * 1024;
