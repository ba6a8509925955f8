//! The number of new names that pages may bring into the node. One that was posted on it keeps for
//! as long as it runs, and it has room for a million: a page that is let onto `room:*` would use
//! them up for all.

use std::{
    collections::{HashSet, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use meshcast_proto::{Rate, Time, TokenBucket};

/// Those of a gateway.
#[derive(Debug)]
pub(crate) struct Names {
    began: Instant,
    hasher: RandomState,
    inner: Mutex<Inner>,
}

/// Those of a client.
#[derive(Debug)]
pub(crate) struct OfClient {
    rate: Rate,
    bucket: TokenBucket,
}

#[derive(Debug, Default)]
struct Inner {
    /// Hashes of names that are not new, and the order in which they came.
    known: HashSet<u64>,
    order: VecDeque<u64>,
    bucket: TokenBucket,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            hasher: RandomState::new(),
            inner: Mutex::default(),
        }
    }

    /// Whether a client may bring this name.
    pub(crate) fn enter(&self, name: &str, client: &mut OfClient) -> bool {
        self.enter_at(name, client, Time::from_start(self.began.elapsed()))
    }

    fn enter_at(&self, name: &str, client: &mut OfClient, now: Time) -> bool {
        let name = self.hasher.hash_one(name);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.known.contains(&name) {
            return true;
        }
        // Those of all are for who has some of its own left.
        if !client.bucket.is_due(client.rate, now) || !inner.bucket.try_take(OF_GATEWAY, now) {
            return false;
        }
        client.bucket.take(1, client.rate, now);
        inner.add(name);
        true
    }
}

impl Inner {
    fn add(&mut self, name: u64) {
        if self.order.len() >= KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(name);
        self.order.push_back(name);
    }
}

impl OfClient {
    /// Those of a client that may have so many channels open.
    pub(crate) fn new(max_channels: usize) -> Self {
        let at_once = OF_CLIENT.saturating_mul(u32::try_from(max_channels).unwrap_or(u32::MAX));
        Self {
            rate: Rate::every(EVERY, at_once),
            bucket: TokenBucket::default(),
        }
    }
}

/// New names of a client at once, for each channel that it may have open; then one a second.
const OF_CLIENT: u32 = 4;
/// New names of all clients: at once as many as 1,024 clients have channels, which come at once
/// when their service is gone; then one a second, so that a million takes eleven days.
const OF_GATEWAY: Rate = Rate::every(EVERY, 65_536);
const EVERY: Duration = Duration::from_secs(1);
/// Names that are not new. Beyond, the one that came first is new again.
const KNOWN: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn a_client_brings_some_names_at_once_and_then_one_a_second() {
        let (names, mut client) = (Names::new(), OfClient::new(2));
        let mut enter = |name: u32, now| names.enter_at(&name.to_string(), &mut client, at(now));
        let entered = (0..10).filter(|name| enter(*name, 0)).count();
        assert_eq!(entered, 8);
        assert!(!enter(100, 0));
        assert!(enter(101, 1));
        assert!(!enter(102, 1));
        // Those that are known cost nothing.
        assert!((0..8).all(|name| enter(name, 1)));
        let mut other = OfClient::new(2);
        assert!((0..8).all(|name| names.enter_at(&name.to_string(), &mut other, at(1))));
        assert!((200..208).all(|name| names.enter_at(&name.to_string(), &mut other, at(1))));
    }

    #[test]
    fn all_clients_together_bring_no_more_than_the_gateway_may() {
        let names = Names::new();
        let mut name = 0_u32;
        let mut enter = |client: &mut OfClient, now| {
            name += 1;
            names.enter_at(&name.to_string(), client, at(now))
        };
        // Clients that come again and again.
        let entered = (0..KNOWN / 256 + 10)
            .map(|_| {
                let mut client = OfClient::new(64);
                (0..300).filter(|_| enter(&mut client, 0)).count()
            })
            .sum::<usize>();
        assert_eq!(entered, 65_536);
        let mut client = OfClient::new(64);
        assert!(!enter(&mut client, 0));
        assert!(enter(&mut client, 1));
        assert!(!enter(&mut client, 1));
        // The memory of names is bounded.
        let inner = names.inner.lock().expect("not poisoned");
        assert_eq!((inner.known.len(), inner.order.len()), (KNOWN, KNOWN));
    }
}
