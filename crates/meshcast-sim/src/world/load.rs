//! What hosts post.

use std::time::Duration;

use meshcast_proto::{
    ChannelName, Format, Frame, MAX_FRAGMENT_LEN, Part, RECORD_OVERHEAD, fragments, write_record,
};

use super::{World, host::span, plan::Action};
use crate::{
    at::At,
    log::{Digest, Event, Span},
    rng::Rng,
    scenario::Scenario,
};

#[derive(Debug)]
pub(super) struct Load {
    rng: Rng,
    /// The time between two posts of one host.
    pause: Option<Duration>,
    until: At,
    /// The last value of each host.
    last: Vec<Vec<u8>>,
    /// The object that posts at this moment. Its posts come back at once, for the others.
    pub(super) posting: Option<u64>,
}

impl Load {
    pub(super) fn new(scenario: &Scenario, rng: Rng) -> Self {
        let rate = scenario.load.rate / scenario.nodes as f64;
        Self {
            rng,
            pause: (rate > 0.0).then(|| Duration::from_secs_f64((1.0 / rate).min(1e6))),
            until: At::ZERO + scenario.duration,
            last: vec![Vec::new(); scenario.nodes],
            posting: None,
        }
    }
}

impl World<'_> {
    /// Plans the next post of a host.
    pub(super) fn plan_post(&mut self, index: usize) {
        let Some(pause) = self.load.pause else { return };
        let at = self.now + self.load.rng.about(pause);
        if at < self.load.until {
            self.plan(at, Action::Post(index));
        }
    }

    /// A host posts something, if it does anything.
    pub(super) fn post_next(&mut self, index: usize) {
        let many = self.load.rng.chance(self.scenario.load.burst);
        let count = if many { self.load.rng.within(2..40) } else { 1 };
        let channel = self.load.rng.index(self.channels.len());
        let values: Vec<_> = (0..count).map(|_| self.value(index)).collect();
        self.post(index, channel, &values);
    }

    /// A host posts values of one size, as many as go into a few frames, and the rest a moment
    /// later.
    pub(super) fn burst(&mut self, index: usize, start: u32, values: u64, size: usize) {
        if self.hosts[index].start != start {
            return;
        }
        let now = values.min(BURST_STEP);
        let channel = self.load.rng.index(self.channels.len());
        let values_now: Vec<_> = (0..now).map(|_| self.load.rng.bytes(size)).collect();
        self.post(index, channel, &values_now);
        let values = values - now;
        if values > 0 {
            self.plan_in(
                BURST_PAUSE,
                Action::Burst {
                    host: index,
                    start,
                    values,
                    size,
                },
            );
        }
    }

    fn value(&mut self, index: usize) -> Vec<u8> {
        let load = &self.scenario.load;
        let rng = &mut self.load.rng;
        if !rng.chance(load.repeat) {
            let mut pick = rng.below(load.sizes.iter().map(|size| size.weight).sum());
            let size = load.sizes.iter().find(|size| {
                let here = pick < size.weight;
                pick = pick.saturating_sub(size.weight);
                here
            });
            let len = size.map_or(0, |size| rng.within(size.min as u64..size.max as u64 + 1));
            self.load.last[index] = rng.bytes(len as usize);
        }
        self.load.last[index].clone()
    }

    /// Posts values on a channel, as a driver would: as many in a frame as go into it.
    fn post(&mut self, index: usize, channel: usize, values: &[Vec<u8>]) {
        let host = &self.hosts[index];
        let Some(process) = host.process.as_ref().filter(|_| !host.paused) else {
            return;
        };
        let objects = process.objects.get(&channel).map_or(&[][..], Vec::as_slice);
        if objects.is_empty() {
            return;
        }
        let object = objects[self.load.rng.index(objects.len())];
        let mut frame = Section::of(object);
        for value in values {
            let whole = value.len() <= MAX_FRAGMENT_LEN;
            if !frame.has_room(value.len()) || !whole {
                self.push(
                    index,
                    channel,
                    std::mem::replace(&mut frame, Section::of(object)),
                );
            }
            if whole {
                frame.push(Part::Whole, value);
                frame.values.push((1, Digest::of(value)));
                continue;
            }
            let parts: Vec<_> = fragments(value, MAX_FRAGMENT_LEN).collect();
            let count = parts.len() as u64;
            for (part, bytes) in parts {
                let mut section = Section::of(object);
                section.push(part, bytes);
                if part == Part::First {
                    section.values.push((count, Digest::of(value)));
                }
                self.push(index, channel, section);
            }
        }
        self.push(index, channel, frame);
    }

    /// Posts one frame behind those that wait.
    fn push(&mut self, index: usize, channel: usize, section: Section) {
        if section.records.is_empty() {
            return;
        }
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let outbox = process.outbox.entry(channel).or_default();
        outbox.push_back(section);
        // If others wait, somebody waits for room already.
        if outbox.len() == 1 {
            self.post_sections(index, channel);
        }
    }

    /// There is room on a channel again.
    pub(super) fn post_held_up(&mut self, index: usize, channel: &ChannelName) {
        let mut channels = self.channels.iter();
        if let Some(channel) = channels.position(|known| known.name == *channel) {
            self.post_sections(index, channel);
        }
    }

    /// Posts what waits on a channel as long as there is room.
    fn post_sections(&mut self, index: usize, channel: usize) {
        while let Some(process) = &mut self.hosts[index].process
            && let Some(outbox) = process
                .outbox
                .get_mut(&channel)
                .filter(|outbox| !outbox.is_empty())
            && process.engine.may_post(&self.channels[channel].name)
            && let Some(section) = outbox.pop_front()
        {
            self.load.posting = Some(section.object);
            self.post_section(index, channel, section);
            self.load.posting = None;
        }
    }

    fn post_section(&mut self, index: usize, channel: usize, section: Section) {
        let Section {
            object,
            records,
            values,
        } = section;
        let wall = self.wall(index);
        let Some(process) = &mut self.hosts[index].process else {
            return;
        };
        let (now, name) = (process.time(self.now), process.name.clone());
        let posted = process
            .engine
            .handle_post(&self.channels[channel].name, &records, now, wall);
        let outputs: Vec<_> = std::iter::from_fn(|| process.engine.poll_output()).collect();
        match posted {
            Ok(seqs) => {
                let mut first = span(seqs).first;
                for (count, hash) in values {
                    let seqs = Span::new(first, first + count - 1);
                    first += count;
                    let channel = self.channels[channel].logged.clone();
                    self.note(
                        name.clone(),
                        Event::Post {
                            object,
                            channel,
                            seqs,
                            hash,
                        },
                    );
                }
            }
            Err(error) => self
                .defects
                .push(format!("{}: {name} cannot post: {error}", self.now)),
        }
        for output in outputs {
            self.put_out(index, output);
        }
        self.plan_wake(index);
    }
}

/// What goes into one frame.
#[derive(Debug)]
pub(super) struct Section {
    /// Who posts it.
    object: u64,
    records: Vec<u8>,
    /// The count of numbers of each value that begins here, and what it is.
    values: Vec<(u64, Digest)>,
}

impl Section {
    const fn of(object: u64) -> Self {
        Self {
            object,
            records: Vec::new(),
            values: Vec::new(),
        }
    }

    fn has_room(&self, len: usize) -> bool {
        self.records.len() + RECORD_OVERHEAD + len <= Frame::MAX_RECORDS_LEN
    }

    fn push(&mut self, part: Part, bytes: &[u8]) {
        write_record(&mut self.records, Format::Raw, part, bytes);
    }
}

/// How many values of a burst are posted at once.
const BURST_STEP: u64 = 100;
/// And how long it is until the next.
const BURST_PAUSE: Duration = Duration::from_millis(5);
