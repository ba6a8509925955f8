//! Neighbours that hold a valid key and ask, or claim, as much as they can.

use super::{
    super::*,
    at,
    fixture::{PEERS, channel, peer},
};

/// A node with one channel open that a hostile neighbour is connected to.
struct Victim {
    engine: Engine,
    now: Time,
}

impl Victim {
    fn new() -> Self {
        let me = peer(PEERS - 1);
        let mut engine = Engine::new(Config::default(), me.identity.clone(), Arc::clone(&me.member), 0);
        let opened = engine.handle_open(&channel(0), Since::Now, at(0));
        opened.expect("it is the first");
        Self { engine, now: at(0) }
    }

    fn connect(&mut self, who: usize) {
        self.engine.handle_peer_up(sender(who), self.now);
        self.drain();
    }

    /// Lets a neighbour say something. Returns of how many flows it is told for it.
    fn say(&mut self, who: usize, message: SyncMessage) -> usize {
        let nobody = |frames: &[Frame]| frames.iter().map(|_| None).collect();
        self.engine
            .handle_sync(sender(who), message, self.now, WallTime::MIN, nobody);
        self.drain()
    }

    /// Lets time pass. Returns of how many flows neighbours are told meanwhile.
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
            if let Output::Sync(_, SyncMessage::Have(holdings)) = output {
                told += holdings.iter().map(|of| of.flows.len()).sum::<usize>();
            }
        }
        told
    }
}

fn sender(who: usize) -> Sender {
    peer(who).member.sender()
}

/// Claims of so many senders that nobody ever heard of.
fn invented(flows: std::ops::Range<usize>) -> SyncMessage {
    let flow = |n: usize| {
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
        flows: flows.map(flow).collect(),
    }])
}

fn open() -> SyncMessage {
    SyncMessage::Open(vec![Opened {
        channel: channel(0),
        since: Duration::ZERO,
        last: 0,
        linked: Duration::ZERO,
    }])
}

#[test]
fn who_opens_a_channel_again_and_again_is_told_of_it_at_a_rate() {
    const FLOWS: usize = 16_384;
    let mut victim = Victim::new();
    victim.connect(0);
    for n in 0..FLOWS / SyncMessage::MAX_FLOWS {
        victim.say(
            0,
            invented(n * SyncMessage::MAX_FLOWS..(n + 1) * SyncMessage::MAX_FLOWS),
        );
    }
    victim.run(Duration::from_secs(2));
    let told: usize = (0..512).map(|_| victim.say(0, open())).sum();
    assert!(told <= FLOWS + SyncMessage::MAX_FLOWS, "{told} at once");
    // What it asked for 512 times it gets once more.
    let told = told + victim.run(Duration::from_secs(10));
    assert!(told <= 3 * FLOWS, "{told} in all");
    assert!(told >= FLOWS, "{told} in all");
}

#[test]
fn who_does_not_read_is_told_when_it_does() {
    let mut victim = Victim::new();
    victim.connect(0);
    victim.say(0, invented(0..100));
    victim.engine.set_congested(sender(0), true);
    for _ in 0..16 {
        assert_eq!(victim.say(0, open()), 0);
        assert_eq!(victim.run(Duration::from_secs(1)), 0);
    }
    victim.engine.set_congested(sender(0), false);
    let told = victim.run(Duration::from_millis(1));
    assert!((1..=100).contains(&told), "{told}");
}
