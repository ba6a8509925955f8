//! How much memory others may make a node take, all together and each.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::wire::Sender;

/// One budget for all that waits or is remembered on account of somebody: queues, reorder buffers,
/// unfinished values, claims, logs. What is kept for others has a [limit of its
/// own](crate::HistoryLimits).
///
/// Each entry is charged to whoever causes it. An account may grow while it takes no more than what
/// is free: a *dynamic threshold*, as switches have whose ports share a memory (Choudhury and
/// Hahne, 1998). So one that is alone gets half of what is shared, two that want all get a third
/// each, and nobody has to be taken anything away. It takes two numbers, whatever the number of
/// accounts.
///
/// What is remembered does not drain like a queue: of accounts that fill one after another each
/// gets half of what the last left. So an eighth is shared by nobody, and of that there is a 256th
/// for each, whatever the others take.
///
/// Clones are the same budget, and it is charged from several threads: by the engine, queues of
/// links, and channels.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limit: usize,
    used: AtomicUsize,
    refused: AtomicU64,
    ledgers: Mutex<BTreeMap<Payer, Arc<Ledger>>>,
}

/// Who is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Payer {
    /// This process: what it posts and has not sent yet, what it was given and has not read yet.
    Ourselves,
    /// A member: by its public key for what it posts; by that of its process for what it asks,
    /// claims and does not read as a neighbour.
    Member([u8; 32]),
}

impl From<Sender> for Payer {
    fn from(process: Sender) -> Self {
        Self::Member(*process.key())
    }
}

/// What one is charged for.
#[derive(Debug, Default)]
struct Ledger {
    used: AtomicUsize,
    refused: AtomicU64,
}

/// An account of a [`Budget`], for whoever charges often.
#[derive(Debug, Clone)]
pub struct Account {
    budget: Budget,
    ledger: Arc<Ledger>,
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// Whose it is.
    pub payer: Payer,
    /// What it takes now, in bytes.
    pub used: usize,
    /// How often it was refused more.
    pub refused: u64,
}

/// [`Config::memory_bytes`](crate::Config::memory_bytes) unless it is set.
pub(crate) const MEMORY_BYTES: usize = 256 * 1024 * 1024;

impl Default for Budget {
    fn default() -> Self {
        Self::new(MEMORY_BYTES)
    }
}

impl Budget {
    /// A budget of so many bytes.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Shared {
            limit,
            used: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
            ledgers: Mutex::default(),
        }))
    }

    /// How many bytes there are.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// How many are taken, by all.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// How often somebody was refused more.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Whether more is taken than there is: of what cannot be refused something has to go.
    pub fn is_over(&self) -> bool {
        self.used() > self.0.limit
    }

    /// The account of somebody.
    pub fn account(&self, payer: Payer) -> Account {
        let ledger = Arc::clone(self.ledger(&mut self.lock(), payer));
        Account {
            budget: self.clone(),
            ledger,
        }
    }

    /// Charges somebody with bytes; `false` if it takes its share already. Nothing is charged then,
    /// and it is counted.
    pub fn try_charge(&self, payer: Payer, bytes: usize) -> bool {
        let mut ledgers = self.lock();
        let ledger = self.ledger(&mut ledgers, payer);
        self.try_charge_to(ledger, bytes)
    }

    /// Charges somebody with bytes that cannot be refused.
    pub fn charge(&self, payer: Payer, bytes: usize) {
        let mut ledgers = self.lock();
        let ledger = self.ledger(&mut ledgers, payer);
        self.charge_to(ledger, bytes);
    }

    /// Gives bytes back that somebody was charged with.
    pub fn release(&self, payer: Payer, bytes: usize) {
        let mut ledgers = self.lock();
        let Some(ledger) = ledgers.get(&payer) else {
            debug_assert_eq!(bytes, 0, "what is given back was charged");
            return;
        };
        self.release_from(ledger, bytes);
        if ledger.is_blank() {
            ledgers.remove(&payer);
        }
    }

    /// What somebody may take more, as far as it is less than `enough`.
    pub(crate) fn room_upto(&self, enough: usize, payer: Payer) -> usize {
        // However much of what is taken is its own.
        let least = (self.0.limit / RESERVED * 3).saturating_sub(self.used());
        if least >= enough {
            return enough;
        }
        self.room(payer).min(enough)
    }

    /// What somebody may take more.
    pub fn room(&self, payer: Payer) -> usize {
        let ledgers = self.lock();
        self.room_of(ledgers.get(&payer).map_or(0, |ledger| ledger.used()))
    }

    /// Whether somebody takes a quarter of all: in a large mesh of honest members, each of which
    /// wants its share, nobody does.
    pub fn is_greedy(&self, payer: Payer) -> bool {
        self.statement(payer).used >= self.0.limit / 4
    }

    /// How the account of somebody stands.
    pub fn statement(&self, payer: Payer) -> Statement {
        let ledgers = self.lock();
        let ledger = ledgers.get(&payer);
        Statement {
            payer,
            used: ledger.map_or(0, |ledger| ledger.used()),
            refused: ledger.map_or(0, |ledger| ledger.refused.load(Ordering::Relaxed)),
        }
    }

    /// All accounts that take anything or were refused something.
    pub fn statements(&self) -> Vec<Statement> {
        let ledgers = self.lock();
        let statement = |(payer, ledger): (&Payer, &Arc<Ledger>)| Statement {
            payer: *payer,
            used: ledger.used(),
            refused: ledger.refused.load(Ordering::Relaxed),
        };
        let statements = ledgers.iter().map(statement);
        statements
            .filter(|it| it.used > 0 || it.refused > 0)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Payer, Arc<Ledger>>> {
        // A panic elsewhere leaves numbers, each of which is whole.
        self.0
            .ledgers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger<'a>(
        &self,
        ledgers: &'a mut BTreeMap<Payer, Arc<Ledger>>,
        payer: Payer,
    ) -> &'a Arc<Ledger> {
        if ledgers.len() >= MAX_IDLE && !ledgers.contains_key(&payer) {
            ledgers.retain(|_, ledger| ledger.used() > 0 || Arc::strong_count(ledger) > 1);
        }
        ledgers.entry(payer).or_default()
    }

    fn room_of(&self, used: usize) -> usize {
        let (limit, all) = (self.0.limit, self.used());
        let free = (limit - limit / RESERVED).saturating_sub(all);
        // What is taken is free no more.
        let shared = free.saturating_sub(used) / 2;
        let own = (limit / RESERVED / RESERVES).saturating_sub(used);
        shared.max(own.min(limit.saturating_sub(all)))
    }

    fn try_charge_to(&self, ledger: &Ledger, bytes: usize) -> bool {
        // Of two that are charged at the same moment both may fit by the numbers of before: by as
        // little as one entry.
        let fits = bytes <= self.room_of(ledger.used());
        if fits {
            self.charge_to(ledger, bytes);
        } else {
            ledger.refused.fetch_add(1, Ordering::Relaxed);
            self.0.refused.fetch_add(1, Ordering::Relaxed);
        }
        fits
    }

    fn charge_to(&self, ledger: &Ledger, bytes: usize) {
        ledger.used.fetch_add(bytes, Ordering::Relaxed);
        self.0.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn release_from(&self, ledger: &Ledger, bytes: usize) {
        let (was, all) = (&ledger.used, &self.0.used);
        let before = was.fetch_sub(bytes, Ordering::Relaxed);
        debug_assert!(before >= bytes, "what is given back was charged");
        all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Account {
    /// Charges bytes; `false` if the account takes its share already.
    pub fn try_charge(&self, bytes: usize) -> bool {
        self.budget.try_charge_to(&self.ledger, bytes)
    }

    /// Charges bytes that cannot be refused.
    pub fn charge(&self, bytes: usize) {
        self.budget.charge_to(&self.ledger, bytes);
    }

    /// Gives bytes back.
    pub fn release(&self, bytes: usize) {
        self.budget.release_from(&self.ledger, bytes);
    }

    /// Whether bytes may be charged now.
    pub fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.budget.room_of(self.ledger.used())
    }

    /// What the account takes, in bytes.
    pub fn used(&self) -> usize {
        self.ledger.used()
    }
}

impl Ledger {
    fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether it says nothing and nobody holds it.
    fn is_blank(self: &Arc<Self>) -> bool {
        let quiet = self.used() == 0 && self.refused.load(Ordering::Relaxed) == 0;
        quiet && Arc::strong_count(self) == 1
    }
}

/// One part in so many is not shared, and for so many accounts it is: as many as there are
/// neighbours by default.
const RESERVED: usize = 8;
const RESERVES: usize = 256;

/// What a log is charged with: its places in eight trees and queues, its reorder buffer, and the
/// marks of how far it was. Measured, it is some 2.5 KiB with one that claims to have it, 3 with
/// nine, and 4 with a hole.
pub(crate) const LOG_BYTES: usize = 2_048;

/// What is remembered of a log that a neighbour told of, and of what it has of what is posted
/// here.
pub(crate) const CLAIM_BYTES: usize = 136;

/// What is remembered of a channel that a neighbour has open, beside its name.
pub(crate) const INTEREST_BYTES: usize = 160;

/// Where a forgotten log was.
pub(crate) const TOMBSTONE_BYTES: usize = 384;

/// What something takes that waits in a queue, beside its bytes: as in the
/// [history](crate::History::ENTRY_BYTES).
pub const ENTRY_BYTES: usize = 256;

/// From so many accounts on, those of whoever takes nothing are forgotten, with how often they were
/// refused; about 200 bytes each.
const MAX_IDLE: usize = 1_024;

#[cfg(test)]
mod tests;
