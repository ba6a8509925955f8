//! What members make an engine take, as it is charged and as it is.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use meshcast_proto::{
    ChannelName, Config, Engine, Frame, Holding, Holdings, Identity, MeshKey, NodeName, Opened, Output,
    Region, Sender, Seq, Since, SyncMessage, Time, Trust, WallTime,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// A node with so many channels open.
fn engine(channels: usize, memory_bytes: usize) -> Engine {
    let key = MeshKey::from_entropy([7; 48]);
    let name = NodeName::new("victim").expect("valid");
    let region = Region::new("fra").expect("valid");
    let identity = Identity::from_mesh_key(&key, name, region, [9; 64], WallTime::MIN);
    let me = Trust::from(&key).verify(identity.chain().as_bytes());
    let me = Arc::new(me.expect("it holds the mesh key"));
    let config = Config {
        memory_bytes,
        ..Config::default()
    };
    let mut engine = Engine::new(config, identity, me, 1);
    for n in 0..channels {
        engine
            .handle_open(&channel(n), Since::Now, Time::ZERO)
            .expect("few");
    }
    engine
}

fn channel(n: usize) -> ChannelName {
    ChannelName::new(&format!("channel-{n}")).expect("short")
}

fn sender(kind: u8, n: usize) -> Sender {
    let mut key = [kind; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    Sender::new(key)
}

fn drain(engine: &mut Engine) {
    while let Some(output) = engine.poll_output() {
        drop::<Output>(output);
    }
}

fn say(engine: &mut Engine, peer: Sender, message: SyncMessage, now: Time) {
    let nobody = |frames: &[Frame]| frames.iter().map(|_| None).collect();
    engine.handle_sync(peer, message, now, WallTime::MIN, nobody);
    drain(engine);
}

/// Claims of senders that nobody ever heard of.
fn invented(on: &ChannelName, flows: std::ops::Range<usize>) -> SyncMessage {
    let flow = |n| Holding {
        sender: sender(0xee, n),
        oldest: Seq::FIRST,
        next: Seq::FIRST.next(),
        due: Some(Seq::FIRST),
        begin: Seq::FIRST,
        hops: 1,
        lowest: None,
    };
    SyncMessage::Have(vec![Holdings {
        channel: on.clone(),
        flows: flows.map(flow).collect(),
    }])
}

/// So many identities that a key holder made say that they know the same invented senders, and open channels.
fn attack(engine: &mut Engine, identities: usize, flows: usize, opens: usize, now: Time) {
    for n in 0..identities {
        engine.handle_peer_up(sender(1, n), now);
        drain(engine);
    }
    for n in 0..identities {
        let peer = sender(1, n);
        for first in (0..flows).step_by(SyncMessage::MAX_FLOWS) {
            let some = invented(&channel(0), first..(first + SyncMessage::MAX_FLOWS).min(flows));
            say(engine, peer, some, now);
        }
        for first in (0..opens).step_by(SyncMessage::MAX_CHANNELS) {
            let opened = |n| Opened {
                channel: ChannelName::new(&format!("{n:0>200}")).expect("short enough"),
                since: Duration::ZERO,
                last: 0,
                linked: Duration::ZERO,
            };
            let last = (first + SyncMessage::MAX_CHANNELS).min(opens);
            say(
                engine,
                peer,
                SyncMessage::Open((first..last).map(opened).collect()),
                now,
            );
        }
    }
}

/// All tests of a process share what is counted.
static ALONE: Mutex<()> = Mutex::new(());

/// What is allocated more than before, in bytes.
fn more_than(before: usize) -> usize {
    ALLOCATED.current_usage().saturating_sub(before)
}

#[test]
fn what_is_charged_is_what_it_takes_within_a_factor_of_two() {
    const LIMIT: usize = 32 * 1024 * 1024;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (identities, flows, opens) in [(1, 8_192, 0), (30, 1_024, 0), (1, 0, 8_192), (30, 4_096, 4_096)] {
        let mut engine = engine(1, LIMIT);
        let before = ALLOCATED.current_usage();
        attack(&mut engine, identities, flows, opens, Time::ZERO);
        let (charged, taken) = (engine.budget().used(), more_than(before));
        println!("{identities} × {flows} flows, {opens} opened: charged {charged}, taken {taken}");
        assert!(charged <= LIMIT);
        assert!(taken <= 2 * charged + 128 * 1024, "{taken} of {charged}");
        assert!(charged <= 2 * taken, "{charged} of {taken}");
        // And all of it is given back.
        for n in 0..identities {
            engine.handle_peer_down(sender(1, n), Time::ZERO);
            drain(&mut engine);
        }
        assert_eq!(engine.budget().used(), 0);
    }
}

#[test]
fn thirty_identities_of_one_key_holder_do_not_take_more_than_the_budget_and_leave_room() {
    const LIMIT: usize = 32 * 1024 * 1024;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut engine, now) = (engine(1, LIMIT), Time::ZERO);
    let before = ALLOCATED.current_usage();
    attack(&mut engine, 30, 16_384, 16_384, now);
    let taken = more_than(before);
    assert!(taken <= 2 * LIMIT, "{taken}");
    let counters = engine.counters();
    assert!(counters.flows_refused + counters.claims_refused > 0);
    // Who comes now and is modest is heard like ever.
    let honest = sender(2, 0);
    engine.handle_peer_up(honest, now);
    drain(&mut engine);
    let (flows, claims) = (engine.counters().flows_refused, engine.counters().claims_refused);
    say(&mut engine, honest, invented(&channel(0), 100_000..100_005), now);
    assert_eq!(engine.counters().flows_refused, flows);
    assert_eq!(engine.counters().claims_refused, claims);
}
