use super::*;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const BOUNDS: RangeInclusive<usize> = MIB..=16 * MIB;

/// A way that passes so many bytes a second on, one after the other, and takes so long for the
/// rest: there, and back for the acknowledgement of every so many bytes.
struct Way {
    rate: u64,
    round_trip: Duration,
    acked_every: usize,
}

/// The observations of a sender that always had something to send.
#[derive(Debug)]
struct Seen {
    /// Bytes a second that arrived.
    rate: u64,
    /// From the sending of a frame to its arrival at the other end, the round trip not counted: the
    /// median.
    queued: Duration,
}

impl Way {
    /// Sends all it may for `length`, and tells of the last half of it.
    fn fill(&self, frame: usize, length: Duration) -> Seen {
        let takes =
            |len: usize| Duration::from_nanos((len as u64 * 1_000_000_000).div_ceil(self.rate));
        let (begin, mut in_flight) = (Time::ZERO, InFlight::default());
        let (mut now, mut free, mut next) = (begin, begin, Seq::FIRST);
        // When an acknowledgement comes, and of what.
        let (mut acks, mut unacked) = (VecDeque::new(), 0);
        let (mut bytes, mut queued) = (0, Vec::new());
        while now < begin + length {
            while in_flight.has_room(&BOUNDS) {
                in_flight.sent(next, frame, now);
                free = free.max(now) + takes(frame);
                if begin + length / 2 < now {
                    queued.push(free.saturating_since(now));
                    bytes += frame as u64;
                }
                unacked += frame;
                next = next.next();
                if unacked >= self.acked_every {
                    acks.push_back((free + self.round_trip, next));
                    unacked = 0;
                }
            }
            let (at, lowest) = acks
                .pop_front()
                .expect("a window is longer than what is acknowledged at once");
            now = at;
            in_flight.arrived(lowest, true, now);
        }
        queued.sort_unstable();
        Seen {
            rate: bytes * 2 * 1000 / length.as_millis() as u64,
            queued: queued[queued.len() / 2],
        }
    }
}

/// Bounds for whatever is between two processes on one machine and two ends of the world.
#[test]
fn a_way_is_filled_whatever_its_rate_and_its_length_and_its_queue_stays_short() {
    for rate in [2 * MIB, 20 * MIB, 100 * MIB, 400 * MIB] {
        for millis in [0, 1, 10, 50, 100, 200] {
            let way = Way {
                rate: rate as u64,
                round_trip: Duration::from_millis(millis),
                acked_every: 512 * KIB,
            };
            let seen = way.fill(64 * KIB, Duration::from_secs(120));
            // The window is bounded, so a very long and fast way is filled as far as that goes.
            let most = (*BOUNDS.end() as u64 * 1000 / (millis + 1)).min(way.rate);
            let context = format!("{} MiB/s over {millis} ms: {seen:?}", rate / MIB);
            assert!(seen.rate * 10 >= most * 8, "{context}");
            let least_queue = Duration::from_nanos(MIB as u64 * 1_000_000_000 / way.rate);
            let allowed = way.round_trip / 2 + 5 * SLACK + 2 * least_queue;
            assert!(seen.queued <= allowed, "{context}, allowed {allowed:?}");
        }
    }
}

#[test]
fn a_way_that_got_faster_is_filled_again_soon() {
    let mut in_flight = InFlight::default();
    let (mut now, mut next) = (Time::ZERO, Seq::FIRST);
    let mut windows = Vec::new();
    for round_trip in [200, 2] {
        let round_trip = Duration::from_millis(round_trip);
        let end = now + 3 * PERIOD;
        while now < end {
            while in_flight.has_room(&BOUNDS) {
                in_flight.sent(next, 64 * KIB, now);
                next = next.next();
            }
            now = now + round_trip;
            in_flight.arrived(next, true, now);
        }
        windows.push(in_flight.window(&BOUNDS));
    }
    assert_eq!(
        windows[0],
        *BOUNDS.end(),
        "nothing but the window limits it"
    );
    assert!(windows[1] > MIB, "{windows:?}");
}

#[test]
fn there_is_room_for_one_frame_however_little_is_kept() {
    let bounds = window_bounds(0);
    let mut in_flight = InFlight::default();
    assert!(in_flight.has_room(&bounds));
    in_flight.sent(Seq::FIRST, 300, Time::ZERO);
    assert!(!in_flight.has_room(&bounds));
}

#[test]
fn nothing_is_learnt_while_nobody_is_waited_for() {
    let mut in_flight = InFlight::default();
    for n in 1..100 {
        let (seq, now) = (
            Seq::new(n).expect("not zero"),
            Time::ZERO + Duration::from_millis(n),
        );
        in_flight.sent(seq, 64 * KIB, now);
        assert_eq!(in_flight.arrived(seq.next(), false, now).frames, 1);
        assert_eq!(in_flight.window(&BOUNDS), AT_FIRST);
    }
}

#[test]
fn bytes_in_flight_are_those_sent_less_those_arrived() {
    let mut in_flight = InFlight::default();
    let (now, seq) = (Time::ZERO, |n| Seq::new(n).expect("not zero"));
    for n in [3, 5, 9] {
        assert_eq!(
            in_flight.sent(seq(n), 10, now),
            Load {
                frames: 1,
                bytes: 10
            }
        );
    }
    assert_eq!(
        in_flight.arrived(seq(5), true, now),
        Load {
            frames: 1,
            bytes: 10
        }
    );
    assert_eq!(in_flight.arrived(seq(5), true, now), Load::default());
    assert_eq!(
        in_flight.load(),
        Load {
            frames: 2,
            bytes: 20
        }
    );
    assert_eq!(in_flight.arrived(seq(10), true, now).frames, 2);
    assert_eq!(in_flight.load(), Load::default());
}
