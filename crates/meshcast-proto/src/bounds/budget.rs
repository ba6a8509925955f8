//! How much memory others may make a node use, together and each.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::wire::Sender;

/// One budget for everything that waits or is remembered on somebody's account: queues, early
/// frames, unfinished values, claims, logs. The history has a [limit of its
/// own](crate::HistoryLimits).
///
/// Each entry is charged to whoever causes it. An account may grow while it takes no more than what
/// is still free: a *dynamic threshold*, as in switches whose ports share a memory (Choudhury and
/// Hahne, 1998). So a single account gets half of the shared part, two greedy ones get a third
/// each, and nothing has to be taken away from anybody. The rule needs two numbers, however many
/// accounts there are.
///
/// What is remembered does not drain like a queue: of accounts that fill up one after another, each
/// gets half of what the last one left. So an eighth is not shared; each account has a 256th of
/// that part for itself, whatever the others take.
///
/// Clones are the same budget. The engine, the queues of sessions and the channels charge it from
/// several threads.
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
    /// This process: what it posted and has not sent yet, what it received and has not read yet.
    Ourselves,
    /// A member: by its member key for what it posts, by its boot key for what it asks, claims and
    /// does not read as a peer.
    Member([u8; 32]),
}

impl From<Sender> for Payer {
    fn from(process: Sender) -> Self {
        Self::Member(*process.key())
    }
}

/// What an account has.
#[derive(Debug, Default)]
struct Ledger {
    used: AtomicUsize,
    refused: AtomicU64,
}

/// A handle to one account of a [`Budget`], for those who charge often.
#[derive(Debug, Clone)]
pub struct Account {
    budget: Budget,
    ledger: Arc<Ledger>,
}

/// How an account stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Statement {
    /// The owner.
    pub payer: Payer,
    /// The bytes charged now.
    pub used: usize,
    /// How often a charge was refused.
    pub refused: u64,
}

/// [`Config::memory_bytes`](crate::Config::memory_bytes) by default.
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

    /// The size of the budget in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// The bytes charged to all accounts.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// How often a charge was refused.
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Whether more is charged than the budget has, so that something must be dropped.
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

    /// Charges bytes; `false` if the account has its share already. Then nothing is charged, and
    /// the refusal is counted.
    pub fn try_charge(&self, payer: Payer, bytes: usize) -> bool {
        let mut ledgers = self.lock();
        let ledger = self.ledger(&mut ledgers, payer);
        self.try_charge_to(ledger, bytes)
    }

    /// Charges bytes that cannot be refused.
    pub fn charge(&self, payer: Payer, bytes: usize) {
        let mut ledgers = self.lock();
        let ledger = self.ledger(&mut ledgers, payer);
        self.charge_to(ledger, bytes);
    }

    /// Gives charged bytes back.
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

    /// How many more bytes the account may take, up to `enough`.
    pub(crate) fn room_upto(&self, enough: usize, payer: Payer) -> usize {
        // However much of what is taken is its own.
        let least = (self.0.limit / RESERVED * 3).saturating_sub(self.used());
        if least >= enough {
            return enough;
        }
        self.room(payer).min(enough)
    }

    /// How many more bytes the account may take.
    pub fn room(&self, payer: Payer) -> usize {
        let ledgers = self.lock();
        self.room_of(ledgers.get(&payer).map_or(0, |ledger| ledger.used()))
    }

    /// Whether an account takes a quarter of all. In a large mesh of honest members nobody does,
    /// even if each takes its share.
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

    /// All accounts that have something charged or were refused something.
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
        // A panic elsewhere cannot leave a number half written.
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
        // What is charged is not free any more.
        let shared = free.saturating_sub(used) / 2;
        let own = (limit / RESERVED / RESERVES).saturating_sub(used);
        shared.max(own.min(limit.saturating_sub(all)))
    }

    fn try_charge_to(&self, ledger: &Ledger, bytes: usize) -> bool {
        // Two charges at the same moment may both fit by the numbers from before, and exceed the
        // share by one entry.
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
    /// Charges bytes; `false` if the account has its share already.
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

    /// Whether the account is empty and nobody holds it.
    fn is_blank(self: &Arc<Self>) -> bool {
        let quiet = self.used() == 0 && self.refused.load(Ordering::Relaxed) == 0;
        quiet && Arc::strong_count(self) == 1
    }
}

/// One part in this many is not shared, and is reserved for as many accounts: the number of peers
/// by default.
const RESERVED: usize = 8;
const RESERVES: usize = 256;

/// What a log is charged: its entries in eight trees and queues, its reorder buffer and its
/// checkpoints. Measured: some 2.5 KiB with one peer that claims to have it, 3 with nine, and 4
/// with a hole.
pub(crate) const LOG_BYTES: usize = 2_048;

/// What is remembered of a peer's claim to have something of a log, or of what was posted here.
pub(crate) const CLAIM_BYTES: usize = 136;

/// What is remembered of a channel that a peer has open, beside its name.
pub(crate) const INTEREST_BYTES: usize = 160;

/// A tombstone: where a forgotten log was.
pub(crate) const TOMBSTONE_BYTES: usize = 384;

/// What an entry in a queue takes beside its bytes, as in the
/// [history](crate::History::ENTRY_BYTES).
pub const ENTRY_BYTES: usize = 256;

/// Above this many accounts, empty ones are forgotten, with the number of their refusals; about 200
/// bytes each.
const MAX_IDLE: usize = 1_024;

#[cfg(test)]
mod tests;
