use super::*;

fn who(n: u8) -> Sender {
    Sender::new([n; 32])
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

/// Keeps so many messages of somebody waiting.
fn fill(inbox: &mut Inbox, peer: Sender, messages: usize) {
    let waits = inbox.peers.get(peer).map_or(0, |it| it.messages.len());
    for _ in waits..messages {
        assert!(inbox.push(peer, Bytes::new()));
    }
}

const LARGE: usize = SyncMessage::MAX_LOGS;

#[test]
fn what_one_says_is_taken_in_as_it_came() {
    let mut inbox = Inbox::new(Budget::default());
    for n in 0..5 {
        assert!(inbox.push(who(0), Bytes::from(vec![n])));
    }
    let mut taken = Vec::new();
    while let Some((peer, message)) = inbox.pop(at(0)) {
        inbox.charge(peer, LARGE, at(0));
        taken.push(message[0]);
    }
    assert_eq!(taken, [0, 1, 2, 3, 4]);
    assert!(!inbox.waits(who(0)));
    assert_eq!(inbox.poll_timeout(), None);
}

#[test]
fn who_says_a_little_is_heard_before_thirty_that_say_much() {
    let mut inbox = Inbox::new(Budget::default());
    for now in (0..2_000).map(at) {
        (1..=30).for_each(|n| fill(&mut inbox, who(n), 8));
        if now > at(100) {
            assert!(inbox.push(who(0), Bytes::new()));
            let next = inbox.pop(now).map(|(peer, _)| peer);
            assert_eq!(next, Some(who(0)), "at {now:?}");
            inbox.charge(who(0), 2, now);
        }
        // As much as a processor may do in that time.
        let (peer, _) = inbox.pop(now).expect("they have much to say");
        inbox.charge(peer, LARGE, now);
    }
}

/// At a pace at which nobody exceeds its rate: what each caused is forgotten before its next turn.
#[test]
fn who_says_a_little_is_heard_first_on_a_slow_machine_too() {
    let mut inbox = Inbox::new(Budget::default());
    for now in (0..200).map(|n| at(n * 20)) {
        (1..=30).for_each(|n| fill(&mut inbox, who(n), 8));
        if now > at(1_000) {
            assert!(inbox.push(who(40), Bytes::new()));
            let next = inbox.pop(now).map(|(peer, _)| peer);
            assert_eq!(next, Some(who(40)), "at {now:?}");
            inbox.charge(who(40), 2, now);
        }
        let (peer, _) = inbox.pop(now).expect("they have much to say");
        inbox.charge(peer, LARGE, now);
    }
}

#[test]
fn those_who_say_much_get_equal_shares_whatever_the_size_of_their_messages() {
    let (mut inbox, mut taken) = (Inbox::new(Budget::default()), [0; 4]);
    for now in (0..1_000).map(at) {
        (0..4).for_each(|n| fill(&mut inbox, who(n), 8));
        for _ in 0..8 {
            let Some((peer, _)) = inbox.pop(now) else {
                break;
            };
            let n = (0..4).find(|n| who(*n) == peer).expect("one of them");
            let n = usize::from(n);
            let cost = LARGE >> (2 * n);
            inbox.charge(peer, cost, now);
            taken[n] += cost;
        }
    }
    let (least, most) = (taken.iter().min(), taken.iter().max());
    assert!(
        most <= least.map(|least| least + 2 * LARGE).as_ref(),
        "{taken:?}"
    );
}

#[test]
fn nobody_makes_more_work_than_its_rate() {
    let (mut inbox, mut taken, seconds) = (Inbox::new(Budget::default()), 0, 10);
    for now in (0..seconds * 1_000).map(at) {
        fill(&mut inbox, who(0), 8);
        while let Some((peer, _)) = inbox.pop(now) {
            inbox.charge(peer, LARGE, now);
            taken += LARGE;
            fill(&mut inbox, who(0), 8);
        }
        assert!(inbox.waits(who(0)));
        assert!(inbox.poll_timeout().is_some_and(|due| due > now));
    }
    let most = (seconds as usize + 4) * 65_536 + LARGE;
    assert!(taken <= most && taken > most * 9 / 10, "{taken} of {most}");
}

#[test]
fn a_catch_up_with_ten_nodes_on_five_thousand_channels_is_taken_in_at_once() {
    let mut inbox = Inbox::new(Budget::default());
    for _ in 0..10 * 5_000 / LARGE + 1 {
        (0..10).for_each(|n| assert!(inbox.push(who(n), Bytes::new())));
    }
    while let Some((peer, _)) = inbox.pop(at(0)) {
        inbox.charge(peer, LARGE, at(0));
    }
    assert_eq!(inbox.poll_timeout(), None);
}

#[test]
fn a_peer_that_comes_back_keeps_its_debt_and_is_forgotten_without_any() {
    let mut inbox = Inbox::new(Budget::default());
    fill(&mut inbox, who(0), 3);
    inbox.charge(who(0), 20 * 65_536, at(0));
    assert_eq!(inbox.take(who(0)).count(), 3);
    assert_eq!(inbox.poll_timeout(), None);
    inbox.handle_timeout(at(1_000));
    assert!(inbox.push(who(0), Bytes::new()));
    assert_eq!(inbox.pop(at(15_999)), None);
    assert_eq!(inbox.poll_timeout(), Some(at(16_000)));
    assert!(inbox.pop(at(16_000)).is_some());
    inbox.handle_timeout(at(19_999));
    assert!(inbox.peers.get(who(0)).is_some());
    inbox.handle_timeout(at(20_000));
    assert!(inbox.peers.get(who(0)).is_none());
}

#[test]
fn waiting_messages_are_charged_to_their_peer_and_given_back() {
    let budget = Budget::new(8 << 20);
    let mut inbox = Inbox::new(budget.clone());
    let used = |n| budget.statement(who(n).into()).used;
    let message = || Bytes::from(vec![7; 512 * 1024]);
    let pushed = (0..).take_while(|_| inbox.push(who(0), message())).count();
    assert_eq!(used(0), pushed * (512 * 1024 + ENTRY_BYTES));
    assert!((2..16).contains(&pushed), "{pushed} times 512 KiB of 8 MiB");
    // Others are heard all the same, and messages without a byte are charged too.
    assert!(inbox.push(who(1), message()));
    while inbox.push(who(2), Bytes::new()) {}
    assert!(used(2) >= 1024 * ENTRY_BYTES, "{}", used(2));
    assert!(budget.used() <= budget.limit());
    assert_eq!(inbox.take(who(0)).count(), pushed);
    assert_eq!(used(0), 0);
    assert!(inbox.pop(at(0)).is_some());
    drop(inbox);
    assert_eq!(budget.used(), 0);
}

#[test]
fn one_message_waits_whatever_others_take() {
    let budget = Budget::new(1 << 20);
    while budget.try_charge(who(1).into(), 1024) {}
    while budget.try_charge(who(2).into(), 1024) {}
    let mut inbox = Inbox::new(budget);
    assert!(inbox.push(who(0), Bytes::from(vec![7; 512 * 1024])));
    assert!(!inbox.push(who(0), Bytes::from(vec![7; 512 * 1024])));
}

#[test]
fn each_thing_that_a_message_names_costs() {
    let name = |n: usize| crate::wire::ChannelName::new(&n.to_string()).expect("short");
    let close = SyncMessage::Close((0..7).map(name).collect());
    assert_eq!(close.cost(1_023), 8);
    assert_eq!(close.cost(2_048), 10);
    assert_eq!(SyncMessage::KEEP_ALIVE.cost(9), 1);
}
