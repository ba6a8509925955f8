//! Figures of a run: what was due and what came of it, and how long it took.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use meshcast_sim::{At, Entry, Event, Name, Span};

/// Everything that was posted, and what every channel object got of it.
#[derive(Debug)]
pub struct Account<'a> {
    /// When each sender posted its first, its second …
    posts: BTreeMap<&'a Name, Vec<At>>,
    objects: Vec<Object<'a>>,
    /// Who was killed.
    killed: BTreeSet<&'a Name>,
}

#[derive(Debug)]
struct Object<'a> {
    process: &'a Name,
    number: u64,
    opened: At,
    /// Until when it took in what came: until its process was killed, or [`STOPPING`] before it was
    /// closed; [`At::NEVER`] if it was there at the end.
    until: At,
    heard: BTreeMap<&'a Name, Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    /// When each number came, by its place.
    at: Vec<Option<At>>,
    gaps: Vec<Span>,
}

/// Deliveries that were due, and what came of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Balance {
    /// The number of deliveries due: of every post, to every object that was open then and was not
    /// closed or killed within [`GRACE`]. Posts of a process that was killed count if somebody who
    /// is there at the end got them.
    pub due: u64,
    /// What of it was delivered.
    pub delivered: u64,
    /// What of it was told to be missing.
    pub told: u64,
    /// Deliveries that neither came nor were told as missing: by whom, from whom, the first number,
    /// and how many.
    pub lost: Vec<(Name, Name, u64, u64)>,
}

/// One value that came to one object.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Who posted it.
    pub sender: &'a Name,
    /// Who got it.
    pub receiver: &'a Name,
    /// When it was posted.
    pub posted: At,
    /// When it came.
    pub came: At,
}

impl Delivery<'_> {
    /// How long it took.
    pub fn took(&self) -> Duration {
        self.came.since(self.posted)
    }
}

impl<'a> Account<'a> {
    /// Of a log in the order of time, of one channel, whose values take one number each.
    pub fn of(log: &'a [Entry]) -> Self {
        let mut posts = BTreeMap::<_, Vec<At>>::new();
        let (mut objects, mut closed) = (Vec::<Object<'_>>::new(), BTreeSet::new());
        let mut killed = BTreeSet::new();
        // The index of the object that a process has open.
        let mut open = BTreeMap::new();
        for Entry { t, process, event } in log {
            match event {
                Event::Open { object, .. } => {
                    open.insert(process, objects.len());
                    objects.push(Object {
                        process,
                        number: *object,
                        opened: *t,
                        until: At::NEVER,
                        heard: BTreeMap::new(),
                    });
                }
                Event::Close { .. } => {
                    if let Some(object) = open.remove(process) {
                        objects[object].until = *t - STOPPING;
                    }
                    closed.insert(process);
                }
                Event::End => match open.remove(process) {
                    Some(object) => {
                        objects[object].until = *t;
                        killed.insert(process);
                    }
                    None if closed.contains(process) => {}
                    None => {
                        killed.insert(process);
                    }
                },
                Event::Post { .. } => posts.entry(process).or_default().push(*t),
                Event::Delivery {
                    object,
                    sender,
                    seqs,
                    ..
                } => {
                    let open = open.get(process).map(|index| &mut objects[*index]);
                    if let Some(open) = open.filter(|open| open.number == *object) {
                        open.heard.entry(sender).or_default().note(*seqs, *t);
                    }
                }
                Event::Gap {
                    object,
                    sender,
                    missed,
                    ..
                } => {
                    let open = open.get(process).map(|index| &mut objects[*index]);
                    if let Some(open) = open.filter(|open| open.number == *object) {
                        open.heard.entry(sender).or_default().gaps.push(*missed);
                    }
                }
                _ => {}
            }
        }
        Self {
            posts,
            objects,
            killed,
        }
    }

    /// Deliveries that were due, and what came of them.
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for object in &self.objects {
            for (sender, posts) in &self.posts {
                if *sender == object.process {
                    continue;
                }
                let nothing = Heard::default();
                let heard = object.heard.get(sender).unwrap_or(&nothing);
                let is_killed = self.killed.contains(sender);
                let from = posts.partition_point(|posted| *posted < object.opened);
                let to = posts.partition_point(|posted| *posted + GRACE <= object.until);
                let mut lost = None;
                for index in from..to {
                    if is_killed && !self.survives(sender, index) {
                        continue;
                    }
                    balance.due += 1;
                    let number = index as u64 + 1;
                    if heard.at.get(index).is_some_and(Option::is_some) {
                        balance.delivered += 1;
                    } else if heard
                        .gaps
                        .iter()
                        .any(|gap| gap.first <= number && number <= gap.last)
                    {
                        balance.told += 1;
                    } else {
                        lost.get_or_insert((number, 0)).1 += 1;
                    }
                }
                if let Some((first, count)) = lost {
                    balance
                        .lost
                        .push((object.process.clone(), (*sender).clone(), first, count));
                }
            }
        }
        balance
    }

    /// Everything that was delivered.
    pub fn deliveries(&self) -> impl Iterator<Item = Delivery<'_>> {
        self.objects.iter().flat_map(|object| {
            object.heard.iter().flat_map(|(sender, heard)| {
                let posts = self.posts.get(sender).map_or(&[][..], Vec::as_slice);
                posts.iter().zip(&heard.at).filter_map(|(posted, came)| {
                    Some(Delivery {
                        sender,
                        receiver: object.process,
                        posted: *posted,
                        came: (*came)?,
                    })
                })
            })
        })
    }

    /// What was told to be missing: by whom, of whom.
    pub fn gaps(&self) -> impl Iterator<Item = (&Name, &Name, Span)> {
        self.objects.iter().flat_map(|object| {
            object.heard.iter().flat_map(|(sender, heard)| {
                let gaps = heard.gaps.iter();
                gaps.map(|gap| (object.process, *sender, *gap))
            })
        })
    }

    /// Most gaps that one object was told of one sender.
    pub fn gaps_of_a_stream(&self) -> usize {
        let streams = self.objects.iter().flat_map(|object| object.heard.values());
        streams.map(|heard| heard.gaps.len()).max().unwrap_or(0)
    }

    /// When a process had heard each of these senders say something new since it opened its
    /// channel; `None` if it never had.
    pub fn in_touch(&self, process: &Name, senders: &BTreeSet<Name>) -> Option<At> {
        let object = self
            .objects
            .iter()
            .find(|object| object.process == process)?;
        let first = |sender| {
            let posts = self.posts.get(sender)?;
            let heard = object.heard.get(sender)?;
            let from = posts.partition_point(|posted| *posted < object.opened);
            heard.at.get(from).copied().flatten()
        };
        let others = senders.iter().filter(|sender| *sender != process);
        others
            .map(first)
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .max()
    }

    /// Whether somebody who is there at the end got it.
    fn survives(&self, sender: &Name, index: usize) -> bool {
        let mut there = self
            .objects
            .iter()
            .filter(|object| object.until == At::NEVER);
        there.any(|object| {
            let heard = object.heard.get(sender);
            heard.is_some_and(|heard| heard.at.get(index).is_some_and(Option::is_some))
        })
    }
}

impl Balance {
    /// How many deliveries were lost.
    pub fn lost(&self) -> u64 {
        self.lost.iter().map(|(.., count)| count).sum()
    }
}

impl Heard {
    fn note(&mut self, seqs: Span, t: At) {
        let index = usize::try_from(seqs.first)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        // A number that was never given is for the checker to find.
        if index < MOST {
            if self.at.len() <= index {
                self.at.resize(index + 1, None);
            }
            self.at[index].get_or_insert(t);
        }
    }
}

/// Durations in ascending order.
#[derive(Debug, Clone, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a part of them (0 to 1) does not exceed; zero if there are none.
    pub fn at(&self, part: f64) -> Duration {
        let rank = (self.0.len() as f64 * part).ceil() as usize;
        self.0
            .get(rank.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        let mut times: Vec<Duration> = times.into_iter().collect();
        times.sort_unstable();
        Self(times)
    }
}

/// Posts so shortly before an object is closed need not come to it.
pub const GRACE: Duration = Duration::from_secs(5);

/// The most time from when a process is told to stop, and nothing is delivered to it any more,
/// until it notes that its object is closed: 5 s of handing over and 0.8 s of goodbyes.
const STOPPING: Duration = Duration::from_secs(6);

/// More numbers than any run gives, so that a wrong one takes no memory.
const MOST: usize = 100_000_000;

#[cfg(test)]
mod tests;
