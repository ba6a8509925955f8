use std::collections::{BTreeMap, BTreeSet};

use super::{
    holders::{CLAIM_TRIES, RETRY},
    requests::MAX_GIVEN_UP,
    *,
};
use crate::{
    fixture::{channel, peer},
    wire::{Holding, Opened},
};

mod property;

const LIMITS: FetchLimits = FetchLimits {
    hole_timeout: Duration::from_secs(2),
    retention: Duration::from_secs(60),
};

/// Whose log it is.
const SENDER: usize = 0;

fn who(n: usize) -> Sender {
    peer(n).member.sender()
}

fn at(millis: u64) -> Time {
    Time::from_start(Duration::from_millis(millis))
}

fn seq(n: u64) -> Seq {
    Seq::new(n).expect("not 0")
}

fn range(first: u64, last: u64) -> SeqRange {
    SeqRange::new(seq(first), seq(last)).expect("in order")
}

/// One of somebody who has just been heard.
fn answer(asked: SeqRange, upto: u64, came: Option<SeqRange>, helped: bool, now: Time) -> Answer {
    Answer {
        asked,
        upto: seq(upto),
        came,
        helped,
        declined: false,
        heard: now,
    }
}

/// A log and who is there, with a clock.
struct Scene {
    fetch: Fetch,
    peers: Peers,
    jitter: Jitter,
    name: ChannelName,
    now: Time,
    /// The number of the last request.
    request: u64,
    /// That of the last request to whom.
    requests: BTreeMap<Sender, u64>,
    is_proven: bool,
}

impl Scene {
    /// With these connected, who have not said anything.
    fn new(connected: &[usize]) -> Self {
        let mut peers = Peers::default();
        connected.iter().for_each(|n| peers.add(who(*n), at(0)));
        Self {
            fetch: Fetch::default(),
            peers,
            jitter: Jitter::new(1),
            name: channel(0),
            now: at(0),
            request: 0,
            requests: BTreeMap::new(),
            is_proven: true,
        }
    }

    /// One listens, and told what it has of the channel.
    fn listens(&mut self, n: usize) {
        let opened = Opened {
            channel: self.name.clone(),
            since: Duration::ZERO,
            last: 0,
            opening: self.peers.opening(who(n), &self.name) + 1,
        };
        self.peers.open(who(n), &opened, self.now);
        self.peers.has_answered(who(n), &self.name);
    }

    /// One listens and has these numbers, up to before the second.
    fn has(&mut self, n: usize, oldest: u64, next: u64) {
        self.listens(n);
        let holding = Holding {
            sender: who(SENDER),
            oldest: seq(oldest),
            next: seq(next),
            due: None,
            hops: Holding::FAR,
            lowest: None,
            begin: Seq::FIRST,
        };
        let claim = Claim {
            peer: who(n),
            holding: &holding,
            opening: self.peers.opening(who(n), &self.name),
        };
        self.fetch
            .handle_claim(&claim, &Checkpoints::default(), self.now);
    }

    fn step_of(&mut self, holes: &Holes<'_>) -> Step {
        if let Some(slow) = self.fetch.slow(self.now) {
            self.peers.was_late(slow, self.now);
        }
        let around = Context {
            peers: &self.peers,
            channel: &self.name,
            sender: who(SENDER),
            limits: LIMITS,
            now: self.now,
            is_proven: self.is_proven,
        };
        self.fetch.step(holes, &around, &mut self.jitter)
    }

    /// There is no hole for a moment.
    fn whole(&mut self) {
        let (lowest, known, above) = (None, None, &|| None);
        self.step_of(&Holes {
            lowest,
            known,
            above,
        });
    }

    fn step_known(&mut self, hole: SeqRange, known: Option<Time>) -> Step {
        self.step_of(&Holes {
            lowest: Some(hole),
            known,
            above: &|| None,
        })
    }

    fn step(&mut self, hole: SeqRange) -> Step {
        self.step_known(hole, None)
    }

    /// Waits as it says until there is something to do, and for how long that was.
    fn next(&mut self, hole: SeqRange) -> (Duration, Step) {
        let began = self.now;
        loop {
            match self.step(hole) {
                Step::Wait(until) => {
                    assert!(until > self.now, "busy");
                    self.now = until;
                    self.expire();
                }
                step => return (self.now.saturating_since(began), step),
            }
        }
    }

    /// A peer that has not answered in time has its place back.
    fn expire(&mut self) {
        while let Some(late) = self.fetch.expire(&self.peers, self.now) {
            self.peers.answered(late.peer);
        }
    }

    fn asking(&self) -> Vec<Sender> {
        self.fetch.asking().collect()
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    fn ask(&mut self, hole: SeqRange) -> (Sender, SeqRange) {
        match self.next(hole).1 {
            Step::Ask(peer, seqs) => {
                self.asked(peer, seqs);
                (peer, seqs)
            }
            other => panic!("{other:?}"),
        }
    }

    fn asked(&mut self, peer: Sender, seqs: SeqRange) -> bool {
        self.request += 1;
        self.requests.insert(peer, self.request);
        self.peers.asked(peer, self.is_proven, self.now);
        self.fetch.asked(peer, seqs, self.request, self.now)
    }

    /// Who was asked last answers. What it was asked for.
    fn answered(&mut self) -> (Sender, SeqRange) {
        let peer = *self.asking().last().expect("somebody was asked");
        (peer, self.answers(peer))
    }

    fn answers(&mut self, peer: Sender) -> SeqRange {
        self.peers.answered(peer);
        let request = self.requests[&peer];
        match self.fetch.handle_answer(peer, request, self.now) {
            Some(Answered::Soon(asked) | Answered::InTime(asked)) => asked,
            other => panic!("{other:?}"),
        }
    }

    /// The asked peer answers with these of the numbers.
    fn answer(&mut self, upto: u64, came: Option<SeqRange>) {
        let (peer, asked) = self.answered();
        let helped = came.is_some();
        let answer = answer(asked, upto, came, helped, self.now);
        self.fetch.judge(peer, &answer, self.now);
    }
}

impl Step {
    fn asks(self) -> Option<SeqRange> {
        match self {
            Self::Ask(_, seqs) => Some(seqs),
            _ => None,
        }
    }
}

#[test]
fn other_paths_have_40_to_80_ms_before_anybody_is_asked() {
    let mut pauses = BTreeSet::new();
    for seed in 0..50 {
        let mut scene = Scene::new(&[1]);
        scene.jitter = Jitter::new(seed);
        scene.has(1, 1, 9);
        let (pause, step) = scene.next(range(3, 5));
        assert_eq!(step, Step::Ask(who(1), range(3, 5)));
        assert!(pause >= PATHS_RACE && pause < 2 * PATHS_RACE, "{pause:?}");
        pauses.insert(pause);
    }
    assert!(pauses.len() > 40, "not all at the same moment");
}

#[test]
fn a_hole_that_moves_up_gets_a_pause_of_its_own_unless_it_is_being_filled_by_answers() {
    let mut scene = Scene::new(&[1]);
    scene.has(1, 1, 99);
    scene.now = scene.now + Duration::from_millis(30);
    scene.step(range(3, 5));
    scene.now = scene.now + Duration::from_millis(30);
    // 3 came by gossip.
    let (pause, _) = scene.next(range(4, 5));
    assert!(pause >= PATHS_RACE);
    scene.ask(range(4, 20));
    scene.answer(20, Some(range(4, 9)));
    assert_eq!(scene.step(range(10, 20)), Step::Ask(who(1), range(10, 20)));
}

#[test]
fn a_hole_known_for_long_is_not_left_alone_once_more() {
    let mut scene = Scene::new(&[1]);
    scene.now = at(5_000);
    scene.has(1, 1, 99);
    let step = scene.step_known(range(3, 5), Some(at(4_000)));
    assert_eq!(step, Step::Ask(who(1), range(3, 5)));
}

#[test]
fn one_is_asked_at_a_time_while_it_answers_soon() {
    let mut scene = Scene::new(&[1, 2]);
    scene.has(1, 1, 99);
    scene.has(2, 1, 99);
    scene.ask(range(3, 5));
    let until = scene.now + REQUEST_TIMEOUT;
    assert_eq!(scene.fetch.requests.until(), Some(until));
    let soon = Step::Wait(scene.now + HEDGE);
    assert_eq!(scene.step(range(3, 5)), soon);
    // Also for another hole.
    assert_eq!(scene.step(range(7, 7)), soon);
    scene.pass(249);
    assert_eq!(scene.step(range(3, 5)), soon);
    scene.answer(5, Some(range(3, 5)));
    assert_eq!(scene.fetch.requests.until(), None);
}

#[test]
fn beside_a_slow_request_others_are_asked_for_one_number_each() {
    let mut scene = Scene::new(&[1, 2, 3]);
    (1..4).for_each(|n| scene.has(n, 1, 99));
    let (slow, _) = scene.ask(range(3, 9));
    let until = scene.now + REQUEST_TIMEOUT;
    for _ in 0..2 {
        let (waited, step) = scene.next(range(3, 9));
        let Step::Ask(quick, seqs) = step else {
            panic!("{step:?}");
        };
        assert_eq!((waited, seqs), (HEDGE, range(3, 3)));
        assert!(!scene.asking().contains(&quick));
        assert!(scene.asked(quick, seqs), "it is a hedge");
    }
    scene.pass(500);
    assert_eq!(scene.step(range(3, 9)), Step::Wait(until), "nobody is left");
    // The last is asked for the rest, while the others may answer yet.
    let last = scene.asking()[2];
    scene.answer(3, Some(range(3, 3)));
    assert_eq!(scene.step(range(4, 9)), Step::Ask(last, range(4, 9)));
    assert_eq!(scene.asking().len(), 2);
    assert_eq!(scene.answers(slow), range(3, 9));
}

/// There may be nothing at all.
#[test]
fn beside_a_request_for_a_reported_log_nobody_is_asked() {
    let mut scene = Scene::new(&[1, 2]);
    scene.is_proven = false;
    scene.has(1, 1, 99);
    scene.has(2, 1, 99);
    let (first, _) = scene.ask(range(3, 5));
    let (waited, step) = scene.next(range(3, 5));
    assert_eq!(waited, REQUEST_TIMEOUT);
    assert!(step.asks().is_some());
    assert_ne!(step, Step::Ask(first, range(3, 5)));
}

/// If paths are long for all, a second copy is of no use.
#[test]
fn who_was_late_itself_is_not_asked_beside_another() {
    let mut scene = Scene::new(&[1, 2]);
    scene.has(1, 1, 99);
    scene.has(2, 1, 99);
    scene.peers.was_late(who(2), scene.now);
    assert_eq!(scene.ask(range(3, 5)).0, who(1));
    let (waited, step) = scene.next(range(3, 5));
    assert_eq!(
        (waited, step),
        (REQUEST_TIMEOUT, Step::Ask(who(2), range(3, 5)))
    );
}

#[test]
fn who_was_late_is_asked_after_one_that_was_not_and_before_one_that_gave_nothing() {
    for seed in 0..10 {
        let mut scene = Scene::new(&[1, 2]);
        scene.jitter = Jitter::new(seed);
        scene.has(2, 1, 99);
        scene.ask(range(3, 9));
        let (peer, asked) = scene.answered();
        // It gives what there is no room for.
        let given = answer(asked, 9, Some(range(3, 9)), false, scene.now);
        scene.fetch.judge(peer, &given, scene.now);
        scene.has(1, 1, 99);
        scene.pass(1_000);
        scene.peers.was_late(who(1), scene.now);
        assert_eq!(scene.ask(range(3, 5)).0, who(1), "{seed}");

        let mut scene = Scene::new(&[1, 2]);
        scene.jitter = Jitter::new(seed);
        (1..3).for_each(|n| scene.has(n, 1, 99));
        scene.peers.was_late(who(1), scene.now);
        // Also if that one has enough to do.
        (0..3).for_each(|_| scene.peers.asked(who(2), true, scene.now));
        scene.step(range(3, 5));
        scene.pass(100);
        let step = scene.step(range(3, 5));
        assert_eq!(step, Step::Ask(who(2), range(3, 5)), "{seed}");
    }
}

/// The last place is for what it alone has.
#[test]
fn a_peer_with_one_place_for_requests_left_is_not_asked_beside_another() {
    let mut scene = Scene::new(&[1, 2]);
    scene.has(1, 1, 99);
    scene.ask(range(3, 5));
    scene.has(2, 1, 99);
    (0..2).for_each(|_| scene.peers.asked(who(2), true, scene.now));
    scene.pass(250);
    assert_eq!(scene.step(range(3, 5)), Step::Wait(scene.now + HEDGE));
    scene.peers.answered(who(2));
    assert_eq!(scene.step(range(3, 5)), Step::Ask(who(2), range(3, 3)));
}

#[test]
fn nothing_is_given_up_while_somebody_is_asked() {
    let mut scene = Scene::new(&[SENDER, 1]);
    scene.has(1, 1, 99);
    scene.ask(range(3, 5));
    let until = scene.now + REQUEST_TIMEOUT;
    // Its sender has gone past it meanwhile, and the peer keeps it no more.
    scene.has(SENDER, 6, 9);
    scene.has(1, 6, 9);
    scene.pass(2_500);
    assert_eq!(scene.step(range(3, 5)), Step::Wait(until));
    scene.answer(5, None);
    assert_eq!(scene.next(range(3, 5)).1, Step::GiveUp(range(3, 5)));
}

#[test]
fn whoever_has_the_lowest_numbers_is_asked_for_what_it_has() {
    let mut scene = Scene::new(&[1, 2, 3]);
    scene.has(1, 5, 30);
    scene.has(2, 1, 6);
    scene.has(3, 20, 20);
    assert_eq!(scene.ask(range(3, 40)), (who(2), range(3, 5)));
    scene.answer(5, Some(range(3, 5)));
    assert_eq!(scene.ask(range(6, 40)), (who(1), range(6, 29)));
}

#[test]
fn equals_are_asked_by_chance() {
    let mut asked = BTreeSet::new();
    for seed in 0..30 {
        let mut scene = Scene::new(&[1, 2, 3]);
        scene.jitter = Jitter::new(seed);
        (1..4).for_each(|n| scene.has(n, 1, 99));
        asked.insert(scene.ask(range(3, 5)).0);
    }
    assert_eq!(asked.len(), 3);
}

#[test]
fn a_peer_with_all_its_requests_under_way_is_asked_last() {
    for seed in 0..10 {
        let mut scene = Scene::new(&[1, 2]);
        scene.jitter = Jitter::new(seed);
        scene.has(1, 1, 99);
        scene.has(2, 1, 99);
        while scene.peers.may_ask(who(1), true) {
            scene.peers.asked(who(1), true, scene.now);
        }
        assert_eq!(scene.ask(range(3, 5)).0, who(2));
    }
}

#[test]
fn a_silent_peer_is_asked_again_later_and_later() {
    let mut scene = Scene::new(&[1]);
    scene.has(1, 1, 99);
    scene.ask(range(3, 5));
    for failures in 1..=CLAIM_TRIES {
        let began = scene.now;
        scene.ask(range(3, 5));
        let pause = scene.now.saturating_since(began);
        assert_eq!(pause, REQUEST_TIMEOUT + RETRY * 2u32.pow(failures.min(6)));
    }
    assert_eq!(
        scene.next(range(3, 5)).1,
        Step::GiveUp(range(3, 5)),
        "at last"
    );
}

#[test]
fn after_a_quarter_second_another_is_asked() {
    let mut scene = Scene::new(&[1, 2]);
    scene.has(1, 1, 99);
    scene.has(2, 1, 99);
    let (first, _) = scene.ask(range(3, 5));
    let began = scene.now;
    let (second, _) = scene.ask(range(3, 5));
    assert_ne!(first, second);
    assert_eq!(scene.now.saturating_since(began), HEDGE);
    scene.pass(2_750);
    scene.expire();
    assert_eq!(scene.asking(), [second]);
    // Which failed less is preferred from then on.
    scene.answer(3, Some(range(3, 3)));
    scene.now = scene.now + Duration::from_secs(60);
    assert_eq!(scene.ask(range(4, 5)).0, second);
}

#[test]
fn a_peer_does_not_have_the_numbers_that_its_answer_left_out() {
    let mut scene = Scene::new(&[1]);
    scene.has(1, 1, 99);
    scene.ask(range(3, 9));
    // It has 6 and 7 only, and has not looked above 7.
    scene.answer(7, Some(range(6, 7)));
    assert_eq!(scene.next(range(3, 5)).1, Step::GiveUp(range(3, 5)));
    assert_eq!(scene.ask(range(8, 9)), (who(1), range(8, 9)));
}

#[test]
fn a_peer_that_denies_the_lowest_number_is_asked_for_the_rest() {
    let mut scene = Scene::new(&[1, 2]);
    scene.listens(2);
    scene.has(1, 1, 99);
    scene.ask(range(3, 9));
    scene.answer(5, None);
    let began = scene.now;
    assert_eq!(scene.ask(range(3, 9)), (who(1), range(6, 9)));
    assert_eq!(scene.now.saturating_since(began), RETRY);
    scene.answer(9, None);
    // Now it lacks all, and 2 may still come to have it.
    match scene.next(range(3, 9)) {
        (_, Step::GiveUp(lost)) => assert_eq!(lost, range(3, 9)),
        other => panic!("{other:?}"),
    }
    assert!(scene.now >= at(60_000));
}

#[test]
fn a_peer_whose_frames_find_no_room_is_not_asked_again_at_once() {
    let mut scene = Scene::new(&[1]);
    scene.has(1, 1, 99);
    scene.ask(range(3, 9));
    let (peer, asked) = scene.answered();
    let came = Some(range(3, 9));
    let answer = answer(asked, 9, came, false, scene.now);
    scene.fetch.judge(peer, &answer, scene.now);
    let began = scene.now;
    scene.ask(range(3, 9));
    assert_eq!(scene.now.saturating_since(began), 2 * RETRY);
}

#[test]
fn who_was_not_asked_has_no_answer() {
    let mut scene = Scene::new(&[1, 2]);
    scene.has(1, 1, 99);
    let now = scene.now;
    assert_eq!(scene.fetch.handle_answer(who(1), 0, now), None);
    scene.ask(range(3, 9));
    for (peer, request) in [(2, 1), (1, 0), (1, 2)] {
        assert!(!scene.fetch.awaits(who(peer), request));
        let answered = scene.fetch.handle_answer(who(peer), request, scene.now);
        assert_eq!(answered, None);
    }
    assert_eq!(scene.asking(), [who(1)]);
    assert!(scene.fetch.awaits(who(1), 1));
    let answered = Some(Answered::Soon(range(3, 9)));
    assert_eq!(scene.fetch.handle_answer(who(1), 1, scene.now), answered);
    assert_eq!(scene.fetch.handle_answer(who(1), 1, scene.now), None);
}

#[test]
fn when_who_was_asked_goes_the_next_is_asked() {
    let mut scene = Scene::new(&[1, 2]);
    scene.has(1, 1, 99);
    let (first, _) = scene.ask(range(3, 9));
    scene.has(2, 1, 99);
    assert!(!scene.fetch.handle_gone(who(2)), "it was not being asked");
    scene.has(2, 1, 99);
    assert!(scene.fetch.handle_gone(first));
    assert_eq!(scene.step(range(3, 9)), Step::Ask(who(2), range(3, 9)));
}

#[test]
fn numbers_that_their_sender_does_not_keep_are_given_up_after_the_short_time() {
    let mut scene = Scene::new(&[SENDER, 1]);
    // One that has not said anything does not count beside the sender.
    scene.has(SENDER, 6, 9);
    let (waited, step) = scene.next(range(3, 5));
    assert_eq!(
        (waited, step),
        (LIMITS.hole_timeout, Step::GiveUp(range(3, 5)))
    );
}

#[test]
fn only_what_nobody_covers_is_given_up() {
    let mut scene = Scene::new(&[SENDER, 1]);
    scene.has(SENDER, 9, 12);
    scene.has(1, 6, 8);
    assert_eq!(scene.ask(range(3, 8)), (who(1), range(6, 7)));
    scene.answer(7, Some(range(6, 7)));
    // They wait above the hole then.
    let (_, step) = scene.next(range(3, 5));
    assert_eq!(step, Step::GiveUp(range(3, 5)));
    assert_eq!(scene.now, at(2_000));
}

#[test]
fn what_a_sender_has_not_posted_is_not_lost() {
    let mut scene = Scene::new(&[SENDER]);
    scene.has(SENDER, 5, 5);
    let (waited, step) = scene.next(range(3, 9));
    assert_eq!(
        (waited, step),
        (LIMITS.hole_timeout, Step::GiveUp(range(3, 4)))
    );
    let (waited, _) = scene.next(range(5, 9));
    assert_eq!(waited, LIMITS.retention);
}

#[test]
fn without_the_sender_all_who_listen_must_have_gone_past() {
    let mut scene = Scene::new(&[1, 2, 3]);
    scene.has(1, 9, 12);
    scene.has(2, 7, 10);
    // One that has told and does not listen.
    scene.peers.has_answered(who(3), &channel(0));
    let (waited, step) = scene.next(range(3, 5));
    assert_eq!(
        (waited, step),
        (LIMITS.hole_timeout, Step::GiveUp(range(3, 5)))
    );
}

#[test]
fn only_as_far_as_all_have_gone_past_it_is_given_up_early() {
    let mut scene = Scene::new(&[1, 2]);
    scene.has(1, 20, 20);
    scene.has(2, 5, 5);
    let (waited, step) = scene.next(range(3, 9));
    assert_eq!(
        (waited, step),
        (LIMITS.hole_timeout, Step::GiveUp(range(3, 4)))
    );
    let (waited, step) = scene.next(range(5, 9));
    assert_eq!(
        (waited, step),
        (LIMITS.retention, Step::GiveUp(range(5, 9)))
    );
}

#[test]
fn a_hole_is_not_given_up_while_a_listener_has_the_same_hole() {
    let mut scene = Scene::new(&[1, 2]);
    scene.has(1, 9, 12);
    scene.has(2, 1, 3);
    let (waited, step) = scene.next(range(3, 5));
    assert_eq!(
        (waited, step),
        (LIMITS.retention, Step::GiveUp(range(3, 5)))
    );
}

#[test]
fn a_hole_is_not_given_up_while_a_peer_has_not_told_what_it_has() {
    let mut scene = Scene::new(&[1, 2]);
    scene.has(1, 9, 12);
    for _ in 0..20 {
        let Step::Wait(until) = scene.step(range(3, 5)) else {
            panic!("2 may have it");
        };
        scene.now = until;
    }
    assert!(scene.now > at(5_000));
    // It does not listen: looked at again within half a second.
    scene.peers.has_answered(who(2), &channel(0));
    assert_eq!(scene.step(range(3, 5)), Step::GiveUp(range(3, 5)));
}

/// Its word on this channel counts, and so does that it said nothing of this log.
#[test]
fn a_peer_whose_report_on_another_channel_found_no_room_is_waited_for_on_this_one() {
    for on in [0, 1].map(channel) {
        let mut scene = Scene::new(&[1, 2]);
        scene.has(1, 9, 12);
        scene.listens(2);
        scene.peers.has_answered(who(2), &on);
        scene.peers.note(who(2), &on, false);
        // A message on a third channel takes nothing back.
        scene.peers.tell_all(&channel(2), at(0));
        scene.peers.note(who(2), &channel(2), true);
        let (waited, step) = scene.next(range(3, 5));
        assert_eq!(step, Step::GiveUp(range(3, 5)));
        if on == scene.name {
            assert!(waited < Duration::from_secs(20), "{waited:?}");
        } else {
            assert_eq!(waited, LIMITS.retention);
        }
    }
}

#[test]
fn with_nobody_there_a_hole_waits_as_long_as_history_is_kept() {
    let mut scene = Scene::new(&[]);
    let (waited, step) = scene.next(range(3, 5));
    assert_eq!(
        (waited, step),
        (LIMITS.retention, Step::GiveUp(range(3, 5)))
    );
}

#[test]
fn somebody_who_comes_with_it_is_asked_soon() {
    let mut scene = Scene::new(&[]);
    for _ in 0..10 {
        let Step::Wait(until) = scene.step(range(3, 5)) else {
            panic!("nobody is there");
        };
        assert!(until <= scene.now + LOOK_AGAIN);
        scene.now = until;
    }
    scene.peers.add(who(1), scene.now);
    scene.has(1, 1, 9);
    assert_eq!(scene.step(range(3, 5)), Step::Ask(who(1), range(3, 5)));
}

#[test]
fn a_peer_that_is_to_be_told_anew_is_still_asked() {
    let mut scene = Scene::new(&[1]);
    let knows = |scene: &Scene, opening| scene.fetch.holders().knows(who(1), opening);
    assert!(!knows(&scene, 1));
    scene.has(1, 1, 9);
    assert!(knows(&scene, 1));
    assert!(!knows(&scene, 2));
    assert_eq!(scene.ask(range(3, 5)).0, who(1));
    scene.has(1, 1, 9);
    assert!(knows(&scene, 2));
}

/// The hole was there long before.
#[test]
fn a_peer_that_just_came_is_waited_for_until_it_tells_what_it_has() {
    for comes in [SENDER, 1] {
        let mut scene = Scene::new(&[]);
        assert!(matches!(scene.step(range(3, 5)), Step::Wait(_)));
        scene.now = at(30_000);
        scene.peers.add(who(comes), scene.now);
        while scene.now < at(39_000) {
            let Step::Wait(until) = scene.step(range(3, 5)) else {
                panic!("{comes} has not told");
            };
            scene.now = until;
        }
        scene.has(comes, 1, 9);
        assert_eq!(scene.ask(range(3, 5)).0, who(comes));
    }
}

#[test]
fn a_peer_that_went_past_and_waits_again_keeps_a_hole_open() {
    let mut scene = Scene::new(&[1]);
    scene.has(1, 9, 12);
    scene.now = at(1_900);
    assert!(matches!(scene.step(range(3, 5)), Step::Wait(_)));
    scene.has(1, 3, 3);
    let (_, step) = scene.next(range(3, 5));
    assert_eq!(
        (scene.now, step),
        (at(1_900) + LIMITS.retention, Step::GiveUp(range(3, 5)))
    );
}

#[test]
fn a_late_answer_is_taken_once_and_denies_nothing() {
    let mut scene = Scene::new(&[1]);
    scene.has(1, 1, 99);
    // One took too long; another was asked of a link that broke.
    scene.ask(range(3, 4));
    scene.now = scene.now + REQUEST_TIMEOUT;
    let late = scene.fetch.expire(&scene.peers, scene.now);
    let expired = Expired {
        peer: who(1),
        is_false_claim: false,
    };
    assert_eq!(late, Some(expired));
    scene.peers.answered(who(1));
    scene.ask(range(3, 4));
    assert!(scene.fetch.handle_gone(who(1)));
    scene.has(1, 1, 99);
    scene.ask(range(3, 4));
    for late in [1, 2] {
        assert!(!scene.fetch.awaits(who(2), late));
        let now = scene.now;
        assert_eq!(scene.fetch.handle_answer(who(2), late, now), None);
        assert_eq!(
            scene.fetch.handle_answer(who(1), late, now),
            Some(Answered::Late),
            "{late}"
        );
        let again = scene.fetch.handle_answer(who(1), late, now);
        assert_eq!(again, None, "{late}");
        assert_eq!(scene.asking(), [who(1)]);
    }
    scene.answer(4, Some(range(3, 4)));
    assert_eq!(scene.ask(range(5, 6)), (who(1), range(5, 6)));
}

#[test]
fn only_so_many_late_answers_are_waited_for() {
    let mut scene = Scene::new(&[1]);
    scene.has(1, 1, 99);
    let requests = MAX_GIVEN_UP as u64 + 1;
    for request in 1..=requests {
        scene.fetch.asked(who(1), range(3, 4), request, scene.now);
        scene.now = scene.now + REQUEST_TIMEOUT;
        scene.fetch.expire(&scene.peers, scene.now);
    }
    let awaited: Vec<u64> = (1..=requests)
        .filter(|request| scene.fetch.awaits(who(1), *request))
        .collect();
    assert_eq!(awaited, (2..=requests).collect::<Vec<_>>());
}

/// Its session may be cut off although its gossip comes through.
#[test]
fn a_sender_that_is_connected_but_never_tells_takes_no_hope_away() {
    let mut scene = Scene::new(&[SENDER, 1]);
    // The peer has the same hole.
    scene.has(1, 1, 3);
    while scene.now < at(59_000) {
        let Step::Wait(until) = scene.step(range(3, 5)) else {
            panic!("given up at {:?}", scene.now);
        };
        scene.now = until;
    }
}

#[test]
fn frames_above_a_hole_that_nobody_has_are_fetched_meanwhile() {
    let mut scene = Scene::new(&[SENDER, 1]);
    scene.has(SENDER, 40, 60);
    let lowest = range(1, 39);
    let above = |scene: &mut Scene, hole| {
        let step = scene.step_of(&Holes {
            lowest: Some(lowest),
            known: None,
            above: &|| Some((hole, at(0))),
        });
        match step {
            Step::Ask(peer, seqs) => Some((peer, seqs)),
            _ => None,
        }
    };
    // Other paths have their time first.
    let Step::Wait(raced) = scene.step(lowest) else {
        panic!("at once")
    };
    assert_eq!(above(&mut scene, range(45, 50)), None);
    scene.now = raced.max(at(80));
    assert!(matches!(scene.step(lowest), Step::Wait(_)));
    let asked = (who(SENDER), range(45, 50));
    assert_eq!(above(&mut scene, range(45, 50)), Some(asked));
    assert_eq!(above(&mut scene, range(60, 70)), None, "nobody has these");
    // One request at a time.
    scene.asked(asked.0, asked.1);
    assert_eq!(above(&mut scene, range(52, 53)), None);
    scene.answer(59, Some(range(45, 50)));
    // And none of it while somebody has the lowest.
    scene.has(1, 10, 60);
    assert_eq!(
        above(&mut scene, range(52, 53)),
        Some((who(1), range(10, 39)))
    );
}
