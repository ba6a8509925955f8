use super::*;
use crate::channel::fixture::Source;
use meshcast_proto::SeqRange;

const MOST: usize = History::<()>::MAX_GAPS;

fn gap(of: &Source, first: u64, last: u64, reason: GapReason) -> Gap {
    let seq = |n| Seq::new(n).expect("not 0");
    Gap {
        member: of.member.clone(),
        missed: SeqRange::new(seq(first), seq(last)).expect("in order"),
        reason,
    }
}

/// Of a sender that posts one message that came and one that is missing by turns, beside another.
#[test]
fn of_many_gaps_the_newest_are_told_and_none_claims_what_came() {
    let (one, other) = (Source::new(1), Source::new(2));
    let mut gaps = Gaps::default();
    for n in 1..=MOST as u64 {
        gaps.push(gap(&one, 2 * n, 2 * n, GapReason::TooLarge));
        gaps.push(gap(&other, 2 * n, 2 * n, GapReason::TooLarge));
    }
    assert_eq!((gaps.newest.len(), gaps.left_out), (MOST, MOST as u64));
    for gap in &gaps.newest {
        assert_eq!(gap.missed.first(), gap.missed.last(), "{gap:?}");
        assert_eq!(gap.missed.first().get() % 2, 0, "{gap:?}");
    }
    let newest = gaps.newest.back().expect("some");
    assert_eq!(newest.missed.last().get(), 2 * MOST as u64);
}

#[test]
fn gaps_that_follow_each_other_for_the_same_reason_are_one() {
    let (one, other) = (Source::new(1), Source::new(2));
    let mut gaps = Gaps::default();
    gaps.push(gap(&one, 1, 3, GapReason::Lost));
    gaps.push(gap(&one, 4, 4, GapReason::Lost));
    gaps.push(gap(&one, 5, 6, GapReason::Expired));
    gaps.push(gap(&other, 7, 7, GapReason::Expired));
    let told: Vec<_> = gaps.newest.iter().map(Gap::missed).collect();
    assert_eq!(told, [1..=4, 5..=6, 7..=7]);
    assert_eq!(gaps.left_out, 0);
}
