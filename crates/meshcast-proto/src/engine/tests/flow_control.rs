//! Nobody is sent more than those who keep up can take, and nobody waits for those who do not.

use std::{cell::Cell, rc::Rc};

use super::{
    super::*,
    fixture::channel,
    section,
    world::{World, connected, sender},
};

/// Posts frames of one value as long as one may. Returns how many those were.
fn post_freely(world: &mut World, who: usize) -> usize {
    let mut posted = 0;
    while world.nodes[who].engine.may_post(&channel(0)) {
        world.post(who, 1);
        posted += 1;
        assert!(posted < 10_000, "nothing holds it up");
    }
    posted
}

/// Messages of a node are lost from now on, until the switch is turned.
fn silence(world: &mut World, who: usize) -> Rc<Cell<bool>> {
    let silent = Rc::new(Cell::new(true));
    let switch = Rc::clone(&silent);
    world.tamper = Box::new(move |from, _, message| {
        if from == who && switch.get() {
            Vec::new()
        } else {
            vec![message]
        }
    });
    silent
}

/// A chain: each is connected to the next.
fn chain(nodes: usize) -> World {
    let mut world = World::new(nodes, &Config::default(), 1);
    (1..nodes).for_each(|n| world.connect(n - 1, n));
    world.loss = 0;
    (0..nodes).for_each(|n| world.post(n, 1));
    // The way to each becomes known half a second a link.
    world.run_secs(nodes as u64);
    world
}

#[test]
fn a_poster_without_listeners_waits_for_nobody() {
    let mut world = World::new(1, &Config::default(), 1);
    for _ in 0..1_000 {
        assert!(world.nodes[0].engine.may_post(&channel(0)));
        world.post(0, 1);
    }
    world.run_secs(1);
    world.expect_rest();
}

#[test]
fn what_is_on_the_way_fits_a_window_and_goes_on_when_it_arrived() {
    let mut world = connected(3);
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(1);
    for round in 1..=4 {
        assert_eq!(post_freely(&mut world, 0), 768);
        assert_eq!(world.nodes[0].writable, round - 1);
        world.run_secs(1);
        assert_eq!(
            world.nodes[0].writable, round,
            "once, not once for each acknowledgement"
        );
    }
    world.expect_everything();
    world.run_secs(5);
    world.expect_rest();
}

#[test]
fn whoever_falls_silent_is_waited_for_six_tenths_of_a_second_and_then_no_longer() {
    let mut world = connected(3);
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(1);
    let silent = silence(&mut world, 2);
    post_freely(&mut world, 0);
    world.run(Duration::from_millis(590));
    assert_eq!(
        world.nodes[0].writable, 0,
        "node 1 has everything, node 2 may have"
    );
    assert!(world.nodes[0].lagging.is_empty());
    world.run(Duration::from_millis(150));
    assert_eq!(world.nodes[0].writable, 1);
    assert_eq!(world.nodes[0].lagging, [2].into());
    // From then on only node 1 is waited for.
    for _ in 0..4 {
        assert!(post_freely(&mut world, 0) > 0);
        world.run(Duration::from_millis(300));
    }
    // Once it says where it is it keeps up again.
    silent.set(false);
    world.post(0, 1);
    world.run_secs(2);
    assert!(world.nodes[0].lagging.is_empty());
    world.expect_everything();
    world.run_secs(5);
    world.expect_rest();
}

/// Two ways lead to node 3. By the one that is left it is heard as soon, and waited for as long.
#[test]
fn acknowledgements_take_the_new_way_when_a_link_is_cut() {
    let mut world = World::new(4, &Config::default(), 1);
    for (a, b) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
        world.connect(a, b);
    }
    world.loss = 0;
    (0..4).for_each(|n| world.post(n, 1));
    world.run_secs(2);
    let upstream = |world: &World| {
        let log = world.nodes[3].engine.logs.get(&(channel(0), sender(0)));
        log.and_then(|log| log.upstream).expect("there is a way")
    };
    let before = upstream(&world);
    let cut = if before == sender(1) { 1 } else { 2 };
    world.cut(cut, 3);
    world.run(Duration::from_millis(500));
    assert_eq!(upstream(&world), sender(3 - cut));
    for _ in 0..3 {
        let before = world.nodes[0].writable;
        assert!(post_freely(&mut world, 0) > 0);
        world.run(Duration::from_millis(400));
        assert!(world.nodes[0].writable > before, "it was acknowledged");
    }
    world.run_secs(1);
    let silent = silence(&mut world, 3);
    let before = world.nodes[0].writable;
    post_freely(&mut world, 0);
    world.run(Duration::from_millis(500));
    assert_eq!(world.nodes[0].writable, before, "node 3 may have nothing");
    world.run_secs(1);
    assert!(world.nodes[0].writable > before);
    silent.set(false);
    world.run_secs(3);
    world.expect_everything();
}

#[test]
fn whoever_goes_while_it_lags_is_said_to_lag_no_longer() {
    let mut world = connected(3);
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(1);
    let silent = silence(&mut world, 2);
    post_freely(&mut world, 0);
    world.run_secs(1);
    assert_eq!(world.nodes[0].lagging, [2].into());
    world.cut(0, 2);
    assert!(world.nodes[0].lagging.is_empty());
    silent.set(false);
    world.connect(0, 2);
    world.run_secs(2);
    assert!(world.nodes[0].lagging.is_empty());
    world.expect_everything();
}

#[test]
fn frames_in_flight_on_a_forgotten_channel_hold_up_no_other() {
    // Nothing is kept, so a channel is forgotten as soon as it is closed.
    let mut config = Config::default();
    config.history.bytes = 0;
    let mut world = World::new(2, &config, 1);
    world.connect(0, 1);
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(1);
    let _silent = silence(&mut world, 1);
    assert_eq!(post_freely(&mut world, 0), 1);
    let (now, other) = (world.clock(0), channel(1));
    let engine = &mut world.nodes[0].engine;
    engine.handle_close(&channel(0));
    while engine.poll_output().is_some() {}
    assert_eq!(engine.handle_open(&other, Since::Now, now), Ok(()));
    for _ in 0..2 {
        while engine.poll_output().is_some() {}
        assert!(engine.may_post(&other), "nobody listens to it");
        let record = section([(crate::wire::Part::Whole, b"x".as_slice())]);
        let posted = engine.handle_post(&other, &record, now, WallTime::MIN);
        assert!(posted.is_ok());
    }
}

#[test]
fn those_behind_relays_are_waited_for_and_told_of_hop_by_hop() {
    for nodes in 3..6 {
        let mut world = chain(nodes);
        let last = nodes - 1;
        let silent = silence(&mut world, last);
        assert_eq!(post_freely(&mut world, 0), 768);
        world.run(Duration::from_millis(550));
        assert_eq!(
            world.nodes[0].writable, 0,
            "all but the last of {nodes} have told"
        );
        silent.set(false);
        world.post(0, 1);
        world.run(Duration::from_millis(500));
        assert_eq!(world.nodes[0].writable, 1, "the last of {nodes} has told");
        assert!(world.nodes.iter().all(|node| node.lagging.is_empty()));
        world.expect_everything();
        world.run_secs(10);
        world.expect_rest();
    }
}

#[test]
fn a_laggard_behind_a_relay_is_not_waited_for_but_the_relay_is() {
    let mut world = chain(3);
    let _silent = silence(&mut world, 2);
    post_freely(&mut world, 0);
    world.run(Duration::from_millis(3_000));
    assert_eq!(world.nodes[0].writable, 1);
    assert!(world.nodes[0].lagging.is_empty(), "its only peer keeps up");
    assert_eq!(world.nodes[1].lagging, [2].into());
    assert_eq!(
        post_freely(&mut world, 0),
        768,
        "the relay is waited for still"
    );
}

#[test]
fn readers_who_are_behind_hold_up_the_sender_for_a_while_and_make_nobody_a_laggard() {
    for relays in [0, 1] {
        let mut world = chain(2 + relays);
        let last = relays + 1;
        let tell = |world: &mut World, behind| {
            let now = world.clock(last);
            let engine = &mut world.nodes[last].engine;
            engine.handle_readers_behind(&channel(0), behind, now);
            world.drain(last);
        };
        tell(&mut world, true);
        assert_eq!(post_freely(&mut world, 0), 768);
        world.run(Duration::from_millis(350));
        assert_eq!(world.nodes[0].writable, 0);
        assert_eq!(
            world.story(last, 0).len(),
            1,
            "it hears everything nevertheless"
        );
        // They catch up.
        tell(&mut world, false);
        world.run(Duration::from_millis(300));
        assert_eq!(world.nodes[0].writable, 1);
        // The next time they do not.
        tell(&mut world, true);
        assert_eq!(post_freely(&mut world, 0), 768);
        world.run(Duration::from_millis(1_600));
        assert_eq!(world.nodes[0].writable, 2);
        assert_eq!(post_freely(&mut world, 0), 768);
        world.run(Duration::from_millis(500));
        assert_eq!(
            world.nodes[0].writable, 3,
            "nobody waits for them any longer"
        );
        tell(&mut world, false);
        assert!(world.nodes.iter().all(|node| node.lagging.is_empty()));
        world.expect_everything();
    }
}

/// Two ways lead from the sender to the last: it looks to one relay alone, and to the other when
/// that is gone.
#[test]
fn when_a_relay_goes_another_tells_for_those_behind_it() {
    let mut world = World::new(4, &Config::default(), 1);
    for (a, b) in [(0, 1), (0, 2), (1, 3), (2, 3)] {
        world.connect(a, b);
    }
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(2);
    for relay in [1, 2] {
        assert_eq!(post_freely(&mut world, 0), 768);
        world.run_secs(1);
        assert_eq!(post_freely(&mut world, 0), 768);
        world.cut(relay, 3);
        world.run_secs(4);
        world.connect(relay, 3);
        world.run_secs(2);
    }
    world.expect_everything();
    world.run_secs(5);
    world.expect_rest();
}

#[test]
fn whoever_leaves_the_channel_or_the_mesh_is_waited_for_no_longer() {
    for leave in [
        |world: &mut World| world.close(1),
        |world: &mut World| world.kill(1),
    ] {
        let mut world = connected(2);
        world.post(0, 1);
        world.run_secs(1);
        assert_eq!(post_freely(&mut world, 0), 768);
        leave(&mut world);
        world.run(Duration::from_millis(100));
        assert_eq!(world.nodes[0].writable, 1);
        for _ in 0..1_000 {
            assert!(world.nodes[0].engine.may_post(&channel(0)));
            world.post(0, 1);
        }
    }
}

/// One engine, and peers that say what they are told to.
#[test]
fn all_channels_together_have_a_window_and_are_told_in_turn() {
    const CHANNELS: usize = 1_000;
    let mut world = World::new(1, &Config::default(), 1);
    let engine = &mut world.nodes[0].engine;
    let mut told = Vec::new();
    let names: Vec<ChannelName> = (0..CHANNELS)
        .map(|n| ChannelName::new(&format!("channel {n}")).expect("valid"))
        .collect();
    let now = Time::from_start(Duration::from_secs(5));
    let records = super::section([(crate::wire::Part::Whole, &b"x"[..])]);
    let drain = |engine: &mut Engine, told: &mut Vec<ChannelName>| {
        while let Some(output) = engine.poll_output() {
            if let Output::Writable(name) = output {
                told.push(name);
            }
        }
    };
    engine.handle_peer_up(sender(1), now);
    drain(engine, &mut told);
    let say = |engine: &mut Engine, told: &mut Vec<ChannelName>, message: SyncMessage| {
        engine.handle_sync(sender(1), message, now, WallTime::MIN, |_| Vec::new());
        drain(engine, told);
    };
    let have = |name: &ChannelName, next: u64| {
        let log = Holding {
            sender: sender(0),
            oldest: Seq::FIRST,
            next: Seq::new(next).expect("not 0"),
            due: None,
            begin: Seq::FIRST,
            hops: 1,
            lowest: Seq::new(next),
        };
        SyncMessage::Have(vec![Holdings {
            channel: name.clone(),
            answer: None,
            logs: vec![log],
        }])
    };
    for name in &names {
        engine.handle_open(name, Since::Now, now).expect("few");
        drain(engine, &mut told);
        let opened = Opened {
            channel: name.clone(),
            since: Duration::ZERO,
            last: 0,
            opening: 1,
        };
        say(engine, &mut told, SyncMessage::Open(vec![opened]));
        engine
            .handle_post(name, &records, now, WallTime::MIN)
            .expect("small");
        drain(engine, &mut told);
        say(engine, &mut told, have(name, 2));
    }
    let mut sent = Vec::new();
    for name in &names {
        if engine.may_post(name) {
            engine
                .handle_post(name, &records, now, WallTime::MIN)
                .expect("small");
            drain(engine, &mut told);
            sent.push(name.clone());
        }
    }
    assert_eq!((sent.len(), told.len()), (896, 0));
    // Whoever was refused first is told first, one for each frame that arrived.
    for (n, name) in sent.iter().take(50).enumerate() {
        say(engine, &mut told, have(name, 3));
        assert_eq!(told.len(), n + 1);
        let next = told[n].clone();
        assert_eq!(next, names[896 + n]);
        assert!(engine.may_post(&next));
        engine
            .handle_post(&next, &records, now, WallTime::MIN)
            .expect("small");
        drain(engine, &mut told);
    }
    // And when nothing is on the way, all are.
    engine.handle_peer_down(sender(1), now);
    drain(engine, &mut told);
    while engine.poll_timeout().is_some_and(|due| due <= now) {
        engine.handle_timeout(now);
        drain(engine, &mut told);
    }
    assert_eq!(told, names[896..]);
}

/// It may begin somewhere else then.
#[test]
fn whoever_opens_a_channel_anew_is_waited_for_once_it_tells_how_far_it_is() {
    let mut world = connected(2);
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(1);
    let is_waited_for = |world: &World| {
        let log = world.nodes[0].engine.logs.get(&(channel(0), sender(0)));
        let holders = log.expect("it posted").fetch.holders();
        holders.listener(sender(1)).is_some()
    };
    assert!(is_waited_for(&world));
    let _silent = silence(&mut world, 1);
    let opened = Opened {
        channel: channel(0),
        since: Duration::ZERO,
        last: 0,
        opening: 99,
    };
    let (now, again) = (world.clock(0), SyncMessage::Open(vec![opened]));
    let engine = &mut world.nodes[0].engine;
    engine.handle_sync(sender(1), again, now, WallTime::MIN, |_| Vec::new());
    world.drain(0);
    assert!(!is_waited_for(&world));
    world.nodes[0].engine.logs.audit();
}

#[test]
fn readers_who_are_behind_do_not_hold_up_what_is_posted_beside_them() {
    let mut world = connected(2);
    world.loss = 0;
    world.post(0, 1);
    world.run_secs(1);
    let now = world.clock(0);
    let engine = &mut world.nodes[0].engine;
    engine.handle_readers_behind(&channel(0), true, now);
    post_freely(&mut world, 0);
    world.run(Duration::from_millis(300));
    assert_eq!(world.nodes[0].writable, 1);
}

/// A value in several frames may wait for the send window for as long as it takes.
#[test]
fn a_value_of_ours_is_not_given_up_halfway_however_long_its_rest_takes() {
    let mut world = World::new(1, &Config::default(), 1);
    let name = channel(0);
    let (mut delivered, mut now) = (0, Time::from_start(Duration::from_secs(5)));
    for part in [crate::wire::Part::First, crate::wire::Part::Last] {
        let engine = &mut world.nodes[0].engine;
        let records = super::section([(part, &b"x"[..])]);
        let posted = engine.handle_post(&name, &records, now, WallTime::MIN);
        posted.expect("small");
        now = now + Duration::from_secs(3_600);
        loop {
            while let Some(output) = engine.poll_output() {
                delivered += usize::from(matches!(output, Output::Deliver(..)));
            }
            match engine.poll_timeout().filter(|due| *due <= now) {
                Some(due) => engine.handle_timeout(due),
                None => break,
            }
        }
    }
    assert_eq!(delivered, 1);
}
