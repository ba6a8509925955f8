//! How logs begin, get further and end.

use super::*;
use crate::log::SETTLE;

impl Logs {
    pub(super) fn take_in(
        &mut self,
        key: &LogKey,
        heard: Heard,
        now: Time,
        out: &mut Effects,
    ) -> Insert {
        let Heard {
            frame,
            member,
            posted,
            since,
            may_pass,
        } = heard;
        if !self.logs.contains_key(key) {
            if !self.charge_log(subject(&member)) {
                return Insert::NoRoom;
            }
            let log = match self.tombstones.take(key) {
                Some(next) => Log::resumed(next, now),
                None => Log::new(now + SETTLE),
            };
            self.follow(key, subject(&member), log, now, out);
        }
        let Some(entry) = self.logs.get_mut(key) else {
            return Insert::NoRoom;
        };
        self.lru.remove(entry.subject, entry.heard, key);
        entry.heard = now;
        self.lru.add(entry.subject, now, key);
        let born = entry.log.origin.hear(&frame, posted);
        let is_past = may_pass
            && since.is_some_and(|since| entry.log.origin.is_before(&frame, posted, since));
        // All of it is due, unless it may be one whose place was forgotten. The time the frame took
        // to come makes it seem younger: what was posted within that before the opening is heard
        // too, or told to be missing.
        if since.is_some_and(|since| since <= born)
            && self.tombstones.forgot.is_none_or(|forgot| forgot < born)
        {
            entry.log.begin(Seq::FIRST);
        } else if is_past {
            entry.log.pass(frame.seqs().last(), posted.teller);
        }
        let (held, payer) = (entry.log.reorder.held_bytes(), Payer::Member(entry.subject));
        let limits = LogLimits {
            // What is ahead of a hole and finds no room is fetched when it is its turn.
            max_held_bytes: self
                .budget
                .room_upto(self.limits.log.max_held_bytes.saturating_sub(held), payer)
                + held,
            ..self.limits.log
        };
        entry.log.insert(frame, &member, is_past, &limits, now)
    }

    /// Charges a member with one more log; `false` if it may have no more. Follow with
    /// [`Self::follow`].
    pub(super) fn charge_log(&mut self, subject: Subject) -> bool {
        let has_room = self.budget.try_charge(Payer::Member(subject), LOG_BYTES);
        self.refused.logs += u64::from(!has_room);
        has_room
    }

    /// Begins a log that was [charged](Self::charge_log).
    pub(super) fn follow(
        &mut self,
        key: &LogKey,
        subject: Subject,
        log: Log,
        now: Time,
        out: &mut Effects,
    ) {
        if let Some(other) = self.lru.first_to_go(&subject).cloned() {
            self.forget(&other, now, out);
        }
        let log = Box::new(log);
        let entry = Entry {
            log,
            subject,
            heard: now,
            deadline: None,
            queued: false,
            held: 0,
            reported: None,
        };
        self.lru.add(subject, now, key);
        self.logs.insert(key.clone(), entry);
    }

    /// Takes from a log what is due, and writes down how it stands then.
    pub(super) fn advance(&mut self, key: &LogKey, now: Time, out: &mut Effects) {
        let Some(entry) = self.logs.get_mut(key) else {
            return;
        };
        let (channel, sender) = key;
        let around = Surroundings {
            peers: &self.peers,
            channel,
            sender: *sender,
            limits: self.limits.fetch,
        };
        let before = entry.log.reorder.next();
        let mut assembled = Vec::new();
        let want = entry.log.advance(
            &self.limits.log,
            &around,
            &mut self.jitter,
            now,
            &mut assembled,
        );
        let after = entry.log.reorder.next();
        if after != before {
            if let Some(next) = entry.log.next() {
                entry.log.checkpoints.reached(next, now);
            }
            entry.log.update_route(*sender, &self.peers);
        }
        let frontier = entry.log.frontier();
        if entry.reported != frontier {
            entry.reported = frontier;
            out.advanced.insert(key.clone());
        }
        out.batches.extend(Batch::of(key, &entry.log, assembled));
        let due = match want {
            Want::Nothing => None,
            Want::Time(due) => Some(due),
            Want::Frames(peer, seqs) if self.peers.may_ask(peer) => {
                self.peers.asked(peer);
                self.requests += 1;
                entry.log.fetch.asked(peer, seqs, self.requests, now);
                let want = wire::Want {
                    channel: channel.clone(),
                    sender: *sender,
                    seqs,
                    request: self.requests,
                };
                out.wants.push((peer, want));
                Some(now + REQUEST_TIMEOUT)
            }
            Want::Frames(..) => {
                if !std::mem::replace(&mut entry.queued, true) {
                    self.queue.push_back(key.clone());
                }
                // It is its turn when somebody answers; or then, at the latest.
                Some(now + REQUEST_TIMEOUT)
            }
        };
        if entry.deadline != due {
            if let Some(was) = entry.deadline {
                self.deadlines.remove(&(was, key.clone()));
            }
            if let Some(due) = due {
                self.deadlines.insert((due, key.clone()));
            }
            entry.deadline = due;
        }
        let (was, is) = (entry.held, entry.log.held_bytes());
        entry.held = is;
        self.quota.change(entry.subject, key, was, is);
        let payer = Payer::Member(entry.subject);
        if was < is {
            self.budget.charge(payer, is - was);
        } else if is < was {
            self.budget.release(payer, was - is);
        }
    }

    /// Lets logs that could not ask somebody try again, each once.
    pub(super) fn ask_on(&mut self, now: Time, out: &mut Effects) {
        for _ in 0..self.queue.len() {
            let Some(key) = self.queue.pop_front() else {
                break;
            };
            let Some(entry) = self.logs.get_mut(&key) else {
                continue;
            };
            entry.queued = false;
            let asked = out.wants.len();
            self.advance(&key, now, out);
            // The places that were free are taken again.
            if out.wants.len() == asked && self.queue.back() == Some(&key) {
                break;
            }
        }
    }

    /// The log that gives up something, if anything has to go.
    fn sheds(&self) -> Option<&LogKey> {
        if self.quota.total() > self.limits.max_held_bytes {
            return self.quota.largest();
        }
        let takes = |subject| self.budget.statement(Payer::Member(subject)).used;
        self.budget
            .is_over()
            .then(|| self.quota.largest_by(takes))
            .flatten()
    }

    /// Makes members give up something of what waits until the rest fits: over the limit for what
    /// waits, the one that holds the most of it; over the budget, the one that takes the most of
    /// all that is charged.
    pub(super) fn shed(&mut self, now: Time, out: &mut Effects) {
        while let Some(key) = self.sheds().cloned()
            && let Some(entry) = self.logs.get_mut(&key)
        {
            let mut assembled = Vec::new();
            self.shed += u64::from(entry.log.shed(&mut assembled));
            out.batches.extend(Batch::of(&key, &entry.log, assembled));
            self.advance(&key, now, out);
        }
    }

    /// Forgets a log but for where it was. What it holds is given out before.
    pub(super) fn forget(&mut self, key: &LogKey, now: Time, out: &mut Effects) {
        let Some(Entry {
            mut log,
            subject,
            heard,
            ..
        }) = self.remove(key)
        else {
            return;
        };
        let mut assembled = Vec::new();
        log.finish(&self.limits.log, &mut assembled);
        let next = log.next();
        out.batches.extend(Batch::of(key, &log, assembled));
        if let Some(next) = next {
            self.tombstones.remember(
                key,
                Tombstone {
                    next,
                    subject,
                    heard,
                },
                now,
            );
        }
    }

    pub(super) fn remove(&mut self, key: &LogKey) -> Option<Entry> {
        let entry = self.logs.remove(key)?;
        if let Some(asked) = entry.log.fetch.asking() {
            self.peers.answered(asked);
        }
        self.lru.remove(entry.subject, entry.heard, key);
        self.quota.change(entry.subject, key, entry.held, 0);
        let payer = Payer::Member(entry.subject);
        self.budget.release(payer, LOG_BYTES + entry.held);
        let claims = entry.log.fetch.holders().listeners().map(|(peer, _)| peer);
        claims.for_each(|peer| self.budget.release(Payer::from(peer), CLAIM_BYTES));
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, key.clone()));
        }
        Some(entry)
    }
}
