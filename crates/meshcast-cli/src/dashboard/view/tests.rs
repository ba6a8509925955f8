use std::time::Duration;

use meshcast::admin::schema;

use super::{
    fixture::{broken, id, look_mut, picture, sender},
    *,
};

const FLEET: [&str; 4] = ["fra-1", "fra-2", "iad-1", "nrt-1"];

#[test]
fn links_are_shown_by_pairs_of_regions_whatever_the_size_of_the_fleet() {
    let names: Vec<String> = (0..100).map(|n| format!("r{}-{n}", n % 4)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let view = view(None, &picture(&names));
    assert_eq!((view.members.len(), view.totals.links), (100, 4950));
    assert_eq!(view.links.len(), 10, "4 within, 6 between");
    let between = &view.links[&key("r1", "r0")];
    assert_eq!(
        (between.links, between.half, between.rtt_us),
        (625, 0, Some(90_100))
    );
    assert!(view.members.values().all(|member| member.links == 99));
}

#[test]
fn a_link_that_one_end_alone_knows_is_half_a_link() {
    let mut now = picture(&FLEET);
    look_mut(&mut now, "nrt-1")
        .peers
        .retain(|peer| peer.name != "iad-1");
    let link = &view(None, &now).links[&key("iad", "nrt")];
    assert_eq!((link.links, link.half), (1, 1));
}

#[test]
fn what_is_cut_is_shown_by_direction_and_part() {
    for (cuts, expected) in [
        (&[("fra", "iad"), ("iad", "fra")][..], Some(Cut::Both)),
        (&[("fra", "iad")], Some(Cut::AToB)),
        (&[("iad", "fra")], Some(Cut::BToA)),
        (&[("fra-1", "iad"), ("iad", "fra-1")], Some(Cut::Part)),
        (&[("fra-1", "iad-1"), ("fra-2", "iad-1")], Some(Cut::AToB)),
        (&[("fra", "nrt")], None),
    ] {
        let view = view(None, &broken(&FLEET, cuts));
        assert_eq!(view.links[&key("fra", "iad")].cut, expected, "{cuts:?}");
    }
    assert!(view(None, &broken(&FLEET, &[])).breakable && !view(None, &picture(&FLEET)).breakable);
}

#[test]
fn a_cut_is_shown_also_where_no_link_is_left() {
    let mut now = broken(&["fra-1", "iad-1"], &[("fra", "iad"), ("iad", "fra")]);
    for name in ["fra-1", "iad-1"] {
        look_mut(&mut now, name).peers.clear();
    }
    let link = &view(None, &now).links[&key("fra", "iad")];
    assert_eq!((link.links, link.cut), (0, Some(Cut::Both)));
}

#[test]
fn of_very_many_pairs_of_regions_those_that_are_cut_are_shown_first() {
    let names: Vec<String> = (0..40).map(|n| format!("r{n:02}-1")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let view = view(None, &broken(&names, &[("r38", "r39"), ("r39", "r38")]));
    assert_eq!((view.links.len(), view.totals.left_out), (LINKS, 280));
    assert_eq!(view.totals.links, 780, "all are counted");
    assert_eq!(view.links[&key("r38", "r39")].cut, Some(Cut::Both));
}

#[test]
fn members_elsewhere_are_known_by_their_links() {
    let mut now = picture(&["fra-1", "iad-1", "iad-2"]);
    now.nodes.remove("iad-2");
    let view = view(None, &now);
    let member = &view.members["iad-2"];
    assert_eq!(
        (member.state, member.links, &member.region[..]),
        (State::Elsewhere, 2, "iad")
    );
    assert_eq!((view.totals.members, view.totals.up), (3, 3));
}

#[test]
fn members_that_no_node_here_has_a_link_to_are_shown() {
    let mut now = picture(&["fra-1", "iad-1"]);
    for name in ["fra-1", "iad-1"] {
        look_mut(&mut now, name).unlinked.push(schema::Member {
            name: "gru-1".into(),
            region: "gru".into(),
            peer_id: id("gru-1"),
            last_heard: "1970-01-01T00:00:00.000Z".into(),
            silent: false,
        });
    }
    let view = view(None, &now);
    let member = &view.members["gru-1"];
    assert_eq!((member.state, member.links), (State::Elsewhere, 0));
    assert_eq!((view.totals.members, view.regions["gru"].up), (3, 1));
}

#[test]
fn a_link_to_what_a_node_was_before_its_restart_is_not_shown() {
    let mut now = picture(&["fra-1", "iad-1"]);
    look_mut(&mut now, "iad-1").node.node.peer_id = "another".into();
    look_mut(&mut now, "iad-1").peers.clear();
    let view = view(None, &now);
    assert_eq!((view.totals.links, view.members.len()), (0, 2));
}

#[test]
fn nodes_that_do_not_run_or_answer_say_so() {
    let mut now = broken(&FLEET, &[]);
    let status = now.faults.as_mut().expect("there");
    status.nodes[0].state = faults::State::Down;
    status.nodes[1].state = faults::State::Paused;
    for name in ["fra-1", "iad-1"] {
        now.nodes.get_mut(name).expect("there").look = None;
    }
    let view = view(None, &now);
    let states = view.members.values().map(|member| member.state);
    let expected = [State::Down, State::Paused, State::Silent, State::Up];
    assert_eq!(states.collect::<Vec<_>>(), expected);
    assert_eq!(view.members["fra-1"].region, "fra");
}

#[test]
fn rates_are_over_the_time_between_and_of_the_same_process() {
    let mut before = picture(&FLEET);
    let mut now = picture(&FLEET);
    now.at = before.at + Duration::from_secs(2);
    let posted = |picture: &mut Picture, count: u64| {
        let look = look_mut(picture, "fra-1");
        look.node.counters.insert("posted".into(), count);
        look.channels[0].senders = vec![sender("fra-1", count, Some(count))];
    };
    posted(&mut before, 10);
    posted(&mut now, 25);
    let between = view(Some(&before), &now);
    assert!((between.totals.posted_per_s - 7.5).abs() < 1e-9);
    assert_eq!(between.channels["earth"].posted_per_s, Some(7.5));
    look_mut(&mut now, "fra-1").node.node.peer_id = "another".into();
    let counts = &view(Some(&before), &now).members["fra-1"].counts;
    assert_eq!(counts.as_ref().expect("it answered").posted_per_s, None);
    assert_eq!(
        view(None, &now).channels["earth"].posted_per_s,
        None,
        "unknown, not zero"
    );
}

#[test]
fn what_is_heard_of_a_channel_is_counted_where_it_is_heard() {
    let mut before = picture(&["fra-1", "iad-1", "nrt-1"]);
    let mut now = before.clone();
    now.at = before.at + Duration::from_secs(2);
    let heard = |picture: &mut Picture, name: &str, count: u64| {
        let senders = vec![sender("fra-1", count, Some(count))];
        look_mut(picture, name).channels[0].senders = senders;
    };
    for name in ["fra-1", "iad-1", "nrt-1"] {
        heard(&mut before, name, 10);
    }
    heard(&mut now, "fra-1", 18);
    heard(&mut now, "iad-1", 16);
    heard(&mut now, "nrt-1", 14);
    let earth = &view(Some(&before), &now).channels["earth"];
    let rates = (earth.posted_per_s, earth.delivered_per_s);
    assert_eq!(rates, (Some(4.0), Some(5.0)));
    // Of one that was not there before nobody knows how long it took.
    look_mut(&mut before, "nrt-1").channels.clear();
    let earth = &view(Some(&before), &now).channels["earth"];
    assert_eq!(earth.delivered_per_s, Some(3.0));
}

#[test]
fn what_became_of_a_channel_is_told_of_each_node_and_of_all_together() {
    let mut now = picture(&["fra-1", "iad-1"]);
    for (name, times) in [("fra-1", 1_u64), ("iad-1", 10)] {
        let earth = &mut look_mut(&mut now, name).channels[0];
        (earth.delivered, earth.repaired) = (5 * times, 2 * times);
        (earth.missed, earth.unread, earth.dropped) = (times, 2 * times, 4 * times);
    }
    let tally = |times: u64| Tally {
        delivered: 5 * times,
        repaired: 2 * times,
        missed: 3 * times,
        dropped: 4 * times,
    };
    assert_eq!(view(None, &now).channels["earth"].tally, tally(11));
    let members = detail::channel(&now, "earth").members;
    let each: Vec<_> = members.iter().map(|it| (it.name, it.tally)).collect();
    assert_eq!(each, [("fra-1", tally(1)), ("iad-1", tally(10))]);
    let json = serde_json::to_value(view(None, &now)).expect("plain data");
    assert_eq!(json["channels"]["earth"]["repaired"], 22);
}

#[test]
fn very_many_channels_are_gone_through_once() {
    let names: Vec<String> = (0..10).map(|n| format!("r-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut now = picture(&names);
    for name in &names {
        let look = look_mut(&mut now, name);
        let earth = look.channels[0].clone();
        look.channels = (0..5_000)
            .map(|n| schema::Channel {
                name: format!("room {n}"),
                ..earth.clone()
            })
            .collect();
    }
    let begun = std::time::Instant::now();
    let view = view(Some(&now), &now);
    assert_eq!((view.channels.len(), view.totals.left_out), (200, 4_800));
    assert_eq!(
        detail::member(&now, "r-0").map(|it| it.channels.len()),
        Some(500)
    );
    // Each with each takes minutes.
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_channel_says_how_far_behind_the_last_is() {
    let mut now = picture(&FLEET);
    let senders = vec![sender("fra-1", 9, Some(4)), sender("iad-1", 1, None)];
    look_mut(&mut now, "nrt-1").channels[0].senders = senders;
    let view = view(None, &now);
    let earth = &view.channels["earth"];
    assert_eq!((earth.members, earth.senders, earth.behind), (4, 2, 5));
    assert_eq!((earth.posted, earth.mesh), (10, Some((2, 2))));
}

#[test]
fn what_there_is_no_room_for_is_counted() {
    let names: Vec<String> = (0..MEMBERS + 3).map(|n| format!("r-{n}")).collect();
    let mut now = picture(&["r-0"]);
    let template = look_mut(&mut now, "r-0").clone();
    for name in &names {
        let mut look = template.clone();
        look.node.node.peer_id = id(name);
        now.nodes.entry(name.clone()).or_default().look = Some(look);
    }
    let view = view(None, &now);
    assert_eq!((view.members.len(), view.totals.left_out), (MEMBERS, 3));
}

#[test]
fn nodes_that_were_not_asked_are_counted_unless_others_tell_of_them() {
    let mut now = picture(&["fra-1", "iad-1"]);
    now.nodes.remove("iad-1");
    now.not_asked = vec!["iad-1".into(), "nrt-1".into()];
    let view = self::view(None, &now);
    assert_eq!((view.members.len(), view.totals.left_out), (2, 1));
}

#[test]
fn the_document_names_what_it_is_and_leaves_out_what_is_not_known() {
    let mut now = picture(&["mars-1"]);
    now.nodes.get_mut("mars-1").expect("there").look = None;
    let json = serde_json::to_value(view(None, &now)).expect("plain data");
    assert_eq!(json["schema"], "page/v1");
    let member = json["members"]["mars-1"].as_object().expect("there");
    assert_eq!(
        member.keys().collect::<Vec<_>>(),
        ["links", "region", "state"]
    );
    assert!(
        !json.to_string().contains("null"),
        "a patch could not say it: {json}"
    );
}

#[test]
fn details_name_each_link_once() {
    let now = picture(&FLEET);
    let link = detail::link(&now, "iad", "fra");
    assert_eq!((link.count, link.links.len()), (2, 2));
    let member = detail::member(&now, "fra-1").expect("it answered");
    assert_eq!(member.peers.len(), 3);
    assert_eq!(member.channels[0].mesh, 2);
    assert!(detail::member(&now, "moon-1").is_none());
    let channel = detail::channel(&now, "earth");
    assert_eq!(channel.members.len(), 4);
    assert_eq!(channel.senders[0].name, Some("fra-1"));
    let sends_to = channel.members[0].sends_to.as_deref();
    assert_eq!(sends_to, Some(&["fra-2", "iad-1"][..]));
}

#[test]
fn a_channel_of_another_mesh_is_another_channel() {
    let mut now = picture(&["fra-1", "fra-2", "lax-1"]);
    for name in ["fra-1", "fra-2"] {
        look_mut(&mut now, name).channels[0].subscribers = vec![id("fra-1"), id("fra-2")];
    }
    let other = look_mut(&mut now, "lax-1");
    other.node.node.mesh = "11ee11ee11abcdef".into();
    other.channels[0].subscribers = vec![];
    other.channels[0].senders = vec![sender("lax-1", 5, Some(5))];
    let view = view(None, &now);
    let channels = view.channels.iter();
    let shown: Vec<_> = channels
        .map(|(key, it)| (key.as_str(), it.name.as_deref(), it.members, it.posted))
        .collect();
    let theirs = ("earth …abcdef", Some("earth"), 1, 5);
    assert_eq!(shown, [("earth", None, 2, 7), theirs]);
    let detail = detail::channel(&now, "earth …abcdef");
    assert_eq!(detail.name, "earth");
    let at: Vec<_> = detail.members.iter().map(|it| it.name).collect();
    assert_eq!(at, ["lax-1"]);
    assert!(detail::channel(&now, "moon").members.is_empty());
}

#[test]
fn numbers_as_large_as_they_get_are_shown_and_end_nothing() {
    let mut now = picture(&FLEET);
    for name in FLEET {
        let look = look_mut(&mut now, name);
        for counter in ["missed", "unread", "posted"] {
            look.node.counters.insert(counter.into(), u64::MAX);
        }
        look.channels[0].senders = vec![sender("a", u64::MAX, None), sender("b", 1 << 63, None)];
        (look.channels[0].missed, look.channels[0].unread) = (u64::MAX, u64::MAX);
    }
    let view = view(Some(&picture(&FLEET)), &now);
    let earth = &view.channels["earth"];
    assert_eq!((earth.posted, earth.tally.missed), (u64::MAX, u64::MAX));
    assert_eq!(
        (view.totals.missed, view.totals.posted),
        (u64::MAX, u64::MAX)
    );
}
