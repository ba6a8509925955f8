//! What is done to the world.

use std::collections::BTreeSet;

use super::{World, host::Input, plan::Action};
use crate::{
    log::{Event, Name},
    scenario::Step,
};

impl World<'_> {
    /// Does one step of the script. A fault that makes no sense at the moment is left out: chance
    /// does not look.
    pub(super) fn step(&mut self, step: Step) {
        if let Step::Close(node, _)
        | Step::Open(node, ..)
        | Step::LookBack(node, ..)
        | Step::Burst { node, .. } = step
            && self.hosts[node].paused
        {
            self.hosts[node].deferred.push(step);
            return;
        }
        match step {
            Step::Block(pairs) => pairs
                .into_iter()
                .for_each(|(from, to)| self.block(from, to, true)),
            Step::Unblock(pairs) => pairs
                .into_iter()
                .for_each(|(from, to)| self.block(from, to, false)),
            Step::Start(node, since) => self.start(node, since),
            Step::Crash { node, silent } => self.crash(node, silent),
            Step::Pause(node) => self.pause(node),
            Step::Resume(node) => self.resume(node),
            Step::Mute(nodes, loss) => nodes
                .into_iter()
                .for_each(|node| self.hosts[node].mute.push(loss)),
            Step::Unmute(nodes, loss) => {
                for node in nodes {
                    let mute = &mut self.hosts[node].mute;
                    if let Some(index) = mute.iter().position(|other| *other == loss) {
                        mute.remove(index);
                    }
                }
            }
            Step::Slow(nodes, behind) => nodes
                .into_iter()
                .for_each(|node| self.readers(node, behind)),
            Step::Clock(nodes, by) => {
                for node in nodes {
                    self.hosts[node].skew_ms = by.saturating_mul(1000);
                }
            }
            Step::Close(node, channel) => {
                if let Some(channel) = self.channel(&channel) {
                    self.close(node, channel);
                }
            }
            Step::Open(node, channel, since) => {
                let Some(channel) = self.channel(&channel) else {
                    return;
                };
                let open = self.hosts[node].process.as_ref();
                if open.is_some_and(|process| !process.is_open(channel)) {
                    (0..self.scenario.load.objects).for_each(|_| self.open(node, channel, since));
                }
            }
            Step::LookBack(node, channel, since) => {
                let Some(channel) = self.channel(&channel) else {
                    return;
                };
                let open = self.hosts[node].process.as_ref();
                if open.is_some_and(|process| process.is_open(channel)) {
                    self.look_back(node, channel, since);
                }
            }
            Step::Burst { node, values, size } => {
                let start = self.hosts[node].start;
                self.burst(node, start, values, size);
            }
        }
    }

    /// Everybody can reach everybody again who is linked, if over others.
    pub(super) fn calm(&mut self) {
        // Others of this moment first: the last fault ends now.
        if self.plan.next_at() == Some(self.now) {
            self.plan(self.now, Action::Calm);
            return;
        }
        let mut left: BTreeSet<usize> = (0..self.hosts.len())
            .filter(|index| self.hosts[*index].process.is_some())
            .collect();
        let mut groups = Vec::new();
        while let Some(first) = left.pop_first() {
            let (mut group, mut next) = (vec![first], 0);
            while let Some(&index) = group.get(next) {
                next += 1;
                for (link, end) in &self.hosts[index].links {
                    let other = self.links[*link].ends[1 - end];
                    if left.remove(&other) {
                        group.push(other);
                    }
                }
            }
            let name = |index: &usize| {
                self.hosts[*index]
                    .process
                    .as_ref()
                    .map(|process| process.name.clone())
            };
            groups.push(group.iter().filter_map(name).collect::<Vec<Name>>());
        }
        self.note("world", Event::Calm { groups });
    }

    fn crash(&mut self, index: usize, silent: bool) {
        self.retire(index);
        let host = &mut self.hosts[index];
        let Some(process) = host.process.take() else {
            return;
        };
        host.paused = false;
        host.backlog.clear();
        host.deferred.clear();
        self.note(process.name, Event::End);
        for place in 0..self.hosts[index].links.len() {
            let (link, end) = self.hosts[index].links[place];
            self.cut(link, Some((end, silent)));
        }
    }

    fn pause(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if host.process.is_none() || host.paused {
            return;
        }
        host.paused = true;
        for place in 0..self.hosts[index].links.len() {
            let (link, _) = self.hosts[index].links[place];
            self.watch(link);
        }
    }

    fn resume(&mut self, index: usize) {
        let host = &mut self.hosts[index];
        if host.process.is_none() || !host.paused {
            return;
        }
        host.paused = false;
        let backlog: Vec<Input> = std::mem::take(&mut host.backlog);
        // A driver that looks at its clock first, or at its links.
        let clock_first = self.rng.chance(0.5);
        if clock_first {
            self.time_out(index);
        }
        for input in backlog {
            self.take(index, input);
        }
        if !clock_first {
            self.time_out(index);
        }
        for step in std::mem::take(&mut self.hosts[index].deferred) {
            self.step(step);
        }
        for place in 0..self.hosts[index].links.len() {
            let (link, _) = self.hosts[index].links[place];
            self.go_on(link);
            self.plan_dial(link);
        }
    }

    fn channel(&self, name: &str) -> Option<usize> {
        self.channels
            .iter()
            .position(|channel| channel.logged.as_str() == name)
    }
}
