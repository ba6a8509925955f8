use std::time::Duration;

use super::*;
use crate::{
    fixture::{channel, peer},
    wire::{Opened, Seq},
};

/// Logs of one channel that a peer listens to, each with its last change and whether a frame of it
/// came.
struct Logs {
    peers: Peers,
    logs: BTreeMap<LogKey, (u64, bool)>,
}

impl Logs {
    fn new(listener: Sender) -> Self {
        let mut peers = Peers::default();
        peers.add(listener, at(0));
        let opened = Opened {
            channel: channel(0),
            since: Duration::ZERO,
            last: 0,
            opening: 1,
        };
        assert!(peers.open(listener, &opened, at(0)));
        let logs = BTreeMap::new();
        Self { peers, logs }
    }

    /// The log of a sender changes.
    fn changes(&mut self, n: usize, is_proven: bool) -> LogKey {
        let change = self.logs.values().map(|(change, _)| *change).max();
        let key = key(n);
        let log = (change.unwrap_or_default() + 1, is_proven);
        self.logs.insert(key.clone(), log);
        key
    }
}

impl Inventory for Logs {
    fn peers(&self) -> &Peers {
        &self.peers
    }

    fn changed_after(&self, channel: &ChannelName, after: u64, most: usize) -> Vec<(u64, Sender)> {
        let of_channel = self.logs.iter().filter(|(key, _)| key.0 == *channel);
        let logs = of_channel.map(|(key, (change, _))| (*change, key.1));
        let mut logs: Vec<_> = logs.filter(|(change, _)| *change > after).collect();
        logs.sort_unstable();
        logs.truncate(most);
        logs
    }

    fn change(&self, key: &LogKey) -> Option<u64> {
        self.logs.get(key).map(|(change, _)| *change)
    }

    fn is_proven(&self, key: &LogKey) -> bool {
        self.logs.get(key).is_some_and(|(_, is_proven)| *is_proven)
    }

    fn backup_for(&self, _: &LogKey) -> Option<Sender> {
        None
    }

    fn holding(&self, _: Sender, key: &LogKey) -> Option<Holding> {
        Some(Holding {
            sender: key.1,
            oldest: Seq::FIRST,
            next: Seq::FIRST,
            due: None,
            hops: 1,
            lowest: None,
            begin: Seq::FIRST,
        })
    }
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn key(n: usize) -> LogKey {
    let mut key = [7; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    (channel(0), Sender::new(key))
}

/// The senders of which somebody is told.
fn told(messages: &[(Sender, SyncMessage)]) -> Vec<Sender> {
    let holdings = messages.iter().flat_map(|(_, message)| match message {
        SyncMessage::Have(holdings) => holdings.as_slice(),
        _ => &[],
    });
    let logs = holdings.flat_map(|of| of.logs.iter());
    logs.map(|holding| holding.sender).collect()
}

const MANY: usize = 3 * SyncMessage::MAX_LOGS;

#[test]
fn while_all_logs_of_a_channel_are_told_those_of_which_a_frame_came_do_not_wait() {
    let listener = peer(0).member.sender();
    let (mut logs, mut advertiser) = (Logs::new(listener), Advertiser::default());
    let invented: BTreeSet<_> = (1..=MANY).map(|n| logs.changes(n, false)).collect();
    advertiser.announcements.add(listener, &channel(0));
    assert!(!advertiser.opened(&logs, at(0)).is_empty());
    assert!(
        advertiser.announcements.contains(listener, &channel(0)),
        "there is more to tell"
    );

    let frame_came = BTreeSet::from([logs.changes(0, true)]);
    let messages = advertiser.changed(&frame_came, &logs, at(0));
    assert_eq!(told(&messages), [key(0).1]);
    let messages = advertiser.changed(&invented, &logs, at(0));
    assert_eq!(told(&messages), [], "a reported log has its turn");
}

#[test]
fn a_message_names_logs_of_which_a_frame_came_before_reported_ones() {
    let listener = peer(0).member.sender();
    let (mut logs, mut advertiser) = (Logs::new(listener), Advertiser::default());
    let mut changed: BTreeSet<_> = (0..MANY).map(|n| logs.changes(n, false)).collect();
    changed.insert(logs.changes(MANY, true));
    let told = told(&advertiser.changed(&changed, &logs, at(0)));
    assert_eq!(told.len(), SyncMessage::MAX_LOGS);
    assert!(told.contains(&key(MANY).1));
}

#[test]
fn each_log_that_changed_is_told_once_however_often_it_did() {
    let listener = peer(0).member.sender();
    let (mut logs, mut advertiser) = (Logs::new(listener), Advertiser::default());
    (0..MANY).for_each(|n| drop(logs.changes(n, false)));
    advertiser.announcements.add(listener, &channel(0));
    let (mut times, mut now) = (BTreeMap::<Sender, usize>::new(), at(0));
    let mut again = BTreeSet::from([logs.changes(0, false)]);
    for _ in 0..1_000 {
        let changed = std::mem::take(&mut again);
        let mut messages = advertiser.changed(&changed, &logs, now);
        messages.extend(advertiser.opened(&logs, now));
        for sender in told(&messages) {
            *times.entry(sender).or_default() += 1;
        }
        let Some(due) = advertiser.poll_timeout() else {
            break;
        };
        now = now.max(due);
    }
    assert_eq!(times.len(), MANY);
    assert!(times.values().all(|times| *times == 1), "{times:?}");
}
