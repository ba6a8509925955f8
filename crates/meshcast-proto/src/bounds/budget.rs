//! The memory that others may make a node use, together and each.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use crate::wire::{NodeName, Region, Sender};

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
/// Remembered items do not drain like a queue: of accounts that fill up one after another, each
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
    accounts: Mutex<BTreeMap<Payer, AccountEntry>>,
}

/// An account, and whose it is if that was [said](Budget::introduce).
#[derive(Debug, Default)]
struct AccountEntry {
    ledger: Arc<Ledger>,
    owner: Option<Owner>,
}

/// Who is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Payer {
    /// This process: what it posted and has not sent yet, what it received and has not read yet.
    Ourselves,
    /// A member: by its member key for what it posts and replies over others, by its boot key for
    /// what it asks, claims and does not read as a peer.
    Member([u8; 32]),
}

impl From<Sender> for Payer {
    fn from(process: Sender) -> Self {
        Self::Member(*process.key())
    }
}

/// Whose an account is, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// What people call it.
    pub name: NodeName,
    /// Where it runs.
    pub region: Region,
    /// Which process it is.
    pub process: Sender,
}

/// What somebody takes, with all its accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// One of the accounts.
    pub payer: Payer,
    /// Whose they are, if that is known.
    pub owner: Option<Owner>,
    /// The bytes charged now.
    pub used: usize,
    /// How often a charge was refused.
    pub refused: u64,
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
            accounts: Mutex::default(),
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

    /// Says whose an account is, for as long as it is remembered: also when its owner is gone.
    /// `owner` is asked if it was somebody else's, or nobody's.
    pub fn introduce(&self, payer: Payer, process: Sender, owner: impl FnOnce() -> Owner) {
        let mut accounts = self.lock();
        self.ledger(&mut accounts, payer);
        if let Some(entry) = accounts.get_mut(&payer)
            && entry
                .owner
                .as_ref()
                .is_none_or(|known| known.process != process)
        {
            entry.owner = Some(owner());
        }
    }

    /// Charges bytes; `false` if the account has its share already. Then nothing is charged, and
    /// the refusal is counted.
    pub fn try_charge(&self, payer: Payer, bytes: usize) -> bool {
        let mut accounts = self.lock();
        let ledger = self.ledger(&mut accounts, payer);
        self.try_charge_to(ledger, bytes)
    }

    /// Charges bytes that cannot be refused.
    pub fn charge(&self, payer: Payer, bytes: usize) {
        let mut accounts = self.lock();
        let ledger = self.ledger(&mut accounts, payer);
        self.charge_to(ledger, bytes);
    }

    /// Gives charged bytes back.
    pub fn release(&self, payer: Payer, bytes: usize) {
        let mut accounts = self.lock();
        let Some(entry) = accounts.get(&payer) else {
            debug_assert_eq!(bytes, 0, "what is given back was charged");
            return;
        };
        self.release_from(&entry.ledger, bytes);
        if entry.is_blank() {
            accounts.remove(&payer);
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
        let accounts = self.lock();
        self.room_of(accounts.get(&payer).map_or(0, |entry| entry.ledger.used()))
    }

    /// Whether an account takes a quarter of all. In a large mesh of honest members nobody does,
    /// even if each takes its share.
    pub fn is_greedy(&self, payer: Payer) -> bool {
        self.statement(payer).used >= self.0.limit / 4
    }

    /// How the account of somebody stands.
    pub fn statement(&self, payer: Payer) -> Statement {
        let accounts = self.lock();
        let ledger = accounts.get(&payer).map(|entry| &entry.ledger);
        Statement {
            payer,
            used: ledger.map_or(0, |ledger| ledger.used()),
            refused: ledger.map_or(0, |ledger| ledger.refused()),
        }
    }

    /// All accounts that have something charged or were refused something.
    pub fn statements(&self) -> Vec<Statement> {
        let accounts = self.lock();
        let statement = |(payer, entry): (&Payer, &AccountEntry)| Statement {
            payer: *payer,
            used: entry.ledger.used(),
            refused: entry.ledger.refused(),
        };
        let statements = accounts.iter().map(statement);
        statements
            .filter(|it| it.used > 0 || it.refused > 0)
            .collect()
    }

    /// The accounts that take the most, and of the others those that were refused most often: so
    /// many of each at most, connected or not. Whoever takes more comes first.
    pub fn shares(&self, most: usize) -> Vec<Share> {
        let mut shares = self.all_shares();
        shares.sort_by_key(|share| Reverse((share.used, share.refused)));
        let mut rest = shares.split_off(most.min(shares.len()));
        rest.retain(|share| share.refused > 0);
        rest.sort_by_key(|share| Reverse(share.refused));
        rest.truncate(most);
        shares.append(&mut rest);
        shares.sort_by_key(|share| Reverse((share.used, share.refused)));
        shares
    }

    /// What each takes that has something charged or was refused something, in the order of
    /// accounts.
    fn all_shares(&self) -> Vec<Share> {
        let accounts = self.lock();
        let (mut shares, mut places): (Vec<Share>, BTreeMap<Sender, usize>) = Default::default();
        for (payer, AccountEntry { ledger, owner }) in accounts.iter() {
            let (used, refused) = (ledger.used(), ledger.refused());
            if used == 0 && refused == 0 {
                continue;
            }
            let process = owner.as_ref().map(|owner| owner.process);
            let known = process.and_then(|process| places.get(&process));
            if let Some(share) = known.and_then(|place| shares.get_mut(*place)) {
                share.used += used;
                share.refused += refused;
                continue;
            }
            process.map(|process| places.insert(process, shares.len()));
            shares.push(Share {
                payer: *payer,
                owner: owner.clone(),
                used,
                refused,
            });
        }
        shares
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Payer, AccountEntry>> {
        // A panic elsewhere cannot leave a number half written.
        self.0
            .accounts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger<'a>(
        &self,
        accounts: &'a mut BTreeMap<Payer, AccountEntry>,
        payer: Payer,
    ) -> &'a Arc<Ledger> {
        if accounts.len() >= MAX_IDLE && !accounts.contains_key(&payer) {
            accounts.retain(|_, AccountEntry { ledger, .. }| {
                ledger.used() > 0 || Arc::strong_count(ledger) > 1
            });
        }
        &accounts.entry(payer).or_default().ledger
    }

    fn room_of(&self, used: usize) -> usize {
        let (limit, all) = (self.0.limit, self.used());
        let free = (limit - limit / RESERVED).saturating_sub(all);
        // Charged bytes are not free any more.
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

    fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl AccountEntry {
    /// Whether the account is empty, nobody holds it and nobody was introduced.
    fn is_blank(&self) -> bool {
        let quiet = self.ledger.used() == 0 && self.ledger.refused() == 0;
        quiet && self.owner.is_none() && Arc::strong_count(&self.ledger) == 1
    }
}

/// One part in this many is not shared, and is reserved for as many accounts: the number of peers
/// by default.
const RESERVED: usize = 8;
const RESERVES: usize = 256;

/// What a log is charged: its entries in a dozen trees and queues, its reorder buffer and its
/// checkpoints. Measured: up to 4.9 KiB with one peer that claims to have it, and with a hole; the
/// test `memory` holds that it is at most twice this.
pub(crate) const LOG_BYTES: usize = 2_350;

/// The memory of a peer's claim to have something of a log, or of what was posted here, and that it
/// asked for some of it.
pub(crate) const CLAIM_BYTES: usize = 136;

/// The memory of a channel that a peer has open, beside its name.
pub(crate) const INTEREST_BYTES: usize = 160;

/// The memory of a peer that was told once more that a channel is open here.
pub(crate) const OPENED_AGAIN_BYTES: usize = 96;

/// A tombstone: where a forgotten log was.
pub(crate) const TOMBSTONE_BYTES: usize = 384;

/// What an entry in a queue takes beside its bytes, as in the
/// [history](crate::History::ENTRY_BYTES).
pub const ENTRY_BYTES: usize = 256;

/// Above this many accounts, empty ones are forgotten, with the number of their refusals and whose
/// they are; about 400 bytes each.
const MAX_IDLE: usize = 1_024;

#[cfg(test)]
mod tests;
