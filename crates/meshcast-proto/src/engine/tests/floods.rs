//! Peers that hold a valid key and ask, or claim, as much as they can.

use super::{
    super::*,
    at,
    fixture::{PEERS, channel, peer, wholes},
    range,
    world::{ANSWERS, answer_openings},
};
use crate::{
    bounds::{CLAIM_BYTES, Payer},
    conduct::Offence,
};

/// A node with one channel open that a hostile peer is connected to.
struct Victim {
    engine: Engine,
    now: Time,
    offences: Vec<(Sender, Offence)>,
}

impl Victim {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let me = peer(PEERS - 1);
        let mut engine = Engine::new(config, me.identity.clone(), Arc::clone(&me.member), 0);
        let opened = engine.handle_open(&channel(0), Since::Now, at(0));
        opened.expect("it is the first");
        Self {
            engine,
            now: at(0),
            offences: Vec::new(),
        }
    }

    fn connect(&mut self, who: usize) {
        self.engine.handle_peer_up(sender(who), self.now);
        self.drain();
    }

    /// Lets a peer say something. Returns of how many logs it is told for it.
    fn say(&mut self, who: usize, mut message: SyncMessage) -> usize {
        answer_openings(&self.engine, sender(who), &mut message);
        let nobody = |frames: &[Frame]| vec![Err(VerifyError::BadSignature); frames.len()];
        self.engine
            .handle_sync(sender(who), message, self.now, WallTime::MIN, nobody);
        self.drain()
    }

    fn is_due(&self) -> bool {
        let due = self.engine.poll_timeout();
        due.is_some_and(|due| due <= self.now)
    }

    /// Lets time pass. Returns of how many logs peers are told meanwhile.
    fn run(&mut self, time: Duration) -> usize {
        let (until, mut told) = (self.now + time, 0);
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now);
            told += self.drain();
        }
        self.now = until;
        told
    }

    fn drain(&mut self) -> usize {
        let mut told = 0;
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Sync(_, SyncMessage::Have(holdings)) => {
                    told += holdings.iter().map(|of| of.logs.len()).sum::<usize>();
                }
                Output::Misbehaved { peer, offence } => self.offences.push((peer, offence)),
                _ => {}
            }
        }
        told
    }
}

fn sender(who: usize) -> Sender {
    peer(who).member.sender()
}

/// Claims of so many senders that nobody ever heard of.
fn invented(logs: std::ops::Range<usize>) -> SyncMessage {
    let log = |n: usize| {
        let mut key = [0xee; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        Holding {
            sender: Sender::new(key),
            oldest: Seq::FIRST,
            next: Seq::FIRST.next(),
            due: Some(Seq::FIRST),
            begin: Seq::FIRST,
            hops: 1,
            lowest: None,
        }
    };
    SyncMessage::Have(vec![Holdings {
        channel: channel(0),
        answer: Some(ANSWERS),
        logs: logs.map(log).collect(),
    }])
}

fn open() -> SyncMessage {
    SyncMessage::Open(vec![Opened {
        channel: channel(0),
        since: Duration::ZERO,
        last: 0,
        opening: 1,
    }])
}

/// Two messages of 40 bytes, for which all logs would be looked through: it may be waited for with
/// some.
#[test]
fn who_opens_and_closes_a_channel_in_a_loop_has_its_logs_looked_through_at_a_rate() {
    const LOGS: usize = 16_384;
    const ROUNDS: usize = 1_000;
    let mut victim = Victim::new();
    victim.connect(0);
    victim.connect(1);
    for first in (0..LOGS).step_by(SyncMessage::MAX_LOGS) {
        victim.say(0, invented(first..first + SyncMessage::MAX_LOGS));
    }
    victim.run(Duration::from_secs(2));
    let close = SyncMessage::Close(vec![channel(0)]);
    victim.say(1, open());
    victim.run(Duration::from_secs(2));
    victim.say(1, close.clone());
    let looked_at = victim.engine.logs.looked_at;
    assert_eq!(
        looked_at, LOGS,
        "it is looked through for one that does so now and then"
    );
    let started = victim.now;
    for _ in 0..ROUNDS {
        victim.say(1, open());
        victim.say(1, close.clone());
        victim.run(Duration::from_millis(2));
    }
    let seconds = victim.now.saturating_since(started).as_secs();
    let looked_at = victim.engine.logs.looked_at - looked_at;
    // As much in a second as a peer is told of at most, and of one second at once.
    let most = 131_072 * (usize::try_from(seconds).expect("few") + 1) + LOGS;
    assert!(
        (LOGS..=most).contains(&looked_at),
        "{looked_at} in {seconds} s"
    );
    // In the end it is told what it has open, like ever.
    victim.run(Duration::from_secs(5));
    let told = victim.say(1, open()) + victim.run(Duration::from_secs(2));
    assert_eq!(told, LOGS);
}

#[test]
fn who_opens_a_channel_again_and_again_is_told_of_it_at_a_rate() {
    const LOGS: usize = 16_384;
    let mut victim = Victim::new();
    victim.connect(0);
    victim.connect(1);
    for n in 0..LOGS / SyncMessage::MAX_LOGS {
        victim.say(
            0,
            invented(n * SyncMessage::MAX_LOGS..(n + 1) * SyncMessage::MAX_LOGS),
        );
    }
    victim.run(Duration::from_secs(2));
    let told: usize = (0..512).map(|_| victim.say(1, open())).sum();
    assert!(told <= LOGS + SyncMessage::MAX_LOGS, "{told} at once");
    // It gets once more what it asked for 512 times.
    let told = told + victim.run(Duration::from_secs(10));
    assert!(told <= 3 * LOGS, "{told} in all");
    assert!(told >= LOGS, "{told} in all");
}

#[test]
fn a_channel_of_more_logs_than_fit_a_message_is_told_when_the_last_is() {
    let mut victim = Victim::new();
    victim.connect(0);
    for n in 0..3 {
        victim.say(
            0,
            invented(n * SyncMessage::MAX_LOGS..(n + 1) * SyncMessage::MAX_LOGS),
        );
    }
    victim.connect(1);
    let (engine, mut now) = (&mut victim.engine, victim.now);
    engine.handle_sync(sender(1), open(), now, WallTime::MIN, |_| Vec::new());
    let (mut more, end) = (Vec::new(), now + Duration::from_secs(2));
    loop {
        while let Some(output) = engine.poll_output() {
            if let Output::Sync(_, SyncMessage::Have(told)) = output {
                more.extend(told.iter().filter_map(|holdings| holdings.answer));
            }
        }
        let Some(due) = engine.poll_timeout().filter(|due| *due <= end) else {
            break;
        };
        now = now.max(due);
        engine.handle_timeout(now);
    }
    let more: Vec<_> = more
        .iter()
        .map(|answer| (answer.opening, answer.more))
        .collect();
    // Later changes may be as much again.
    let answer = [(1, true), (1, true), (1, true), (1, false)];
    assert!(more.starts_with(&answer), "{more:?}");
}

/// A liar tells of a few logs at a time, all the while somebody is told of all.
#[test]
fn of_each_log_a_peer_is_told_once_however_the_others_of_its_channel_change() {
    const LOGS: usize = 8 * SyncMessage::MAX_LOGS;
    let mut victim = Victim::new();
    victim.connect(0);
    victim.connect(1);
    let mut told = victim.say(1, open());
    for first in (0..LOGS).step_by(64) {
        told += victim.say(0, invented(first..first + 64));
        told += victim.run(Duration::from_millis(20));
    }
    told += victim.run(Duration::from_secs(2));
    assert_eq!(told, LOGS);
    // What changes after that is told, and nothing else of the channel.
    told = victim.say(0, invented(LOGS..LOGS + 1));
    told += victim.run(Duration::from_secs(2));
    assert_eq!(told, 1);
    victim.engine.logs.audit();
}

#[test]
fn who_does_not_read_is_told_when_it_does() {
    let mut victim = Victim::new();
    victim.connect(0);
    victim.connect(1);
    victim.say(0, invented(0..100));
    victim.engine.set_congested(sender(1), true);
    for _ in 0..16 {
        assert_eq!(victim.say(1, open()), 0);
        assert_eq!(victim.run(Duration::from_secs(1)), 0);
    }
    victim.engine.set_congested(sender(1), false);
    let told = victim.run(Duration::from_millis(1));
    assert!((1..=100).contains(&told), "{told}");
}

#[test]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "what is measured is the work, in comparison"
)]
fn who_opens_a_channel_again_does_not_make_each_log_of_it_be_looked_at() {
    const TIMES: u32 = 200;
    let opening = |logs: usize| {
        let mut victim = Victim::new();
        victim.connect(0);
        victim.connect(1);
        for first in (0..logs).step_by(SyncMessage::MAX_LOGS) {
            victim.say(0, invented(first..logs.min(first + SyncMessage::MAX_LOGS)));
        }
        victim.run(Duration::from_secs(2));
        // It is told of all of them, and then nothing for a while.
        (0..8).for_each(|_| {
            victim.say(1, open());
        });
        // The shortest of some: others may have wanted the processor meanwhile.
        let took = (0..10).map(|_| {
            let start = std::time::Instant::now();
            (0..TIMES).for_each(|_| {
                victim.say(1, open());
            });
            start.elapsed()
        });
        let took = took.min().unwrap_or_default();
        (took, victim.say(1, open()))
    };
    let ((few, _), (many, told)) = (opening(16), opening(16_384));
    assert_eq!(told, 0, "what is measured is not what it takes to tell");
    // It would be a thousand times as long.
    assert!(
        many < 50 * few,
        "{many:?} where it takes {few:?} with few logs"
    );
}

/// It holds a valid key, and makes up as many boot keys as it likes.
#[test]
fn who_comes_and_goes_in_a_loop_has_no_more_logs_looked_at_than_it_told_of() {
    const LOGS: usize = 16_384;
    const TIMES: usize = 100;
    let mut victim = Victim::new();
    victim.connect(0);
    for first in (0..LOGS).step_by(SyncMessage::MAX_LOGS) {
        victim.say(0, invented(first..first + SyncMessage::MAX_LOGS));
    }
    for tells in [0, 3] {
        let looked_at = victim.engine.logs.looked_at;
        for _ in 0..TIMES {
            victim.connect(1);
            victim.say(1, open());
            victim.say(1, invented(0..tells));
            victim.engine.handle_peer_down(sender(1), victim.now);
            victim.drain();
        }
        let looked_at = victim.engine.logs.looked_at - looked_at;
        assert_eq!(looked_at, TIMES * tells, "what it said is looked at");
    }
    victim.engine.logs.audit();
    // All of what the other told is gone with it, some at a time.
    let looked_at = victim.engine.logs.looked_at;
    victim.engine.handle_peer_down(sender(0), victim.now);
    victim.drain();
    let at_once = victim.engine.logs.looked_at - looked_at;
    assert!((1..=LOGS / 32).contains(&at_once), "{at_once}");
    let mut rounds = 0;
    while victim.is_due() {
        let looked_at = victim.engine.logs.looked_at;
        victim.engine.handle_timeout(victim.now);
        victim.drain();
        assert!(victim.engine.logs.looked_at - looked_at <= at_once);
        rounds += 1;
        assert!(rounds <= LOGS / at_once, "it ends");
    }
    assert!(!victim.engine.logs.has(&channel(0)));
    assert_eq!(victim.engine.budget().used(), 0);
}

/// Messages from before this node began are not kept here. They are fetched for it if possible.
#[test]
fn who_asks_for_what_is_not_kept_is_charged_for_each_log_until_it_goes() {
    const LOGS: usize = 1_000;
    let mut victim = Victim::new();
    let began = 10;
    let payer = Payer::from(sender(1));
    for n in 0..LOGS {
        let on = ChannelName::new(&format!("channel {n}")).expect("short");
        let opened = victim.engine.handle_open(&on, Since::Now, victim.now);
        opened.expect("few");
        victim.drain();
        let frame = wholes(peer(2), &on, began, 1);
        let member = &peer(2).member;
        victim
            .engine
            .handle_frame(frame.sender(), frame, member, victim.now, WallTime::MIN);
        victim.drain();
    }
    victim.run(Duration::from_secs(10));
    victim.connect(1);
    let used = |victim: &Victim| victim.engine.budget().statement(payer).used;
    assert_eq!(used(&victim), 0);
    for n in 0..LOGS {
        let want = Want {
            channel: ChannelName::new(&format!("channel {n}")).expect("short"),
            sender: sender(2),
            seqs: range(1, began - 1),
            request: 1,
        };
        victim.say(1, SyncMessage::Want(want));
        victim.run(Duration::from_millis(10));
    }
    assert!(used(&victim) >= LOGS * CLAIM_BYTES, "{}", used(&victim));
    victim.engine.logs.audit();
    victim.engine.handle_peer_down(sender(1), victim.now);
    victim.drain();
    assert!(used(&victim) > 0, "they are looked at some at a time");
    while victim.is_due() {
        victim.engine.handle_timeout(victim.now);
        victim.drain();
    }
    victim.engine.logs.audit();
    assert_eq!(used(&victim), 0);
}

#[test]
fn a_number_that_nobody_posted_is_not_told_to_its_reporter() {
    let mut victim = Victim::new();
    victim.connect(0);
    victim.say(0, open());
    victim.say(0, invented(0..100));
    assert_eq!(victim.run(Duration::from_secs(10)), 0);
    victim.connect(1);
    assert_eq!(
        victim.say(1, open()),
        100,
        "others are told: it may be true"
    );
}

/// The one way to it may be by this node, to which nothing came either.
#[test]
fn a_node_that_knows_less_than_others_is_told() {
    let mut victim = Victim::new();
    for who in [0, 1] {
        victim.connect(who);
        victim.say(who, open());
        victim.say(who, invented(0..1));
    }
    victim.run(Duration::from_secs(10));
    let SyncMessage::Have(mut more) = invented(0..1) else {
        panic!("it is what is told");
    };
    more[0].logs[0].next = Seq::new(9).expect("not 0");
    victim.say(1, SyncMessage::Have(more));
    assert_eq!(victim.say(0, open()), 1);
    assert_eq!(victim.say(1, open()), 0, "it says most itself");
}

#[test]
fn nobody_is_told_more_at_once_than_a_reserve_takes() {
    const LOGS: usize = 16_384;
    let mut victim = Victim::new();
    victim.connect(0);
    for first in (0..LOGS).step_by(SyncMessage::MAX_LOGS) {
        victim.say(0, invented(first..first + SyncMessage::MAX_LOGS));
    }
    victim.connect(1);
    let told = victim.say(1, open());
    assert!(told <= 2 * SyncMessage::MAX_LOGS, "{told} at once");
    let told = told + victim.run(Duration::from_secs(1));
    assert!(told >= LOGS, "{told} in all");
}

/// Memory ends between the charge for a log and that for what the peer has of it.
#[test]
fn a_log_that_a_peer_tells_of_is_not_followed_without_what_it_has_of_it() {
    for memory_bytes in (256 * 1024..).step_by(128).take(64) {
        let mut victim = Victim::with(Config {
            memory_bytes,
            ..Config::default()
        });
        victim.connect(0);
        victim.say(0, invented(0..200));
        let name = channel(0);
        let logs = || victim.engine.logs.of(&name);
        assert!((1..200).contains(&logs().count()), "memory ends within");
        assert!(logs().all(|(_, log)| !log.fetch.holders().is_empty()));
        victim.engine.logs.audit();
    }
}

#[test]
fn a_peer_beyond_its_share_is_named_and_its_victims_are_not() {
    let mut victim = Victim::with(Config {
        memory_bytes: 4 << 20,
        ..Config::default()
    });
    (0..3).for_each(|who| victim.connect(who));
    for first in (0..16_384).step_by(SyncMessage::MAX_LOGS) {
        victim.say(0, invented(first..first + SyncMessage::MAX_LOGS));
        victim.say(1, invented(first..first + 1));
    }
    assert!(victim.offences.contains(&(sender(0), Offence::OverLimit)));
    let others = victim.offences.iter().filter(|(who, _)| *who != sender(0));
    assert_eq!(others.count(), 0, "{:?}", victim.offences);
}
