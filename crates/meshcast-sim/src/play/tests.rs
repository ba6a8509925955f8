use super::*;

fn scenario(faults: &str) -> Scenario {
    let text = format!(
        "name = 'mine'\nnodes = 4\nregions = ['fra', 'syd']\nduration = 10\n\
         [load]\nrate = 50\n{faults}"
    );
    Scenario::from_toml(&text).expect("a scenario")
}

fn texts(deeds: &[Deed]) -> Vec<String> {
    let others = deeds
        .iter()
        .filter(|it| !matches!(it.kind, DeedKind::Post(..)));
    others
        .map(|it| format!("{} {:?}", it.at.as_secs_f64(), it.kind))
        .collect()
}

#[test]
fn deeds_come_in_the_order_of_time_and_the_same_for_the_same_seed() {
    let scenario = scenario(
        "[[fault]]\nkind = 'crash'\nat = 2\nnode = 'fra0'\nrestart = 1\n\
         [[fault]]\nkind = 'join'\nat = 4\nnode = 'syd1'\n\
         [[fault]]\nkind = 'pause'\nat = 5\nfor = 1\nnode = 'syd0'",
    );
    let play = |seed| {
        Play::new(&scenario, seed)
            .expect("playable")
            .collect::<Vec<_>>()
    };
    let deeds = play(1);
    assert!(deeds.is_sorted_by_key(|deed| deed.at));
    assert_eq!(
        texts(&deeds),
        [
            "0 Start(\"fra0\", Now)",
            "0 Start(\"syd0\", Now)",
            "0 Start(\"fra1\", Now)",
            "2 Kill(\"fra0\", Crash)",
            "3 Start(\"fra0\", Now)",
            "4 Start(\"syd1\", Now)",
            "5 Pause(\"syd0\")",
            "6 Resume(\"syd0\")",
            "6 Calm",
        ]
    );
    let posts = deeds
        .iter()
        .filter(|it| matches!(it.kind, DeedKind::Post(..)));
    let posts = posts.count();
    assert!((350..650).contains(&posts), "{posts} of 500");
    assert_eq!(play(1), deeds);
    assert_ne!(play(2), deeds);
}

#[test]
fn what_is_cut_twice_is_mended_when_both_are_over() {
    let scenario = scenario(
        "[[fault]]\nkind = 'one_way'\nat = 1\nfor = 4\nfrom = ['fra0']\nto = ['syd0']\n\
         [[fault]]\nkind = 'partition'\nat = 2\nfor = 1\ngroups = [['fra0'], ['syd0']]",
    );
    let deeds: Vec<_> = Play::new(&scenario, 1).expect("playable").collect();
    let ways = texts(&deeds).into_iter();
    let ways: Vec<_> = ways.filter(|text| text.contains('[')).collect();
    assert_eq!(
        ways,
        [
            "1 Cut([(\"fra0\", \"syd0\")])",
            "2 Cut([(\"syd0\", \"fra0\")])",
            "3 Mend([(\"syd0\", \"fra0\")])",
            "5 Mend([(\"fra0\", \"syd0\")])",
        ]
    );
}

#[test]
fn a_burst_is_posted_one_after_the_other_with_all_else_between() {
    let scenario =
        scenario("[[fault]]\nkind = 'burst'\nat = 3\nnode = 'fra0'\nvalues = 100\nsize = 7000");
    let deeds = Play::new(&scenario, 1).expect("playable");
    let large = deeds.filter_map(|it| match it.kind {
        DeedKind::Post(node, data) if data.len() == 7000 => Some((it.at, node)),
        _ => None,
    });
    let large: Vec<_> = large.collect();
    assert_eq!(large.len(), 100);
    assert!(large.iter().all(|(_, node)| node == "fra0"));
    let last = large.last().expect("some").0;
    assert_eq!(last, Duration::from_secs(3) + 99 * BURST_PAUSE);
}

#[test]
fn readers_and_channels_are_told_what_to_do() {
    let scenario = scenario(
        "[[fault]]\nkind = 'slow'\nat = 1\nfor = 2\nnodes = ['fra']\n\
         [[fault]]\nkind = 'reopen'\nat = 4\nfor = 1\nnode = 'syd0'\nchannel = 'earth'\n\
         since = { last = 5 }\n\
         [[fault]]\nkind = 'look_back'\nat = 6\nnode = 'syd1'\nchannel = 'earth'\n\
         since = { for = 3000000 }",
    );
    let deeds: Vec<_> = Play::new(&scenario, 1).expect("playable").collect();
    assert_eq!(
        texts(&deeds)[4..],
        [
            "1 Read([\"fra0\", \"fra1\"], false)",
            "3 Read([\"fra0\", \"fra1\"], true)",
            "4 Close(\"syd0\")",
            "5 Open(\"syd0\", Last(5))",
            "6 LookBack(\"syd1\", For(3000000))",
            "6 Calm",
        ]
    );
}

#[test]
fn faults_of_virtual_time_are_refused_by_name_and_not_drawn() {
    for (kind, more) in [("mute", "for = 1\nloss = 0.5"), ("clock", "by = 90")] {
        let fault = format!("[[fault]]\nkind = '{kind}'\nat = 1\nnodes = ['fra0']\n{more}");
        let refused = Play::new(&scenario(&fault), 1).expect_err(kind);
        assert_eq!(refused.kind, kind);
    }
    let random = scenario("[random]\nuntil = 300\nevery = 1\nlongest = 5");
    for seed in 0..20 {
        let play = Play::new(&random, seed).expect("playable");
        assert_eq!(play.left_out(), ["mute and clock among random.kinds"]);
    }
}

#[test]
fn what_real_nodes_do_not_have_is_named() {
    let plain = Play::new(&scenario(""), 1).expect("playable");
    assert!(plain.left_out().is_empty(), "{:?}", plain.left_out());
    let text = "name = 'mine'\nnodes = 4\nduration = 10\ntopology = 'chain'\n\
         [memory]\nhistory = 100000\n[network]\nduplicate = 0.1";
    let scenario = Scenario::from_toml(text).expect("a scenario");
    let play = Play::new(&scenario, 1).expect("playable");
    assert_eq!(play.left_out(), ["topology", "memory", "network.duplicate"]);
}
