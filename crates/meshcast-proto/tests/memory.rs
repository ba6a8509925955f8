//! The memory that members make an engine take, as it is charged and as it is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use meshcast_proto::{
    Answer, ChannelName, Config, Engine, Format, Frame, Holding, Holdings, Identity, Member,
    MeshKey, NodeName, Opened, Output, Part, Region, Sender, Seq, Since, SyncMessage, Time, Trust,
    VerifyError, WallTime, write_record,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// A node with so many channels open.
fn engine(channels: usize, memory_bytes: usize) -> Engine {
    let config = Config {
        memory_bytes,
        ..Config::default()
    };
    engine_of(channels, config)
}

fn engine_of(channels: usize, config: Config) -> Engine {
    let key = MeshKey::from_entropy([7; 48]);
    let name = NodeName::new("victim").expect("valid");
    let region = Region::new("fra").expect("valid");
    let identity = Identity::from_mesh_key(&key, name, region, [9; 64], WallTime::MIN);
    let me = Trust::from(&key).verify(identity.chain().as_bytes());
    let me = Arc::new(me.expect("it holds the mesh key"));
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

/// A peer is connected. Returns as what it was told that channels were opened.
fn connect(engine: &mut Engine, peer: Sender, now: Time) -> HashMap<ChannelName, u64> {
    engine.handle_peer_up(peer, now);
    let mut openings = HashMap::new();
    while let Some(output) = engine.poll_output() {
        if let Output::Sync(_, SyncMessage::Open(opened)) = output {
            openings.extend(opened.into_iter().map(|it| (it.channel, it.opening)));
        }
    }
    openings
}

fn answer(opening: u64) -> Option<Answer> {
    let (held, more) = (Duration::from_secs(60), false);
    Some(Answer {
        opening,
        held,
        more,
    })
}

fn say(engine: &mut Engine, peer: Sender, message: SyncMessage, now: Time) {
    let nobody = |frames: &[Frame]| vec![Err(VerifyError::BadSignature); frames.len()];
    engine.handle_sync(peer, message, now, WallTime::MIN, nobody);
    drain(engine);
}

/// A peer is connected no more: what it said is looked at some at a time.
fn leave(engine: &mut Engine, peer: Sender, now: Time) {
    engine.handle_peer_down(peer, now);
    drain(engine);
    while engine.poll_timeout().is_some_and(|due| due <= now) {
        engine.handle_timeout(now);
        drain(engine);
    }
}

/// Claims of senders that nobody ever heard of.
fn invented(on: &ChannelName, opening: u64, logs: std::ops::Range<usize>) -> SyncMessage {
    let log = |n| Holding {
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
        answer: answer(opening),
        logs: logs.map(log).collect(),
    }])
}

/// So many identities that a key holder made say that they know the same invented senders, and open
/// channels.
fn attack(engine: &mut Engine, identities: usize, logs: usize, opens: usize, now: Time) {
    let openings: Vec<_> = (0..identities)
        .map(|n| connect(engine, sender(1, n), now))
        .collect();
    for (n, openings) in openings.iter().enumerate() {
        let peer = sender(1, n);
        for first in (0..logs).step_by(SyncMessage::MAX_LOGS) {
            let some = invented(
                &channel(0),
                openings[&channel(0)],
                first..(first + SyncMessage::MAX_LOGS).min(logs),
            );
            say(engine, peer, some, now);
        }
        for first in (0..opens).step_by(SyncMessage::MAX_CHANNELS) {
            let opened = |n| Opened {
                channel: ChannelName::new(&format!("{n:0>200}")).expect("short enough"),
                since: Duration::ZERO,
                last: 0,
                opening: 1,
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
    for (identities, logs, opens) in [
        (1, 8_192, 0),
        (30, 1_024, 0),
        (1, 0, 8_192),
        (30, 4_096, 4_096),
    ] {
        let mut engine = engine(1, LIMIT);
        let before = ALLOCATED.current_usage();
        attack(&mut engine, identities, logs, opens, Time::ZERO);
        let (charged, taken) = (engine.budget().used(), more_than(before));
        println!("{identities} × {logs} logs, {opens} opened: charged {charged}, taken {taken}");
        assert!(charged <= LIMIT);
        assert!(taken <= 2 * charged + 128 * 1024, "{taken} of {charged}");
        assert!(charged <= 2 * taken, "{charged} of {taken}");
        // And all of it is given back.
        for n in 0..identities {
            leave(&mut engine, sender(1, n), Time::ZERO);
        }
        assert_eq!(engine.budget().used(), 0);
    }
}

/// The holder of a valid key comes as many. This node remembers nothing of each of them but what it
/// was told of the channels here.
#[test]
fn what_members_were_told_of_the_channels_here_takes_two_bytes_each() {
    const CHANNELS: usize = 4_096;
    const IDENTITIES: usize = 255;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut engine, now) = (engine(CHANNELS, Config::default().memory_bytes), Time::ZERO);
    let before = ALLOCATED.current_usage();
    for n in 0..IDENTITIES {
        connect(&mut engine, sender(1, n), now);
    }
    // Some were told of each channel when they came, and all of one that was opened later.
    engine
        .handle_open(&channel(CHANNELS), Since::Now, now)
        .expect("few");
    drain(&mut engine);
    let (charged, taken) = (engine.budget().used(), more_than(before));
    println!("{IDENTITIES} × {CHANNELS} channels told: charged {charged}, taken {taken}");
    // The places double when one more is opened.
    let most = IDENTITIES * (2 * 2 * CHANNELS + 2 * 1_024);
    assert!(taken <= most, "{taken}");
    assert_eq!(charged, 0);
}

/// Each has it opened once more, so much longer ago.
#[test]
fn what_members_are_told_once_more_since_they_answer_late_is_charged_to_them() {
    const CHANNELS: usize = 4_096;
    const LIMIT: usize = 32 * 1024 * 1024;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (identities, limit) in [(1, LIMIT), (30, LIMIT), (30, 2 * 1024 * 1024)] {
        let (mut engine, now) = (engine(CHANNELS, limit), Time::ZERO);
        let openings: Vec<_> = (0..identities)
            .map(|n| connect(&mut engine, sender(1, n), now))
            .collect();
        let before = ALLOCATED.current_usage();
        let late = now + Duration::from_secs(120);
        for (n, openings) in openings.iter().enumerate() {
            for channel in (0..CHANNELS).map(channel) {
                let late_answer = SyncMessage::Have(vec![Holdings {
                    answer: answer(openings[&channel]),
                    channel,
                    logs: Vec::new(),
                }]);
                say(&mut engine, sender(1, n), late_answer, late);
            }
        }
        let (charged, taken) = (engine.budget().used(), more_than(before));
        println!("{identities} × {CHANNELS} told once more: charged {charged}, taken {taken}");
        assert!(
            charged <= limit && taken <= 2 * charged,
            "{taken} of {charged}"
        );
        assert!(charged <= 2 * taken, "{charged} of {taken}");
        assert!(charged > 0);
        for n in 0..identities {
            leave(&mut engine, sender(1, n), late);
        }
        assert_eq!(engine.budget().used(), 0);
    }
}

/// A member of the same mesh, by number.
fn member(n: u8) -> (Identity, Arc<Member>) {
    let key = MeshKey::from_entropy([7; 48]);
    let name = NodeName::new("member").expect("valid");
    let region = Region::new("fra").expect("valid");
    let identity = Identity::from_mesh_key(&key, name, region, [n; 64], WallTime::MIN);
    let member = Trust::from(&key).verify(identity.chain().as_bytes());
    (identity, Arc::new(member.expect("it holds the mesh key")))
}

/// One value of a member.
fn frame(identity: &Identity, on: &ChannelName, seq: u64, value: &[u8]) -> Frame {
    let mut section = Vec::new();
    write_record(&mut section, Format::Raw, Part::Whole, value);
    let seq = Seq::new(seq).expect("not 0");
    let (wall, since_first) = (WallTime::MIN, Duration::ZERO);
    let frame = Frame::build(identity, on, seq, wall, since_first, &section);
    frame.expect("it is small")
}

/// The history and the reorder buffer share its bytes, and neither has to keep it for the other.
#[test]
fn a_frame_that_waits_is_in_memory_once_and_what_is_charged_covers_it() {
    const WAITING: u64 = 100;
    const VALUE: [u8; 16 * 1024] = [7; 16 * 1024];
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The second history has room for a quarter of what waits.
    for history_bytes in [64 * 1024 * 1024, 25 * VALUE.len()] {
        let mut config = Config::default();
        config.history.bytes = history_bytes;
        let (mut engine, now, on) = (engine_of(1, config), Time::ZERO, channel(0));
        let (identity, member) = member(10);
        let hear = |engine: &mut Engine, seq| {
            let frame = frame(&identity, &on, seq, &VALUE);
            engine.handle_frame(frame.sender(), frame, &member, now, WallTime::MIN);
            let mut delivered = 0;
            while let Some(output) = engine.poll_output() {
                if let Output::Deliver(_, delivery) = output {
                    delivered += delivery.seqs().len();
                }
            }
            delivered
        };
        assert_eq!(hear(&mut engine, 1), 1);
        let charged = |engine: &Engine| engine.budget().used() + engine.history().bytes();
        let (before, idle) = (ALLOCATED.current_usage(), charged(&engine));
        // The second is missing.
        for seq in 3..3 + WAITING {
            assert_eq!(hear(&mut engine, seq), 0);
        }
        let (taken, charged) = (more_than(before), charged(&engine) - idle);
        let bytes = usize::try_from(WAITING).expect("few") * VALUE.len();
        println!("{bytes} bytes wait: charged {charged}, taken {taken}");
        assert!((bytes..bytes / 4 * 5).contains(&taken), "{taken}");
        assert!(taken <= charged, "{taken} of {charged}");
        assert!(engine.history().bytes() <= history_bytes);
        // Frames that the history had no room for are delivered all the same.
        assert_eq!(hear(&mut engine, 2), 1 + WAITING);
        assert!(engine.budget().used() < VALUE.len());
    }
}

/// A fleet that is large for this budget and means no ill.
#[test]
fn ten_nodes_that_all_post_on_five_thousand_channels_are_well_inside_the_default_budget() {
    const CHANNELS: usize = 5_000;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut engine, now) = (engine(CHANNELS, Config::default().memory_bytes), Time::ZERO);
    let (before, kept) = (ALLOCATED.current_usage(), engine.history().bytes());
    let members: Vec<_> = (10..19).map(member).collect();
    let mut openings = HashMap::new();
    for (_, member) in &members {
        let opened = connect(&mut engine, member.sender(), now);
        openings.insert(member.sender(), opened);
        for first in (0..CHANNELS).step_by(SyncMessage::MAX_CHANNELS) {
            let opened = |n| Opened {
                channel: channel(n),
                since: Duration::ZERO,
                last: 0,
                opening: 1,
            };
            let some = first..(first + SyncMessage::MAX_CHANNELS).min(CHANNELS);
            say(
                &mut engine,
                member.sender(),
                SyncMessage::Open(some.map(opened).collect()),
                now,
            );
        }
    }
    for n in 0..CHANNELS {
        for (identity, member) in &members {
            let frame = frame(identity, &channel(n), 1, b"x");
            engine.handle_frame(frame.sender(), frame, member, now, WallTime::MIN);
            drain(&mut engine);
        }
        for (_, teller) in &members {
            let holding = |(_, of): &(Identity, Arc<Member>)| Holding {
                sender: of.sender(),
                oldest: Seq::FIRST,
                next: Seq::FIRST.next(),
                due: Some(Seq::FIRST),
                begin: Seq::FIRST,
                hops: u8::from(of.sender() != teller.sender()),
                lowest: None,
            };
            let logs = members.iter().map(holding).collect();
            let have = SyncMessage::Have(vec![Holdings {
                channel: channel(n),
                answer: answer(openings[&teller.sender()][&channel(n)]),
                logs,
            }]);
            say(&mut engine, teller.sender(), have, now);
        }
    }
    while let Some(due) = engine
        .poll_timeout()
        .filter(|due| *due < now + Duration::from_secs(5))
    {
        engine.handle_timeout(due);
        drain(&mut engine);
    }
    let (budget, counters) = (engine.budget(), engine.counters());
    // Frames that are kept have a limit of their own; what their places take more than it says is
    // counted here.
    let taken = more_than(before) - (engine.history().bytes() - kept);
    println!("charged {}, taken {taken}", budget.used());
    assert!(taken <= 2 * budget.used(), "{taken} of {}", budget.used());
    // With the one that posts here there are ten that share all but an eighth. Each has room for a
    // quarter more.
    let share = budget.limit() / 8 * 7 / 10;
    let most = budget.statements().into_iter().map(|it| it.used).max();
    assert!(
        most.is_some_and(|most| most <= share / 5 * 4),
        "{most:?} of {share}"
    );
    let refused = (
        counters.logs_refused,
        counters.claims_refused,
        budget.refused(),
    );
    assert_eq!(refused, (0, 0, 0));
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
    assert!(counters.logs_refused + counters.claims_refused > 0);
    // A modest member that comes now is heard like ever.
    let honest = sender(2, 0);
    let openings = connect(&mut engine, honest, now);
    let (logs, claims) = (
        engine.counters().logs_refused,
        engine.counters().claims_refused,
    );
    say(
        &mut engine,
        honest,
        invented(&channel(0), openings[&channel(0)], 100_000..100_005),
        now,
    );
    assert_eq!(engine.counters().logs_refused, logs);
    assert_eq!(engine.counters().claims_refused, claims);
}
