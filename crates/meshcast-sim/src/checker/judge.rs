//! Goes through a log once, object by object.

use std::collections::BTreeMap;

use super::{
    Rules,
    agreement::{self, Log, Witnesses},
    books::{Books, Post, at_or_above},
    stream::{Stream, Told, Whose},
    violation::{ObjectRef, Verdict, Violation},
};
use crate::{
    at::At,
    log::{Digest, Entry, Event, Name, Since, Span},
};

/// A channel object and what it got.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) name: ObjectRef,
    pub(super) opened: At,
    pub(super) since: Since,
    pub(super) closed: bool,
    /// When it was told what was before it, and what those kept then that its process was connected
    /// to.
    pub(super) backfilled: Option<(At, Vec<(Name, Span)>)>,
    pub(super) streams: BTreeMap<Name, Heard>,
}

/// What an object got of one sender.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) stream: Stream,
    /// Its first item.
    pub(super) first: (At, Span),
    /// The delivery that came latest after it was due.
    pub(super) latest: Option<Violation>,
}

pub(super) fn judge(rules: &Rules, log: &[Entry]) -> Verdict {
    let mut judge = Judge {
        rules,
        books: Books::of(log),
        objects: BTreeMap::new(),
        witnesses: Witnesses::default(),
        verdict: Verdict::default(),
    };
    log.iter().for_each(|entry| judge.hear(entry));
    judge.finish()
}

struct Judge<'a> {
    rules: &'a Rules,
    books: Books,
    objects: BTreeMap<(Name, u64), Object>,
    witnesses: Witnesses,
    verdict: Verdict,
}

impl Judge<'_> {
    fn hear(&mut self, Entry { t, process, event }: &Entry) {
        match event {
            Event::Start | Event::End | Event::Calm { .. } | Event::Finish => {}
            Event::Open {
                object,
                channel,
                since,
            } => {
                let name = ObjectRef {
                    process: process.clone(),
                    object: *object,
                    channel: channel.clone(),
                };
                let opened = Object {
                    name,
                    opened: *t,
                    since: *since,
                    closed: false,
                    backfilled: None,
                    streams: BTreeMap::new(),
                };
                self.objects.insert((process.clone(), *object), opened);
            }
            Event::LookedBack { object, kept, .. } => {
                if let Some(object) = self.objects.get_mut(&(process.clone(), *object)) {
                    object.backfilled = Some((*t, kept.clone()));
                }
            }
            Event::Close { object, .. } => {
                if let Some(object) = self.objects.get_mut(&(process.clone(), *object)) {
                    object.closed = true;
                }
            }
            Event::Post { .. } => self.verdict.posts += 1,
            Event::Delivery {
                object,
                channel,
                sender,
                seqs,
                hash,
            } => {
                let place = Place {
                    t: *t,
                    process,
                    object: *object,
                    channel,
                };
                self.deliver(place, sender, *seqs, *hash);
            }
            Event::Gap {
                object,
                channel,
                sender,
                missed,
                kept,
            } => {
                let place = Place {
                    t: *t,
                    process,
                    object: *object,
                    channel,
                };
                let told = Told {
                    t: *t,
                    missed: *missed,
                    kept: kept.clone(),
                };
                self.miss(place, sender, told);
            }
            Event::Sample { held, history } => self.sample(*t, process, *held, *history),
        }
    }

    fn deliver(&mut self, place: Place<'_>, sender: &Name, seqs: Span, hash: Digest) {
        self.verdict.deliveries += 1;
        let t = place.t;
        let found = &mut self.verdict.violations;
        let posts = self.books.posts(place.channel, sender);
        let Some(object) = place.find(&mut self.objects) else {
            found.push(Violation::NotOpen {
                t,
                object: place.name(),
                sender: sender.clone(),
                seqs,
            });
            return;
        };
        let name = object.name.clone();
        let index = at_or_above(posts, seqs.first);
        let post = posts
            .get(index)
            .filter(|post| post.seqs.common(seqs).is_some());
        if let Some(wrong) = post.map_or_else(
            || {
                let (object, sender) = (name.clone(), sender.clone());
                Some(Violation::NeverPosted {
                    t,
                    object,
                    sender,
                    seqs,
                })
            },
            |post| {
                let delivered = Delivered {
                    t,
                    object: &name,
                    sender,
                    seqs,
                    hash,
                };
                delivered.unlike(post)
            },
        ) {
            found.push(wrong);
        }
        let Some(post) = post else { return };
        let heard = object
            .streams
            .entry(sender.clone())
            .or_insert_with(|| Heard::new(t, seqs));
        let whose = Whose {
            object: &object.name,
            sender,
            posts,
        };
        if !heard.stream.deliver(whose, t, seqs, found) {
            return;
        }
        let log = Log {
            channel: place.channel,
            sender,
            posts,
        };
        self.witnesses
            .add(&self.books, log, index, (place.process, t));
        if post.t >= object.opened {
            self.verdict.latencies.push(t.since(post.t));
        }
        let calm = self.books.calm();
        if post.t < calm && object.opened < calm {
            self.verdict.catch_up = self.verdict.catch_up.max(t.since(calm));
        }
        let due = self.books.due_from(post.t).max(object.opened);
        if let Some(bound) = self.rules.bound
            && t.since(due) > bound
            && self.books.group(place.process).is_some()
        {
            heard.late(Violation::Late {
                t,
                object: name,
                sender: sender.clone(),
                seqs,
                took: t.since(due),
                bound,
            });
        }
    }

    fn miss(&mut self, place: Place<'_>, sender: &Name, told: Told) {
        self.verdict.gaps += 1;
        self.verdict.missed += told.missed.len();
        let found = &mut self.verdict.violations;
        let Some(object) = place.find(&mut self.objects) else {
            found.push(Violation::NotOpen {
                t: told.t,
                object: place.name(),
                sender: sender.clone(),
                seqs: told.missed,
            });
            return;
        };
        let heard = object
            .streams
            .entry(sender.clone())
            .or_insert_with(|| Heard::new(told.t, told.missed));
        let whose = Whose {
            object: &object.name,
            sender,
            posts: self.books.posts(place.channel, sender),
        };
        heard.stream.miss(whose, told, found);
        let gaps = heard.stream.gaps.len() as u64;
        self.verdict.gaps_of_a_stream = self.verdict.gaps_of_a_stream.max(gaps);
    }

    fn sample(&mut self, t: At, process: &Name, held: u64, history: u64) {
        let over = [
            ("what waits", held, self.rules.held_cap),
            ("the history", history, self.rules.history_cap),
        ];
        for (what, bytes, cap) in over {
            if let Some(cap) = cap.filter(|cap| bytes > *cap) {
                self.verdict.violations.push(Violation::OverCap {
                    t,
                    process: process.clone(),
                    what,
                    bytes,
                    cap,
                });
            }
        }
    }

    fn finish(mut self) -> Verdict {
        let found = &mut self.verdict.violations;
        for object in self.objects.values() {
            for (sender, heard) in &object.streams {
                let posts = self.books.posts(&object.name.channel, sender);
                let whose = Whose {
                    object: &object.name,
                    sender,
                    posts,
                };
                heard.stream.finish(whose, found);
                found.extend(heard.latest.clone());
            }
            agreement::check(self.rules, &self.books, &self.witnesses, object, found);
        }
        found.sort_by_key(Violation::t);
        self.verdict.latencies.sort_unstable();
        self.verdict
    }
}

/// Where an item came.
#[derive(Clone, Copy)]
struct Place<'a> {
    t: At,
    process: &'a Name,
    object: u64,
    channel: &'a Name,
}

impl Place<'_> {
    /// The object, if it is open and of that channel.
    fn find<'o>(&self, objects: &'o mut BTreeMap<(Name, u64), Object>) -> Option<&'o mut Object> {
        objects
            .get_mut(&(self.process.clone(), self.object))
            .filter(|object| !object.closed && object.name.channel == *self.channel)
    }

    fn name(&self) -> ObjectRef {
        ObjectRef {
            process: self.process.clone(),
            object: self.object,
            channel: self.channel.clone(),
        }
    }
}

impl Heard {
    const fn new(t: At, seqs: Span) -> Self {
        Self {
            stream: Stream::new(seqs.first),
            first: (t, seqs),
            latest: None,
        }
    }

    /// Keeps the worst.
    fn late(&mut self, late: Violation) {
        let took = |violation: &Violation| match violation {
            Violation::Late { took, .. } => Some(*took),
            _ => None,
        };
        if self.latest.as_ref().and_then(took) < took(&late) {
            self.latest = Some(late);
        }
    }
}

/// A value that an object got.
struct Delivered<'a> {
    t: At,
    object: &'a ObjectRef,
    sender: &'a Name,
    seqs: Span,
    hash: Digest,
}

impl Delivered<'_> {
    /// Its faults compared with what was posted.
    fn unlike(&self, post: &Post) -> Option<Violation> {
        let (t, seqs, hash) = (self.t, self.seqs, self.hash);
        let (object, sender) = (self.object.clone(), self.sender.clone());
        if object.process == sender && object.object == post.object {
            Some(Violation::Echo { t, object, seqs })
        } else if post.seqs != seqs {
            let posted = post.seqs;
            Some(Violation::Torn {
                t,
                object,
                sender,
                seqs,
                posted,
            })
        } else if post.hash != hash {
            let (posted, found) = (post.hash, hash);
            Some(Violation::Altered {
                t,
                object,
                sender,
                seqs,
                posted,
                found,
            })
        } else if t < post.t {
            let posted = post.t;
            Some(Violation::BeforePosted {
                t,
                object,
                sender,
                seqs,
                posted,
            })
        } else {
            None
        }
    }
}
