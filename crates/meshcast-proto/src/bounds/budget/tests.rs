use proptest::prelude::*;

use super::*;

fn member(n: u8) -> Payer {
    Payer::Member([n; 32])
}

/// Each takes entries in turn until nobody gets any more. What each has then.
fn shares(limit: usize, payers: u8) -> Vec<usize> {
    let budget = Budget::new(limit);
    let mut got = true;
    while got {
        got = (0..payers).fold(false, |got, n| budget.try_charge(member(n), 1) | got);
    }
    (0..payers)
        .map(|n| budget.account(member(n)).used())
        .collect()
}

#[test]
fn one_gets_half_and_many_get_the_same_and_leave_room_for_one_more() {
    for (payers, share) in [(1, 500), (2, 333), (3, 250), (9, 100), (99, 10)] {
        // Of which an eighth is for those who have nothing.
        let shares = shares(1_000 * 8 / 7, payers);
        assert!(
            shares.iter().all(|it| it.abs_diff(share) <= 2),
            "{payers}: {shares:?}"
        );
    }
}

#[test]
fn a_newcomer_finds_its_reserve_after_many_that_took_all_they_could() {
    let budget = Budget::new(1_000_000);
    for n in 0..200 {
        while budget.try_charge(member(n), 10) {}
    }
    let reserve = 1_000_000 / 8 / 256;
    assert!(budget.room(member(200)) >= reserve);
    assert!(budget.try_charge(member(200), reserve));
    assert!(!budget.is_over());
}

#[test]
fn who_comes_when_all_is_taken_finds_room() {
    let budget = Budget::new(1_000_000);
    while (0..30).fold(false, |got, n| budget.try_charge(member(n), 100) | got) {}
    let before = budget.room(member(30));
    assert!(before > 1_000_000 / 80, "{before}");
    assert!(budget.try_charge(member(30), before / 2));
    assert!(!budget.is_over());
}

#[test]
fn who_is_refused_is_counted_and_named_until_it_is_forgotten() {
    let budget = Budget::new(100);
    assert!(budget.try_charge(member(1), 40));
    assert!(!budget.try_charge(member(1), 40));
    assert!(budget.is_greedy(member(1)));
    budget.charge(member(2), 5);
    assert!(!budget.is_greedy(member(2)));
    budget.release(member(2), 5);
    let statement = |payer, used, refused| Statement {
        payer,
        used,
        refused,
    };
    assert_eq!(budget.statements(), [statement(member(1), 40, 1)]);
    budget.release(member(1), 40);
    assert_eq!(budget.statements(), [statement(member(1), 0, 1)]);
    for n in 0..=MAX_IDLE {
        let mut key = [0xee; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        budget.charge(Payer::Member(key), 1);
        budget.release(Payer::Member(key), 1);
        budget.charge(Payer::Member(key), usize::from(n % 2 == 0));
    }
    assert_eq!(budget.refused(), 1);
    assert!(
        budget.statements().iter().all(|it| it.payer != member(1))
            || budget.statements().len() < MAX_IDLE
    );
}

fn owner(n: u8) -> Owner {
    Owner {
        name: NodeName::new(&format!("node-{n}")).expect("allowed"),
        region: Region::new("fra").expect("allowed"),
        process: Sender::new([n; 32]),
    }
}

#[test]
fn who_takes_most_and_who_was_refused_is_named_also_after_all_was_given_back() {
    let budget = Budget::new(10_000);
    for n in 1..=30 {
        // By two accounts of one process: what it posts, and what it asks for.
        for payer in [member(n), member(100 + n)] {
            budget.introduce(payer, owner(n).process, || owner(n));
            budget.charge(payer, usize::from(n));
        }
    }
    // It may have no more than half, and gives it back.
    assert!(!budget.try_charge(member(1), 9_000));
    budget.release(member(1), 1);
    budget.release(member(101), 1);
    let shares = budget.shares(3);
    let told = shares
        .iter()
        .map(|share| (share.owner.clone(), share.used, share.refused));
    let expected = [(30, 60, 0), (29, 58, 0), (28, 56, 0), (1, 0, 1)];
    let expected = expected.map(|(n, used, refused)| (Some(owner(n)), used, refused));
    assert_eq!(told.collect::<Vec<_>>(), expected);
    // Another process of the same member.
    budget.introduce(member(30), owner(31).process, || owner(31));
    let first = budget.shares(1).remove(0);
    assert_eq!((first.owner, first.used), (Some(owner(29)), 58));
}

#[test]
fn an_account_of_whom_nobody_was_introduced_is_there_without_a_name() {
    let budget = Budget::new(1_000);
    budget.charge(member(1), 10);
    let share = Share {
        payer: member(1),
        owner: None,
        used: 10,
        refused: 0,
    };
    assert_eq!(budget.shares(10), [share]);
    budget.release(member(1), 10);
    assert_eq!(budget.shares(10), []);
}

#[test]
fn a_charge_that_cannot_be_refused_may_exceed_the_budget_and_nobody_gets_more_meanwhile() {
    let budget = Budget::new(100);
    budget.charge(member(1), 101);
    assert!(budget.is_over());
    assert!(!budget.try_charge(member(2), 1));
    budget.release(member(1), 51);
    assert!(!budget.is_over());
    assert!(budget.try_charge(member(2), 1));
}

proptest! {
    #[test]
    fn the_sum_is_that_of_all_accounts_and_no_more_than_there_is(
        steps in proptest::collection::vec((0..6_u8, 0..200_usize, any::<bool>()), 0..200),
    ) {
        let budget = Budget::new(1_000);
        let mut model = [0_usize; 6];
        for (who, bytes, takes) in steps {
            let own = &mut model[usize::from(who)];
            if takes {
                let before = *own;
                if budget.try_charge(member(who), bytes) {
                    *own += bytes;
                }
                prop_assert!(*own == before || *own <= budget.limit() / 2);
            } else {
                let back = bytes.min(*own);
                budget.release(member(who), back);
                *own -= back;
            }
            prop_assert_eq!(budget.used(), model.iter().sum::<usize>());
            prop_assert!(!budget.is_over());
        }
    }
}
