//! Which nodes there will be, and how far apart.

use std::{collections::HashSet, time::Duration};

use meshcast::{Region, netem::Shape};
use meshcast_sim::{KNOWN_REGIONS, Play, round_trip};

use super::args::{Loss, OnLinks, Rtt, Up};
use crate::exit::Failure;

/// What there will be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Planned>,
    /// Between regions of which it is known or said.
    pub(super) round_trips: Vec<(Region, Region, Duration)>,
    /// The links that anything is known or said of.
    pub(super) links: Vec<(Region, Region, Shape)>,
    /// Pairs of regions that would be far apart, and nobody says how far.
    pub(super) unknown: Vec<(Region, Region)>,
}

impl Plan {
    /// What to tell whoever named regions of which nothing is known.
    pub(super) fn warning(&self) -> Option<String> {
        let (a, b) = self.unknown.first()?;
        let pairs: Vec<_> = self
            .unknown
            .iter()
            .map(|(a, b)| format!("{a}-{b}"))
            .collect();
        let named = match pairs.len().saturating_sub(NAMED) {
            0 => pairs.join(", "),
            more => format!("{} and {more} more", pairs[..NAMED].join(", ")),
        };
        Some(format!(
            "no round trip is known, so messages pass without delay: {named} (known regions are \
             {}; say others with --rtt {a}:{b}=90ms, or --rtt none for no delay anywhere)",
            KNOWN_REGIONS.join(", ")
        ))
    }
}

/// A node to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) region: Region,
    pub(super) port: u16,
}

/// The value of the command line, or else that of the scenario.
pub(super) fn plan(args: &Up, play: Option<&Play>) -> Result<Plan, Failure> {
    if let Some(play) = play {
        return played(args, play);
    }
    let (nodes, round_trips) = (nodes(args)?, round_trips(args)?);
    Ok(Plan {
        nodes,
        links: links(args, &round_trips)?,
        unknown: unknown(args, &round_trips),
        round_trips,
    })
}

fn played(args: &Up, play: &Play) -> Result<Plan, Failure> {
    let region = |name: &str| Region::new(name).map_err(Failure::usage);
    let named = play
        .nodes()
        .map(|(name, of)| Ok((name, region(of)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let links = play.links().into_iter();
    let links = links
        .map(|(a, b, shape)| Ok((region(a)?, region(b)?, shape)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let trips = links.iter();
    let trips = trips.map(|(a, b, shape)| (a.clone(), b.clone(), 2 * shape.delay));
    Ok(Plan {
        nodes: at_ports(args, named)?,
        round_trips: trips.collect(),
        links,
        unknown: Vec::new(),
    })
}

/// Round trips, loss and bandwidth together. A value without two regions is about links between
/// regions; of two values for the same the last counts, and one with regions before one without.
fn links(
    args: &Up,
    round_trips: &[(Region, Region, Duration)],
) -> Result<Vec<(Region, Region, Shape)>, Failure> {
    let mut links = Vec::new();
    for (i, a) in args.regions.iter().enumerate() {
        for b in &args.regions[i..] {
            let is = |(x, y): &(Region, Region)| (x, y) == (a, b) || (y, x) == (a, b);
            let mut trips = round_trips.iter();
            let trip = trips.find(|(x, y, _)| (x, y) == (a, b) || (y, x) == (a, b));
            let takes = trip.map_or(Duration::ZERO, |(.., takes)| *takes);
            let mut shape = Shape::round_trip(takes);
            if let Some(Loss(part)) = said(&args.loss, is, a != b) {
                shape = shape.loss(*part);
            }
            shape.bandwidth = said(&args.bandwidth, is, a != b).copied();
            if shape != Shape::default() {
                links.push((a.clone(), b.clone(), shape));
            }
        }
    }
    let named = |between: &Option<(Region, Region)>| {
        let both = between.iter().flat_map(|(a, b)| [a.clone(), b.clone()]);
        both.collect::<Vec<_>>()
    };
    let of_loss = args.loss.iter().flat_map(|it| named(&it.between));
    let of_bandwidth = args.bandwidth.iter().flat_map(|it| named(&it.between));
    check_regions(args, "--loss", of_loss)?;
    check_regions(args, "--bandwidth", of_bandwidth)?;
    Ok(links)
}

fn said<T>(all: &[OnLinks<T>], is: impl Fn(&(Region, Region)) -> bool, across: bool) -> Option<&T> {
    let named = all.iter().rfind(|it| it.between.as_ref().is_some_and(&is));
    let any = || all.iter().rfind(|it| it.between.is_none() && across);
    named.or_else(any).map(|it| &it.is)
}

fn check_regions(
    args: &Up,
    option: &str,
    named: impl IntoIterator<Item = Region>,
) -> Result<(), Failure> {
    let mut named = named.into_iter();
    let Some(region) = named.find(|region| !args.regions.contains(region)) else {
        return Ok(());
    };
    let regions: Vec<_> = args.regions.iter().map(Region::as_str).collect();
    Err(Failure::usage(format!(
        "{option} names {region}, which is none of the regions"
    ))
    .hint(format!("those are {} (see --regions)", regions.join(", "))))
}

fn nodes(args: &Up) -> Result<Vec<Planned>, Failure> {
    let mut seen = HashSet::new();
    if let Some(twice) = args
        .regions
        .iter()
        .find(|region| !seen.insert(region.as_str()))
    {
        return Err(Failure::usage(format!("the region {twice} is named twice"))
            .hint("for several nodes in a region there is --nodes-per-region"));
    }
    let nodes = args.regions.iter().flat_map(|region| {
        (1..=args.nodes_per_region).map(move |n| (format!("{region}-{n}"), region.clone()))
    });
    at_ports(args, nodes.collect())
}

/// Each with a port of its service.
fn at_ports(args: &Up, nodes: Vec<(String, Region)>) -> Result<Vec<Planned>, Failure> {
    let count = nodes.len();
    if count > MAX_NODES {
        return Err(Failure::usage(format!(
            "{count} nodes are more than the {MAX_NODES} one process may run"
        )));
    }
    let planned = nodes.into_iter().zip(0..).map(|((name, region), nth)| {
        let port = match args.http_base {
            0 => Some(0),
            base => base.checked_add(nth),
        };
        let port = port.ok_or_else(|| {
            Failure::usage(format!(
                "{count} ports from {} on are too many",
                args.http_base
            ))
        })?;
        Ok(Planned { name, region, port })
    });
    planned.collect()
}

/// The measured value, unless the user gives another.
fn round_trips(args: &Up) -> Result<Vec<(Region, Region, Duration)>, Failure> {
    let mut trips = Vec::new();
    if !args.rtt.contains(&Rtt::None) {
        for (i, a) in args.regions.iter().enumerate() {
            for b in &args.regions[i + 1..] {
                if let Some(takes) = round_trip(a.as_str(), b.as_str()) {
                    trips.push((a.clone(), b.clone(), takes));
                }
            }
        }
    }
    for rtt in &args.rtt {
        let Rtt::Between(a, b, takes) = rtt else {
            continue;
        };
        check_regions(args, "--rtt", [a.clone(), b.clone()])?;
        trips.retain(|(x, y, _)| (x, y) != (a, b) && (x, y) != (b, a));
        trips.push((a.clone(), b.clone(), *takes));
    }
    Ok(trips)
}

/// The pairs of regions without a round trip, unless none is wanted.
fn unknown(args: &Up, round_trips: &[(Region, Region, Duration)]) -> Vec<(Region, Region)> {
    let mut unknown = Vec::new();
    if args.rtt.contains(&Rtt::None) {
        return unknown;
    }
    for (i, a) in args.regions.iter().enumerate() {
        for b in &args.regions[i + 1..] {
            let is = |(x, y, _): &(Region, Region, Duration)| (x, y) == (a, b) || (y, x) == (a, b);
            if !round_trips.iter().any(is) {
                unknown.push((a.clone(), b.clone()));
            }
        }
    }
    unknown
}

/// So many pairs without a round trip are named.
const NAMED: usize = 6;

/// What a laptop runs without noticing; each takes a port and some descriptors.
const MAX_NODES: usize = 100;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::{
        args::{Args, Command},
        cmd::up::args::Page,
        exit::Exit,
    };

    fn up(
        regions: &[&str],
        nodes_per_region: u16,
        http_base: u16,
    ) -> Result<Vec<(String, u16)>, Failure> {
        let regions = regions
            .iter()
            .map(|region| region.parse().expect("valid"))
            .collect();
        let up = Up {
            regions,
            nodes_per_region,
            http_base,
            rtt: Vec::new(),
            loss: Vec::new(),
            bandwidth: Vec::new(),
            scenario: None,
            seed: 1,
            report: None,
            key_file: None,
            page: Page::None,
        };
        let planned = plan(&up, None)?;
        Ok(planned
            .nodes
            .into_iter()
            .map(|planned| (planned.name, planned.port))
            .collect())
    }

    #[test]
    fn nodes_are_named_by_region_and_ports_follow_each_other() {
        let all = up(&["fra", "iad"], 2, 9000).expect("a plan");
        let expected = [
            ("fra-1", 9000),
            ("fra-2", 9001),
            ("iad-1", 9002),
            ("iad-2", 9003),
        ];
        assert_eq!(all, expected.map(|(name, port)| (name.to_owned(), port)));
    }

    #[test]
    fn port_zero_is_left_to_the_system() {
        let all = up(&["fra", "iad"], 1, 0).expect("a plan");
        assert!(all.iter().all(|(_, port)| *port == 0), "{all:?}");
    }

    #[test]
    fn what_cannot_run_is_wrong_usage() {
        for (regions, nodes_per_region, http_base, message) in [
            (
                &["fra", "fra"][..],
                1,
                8101,
                "the region fra is named twice",
            ),
            (
                &["fra"],
                101,
                8101,
                "101 nodes are more than the 100 one process may run",
            ),
            (
                &["fra", "iad"],
                1,
                65_535,
                "2 ports from 65535 on are too many",
            ),
        ] {
            let failure = up(regions, nodes_per_region, http_base).expect_err(message);
            assert_eq!(
                (failure.exit, failure.message.as_str()),
                (Exit::Usage, message)
            );
        }
        assert!(up(&["fra", "iad"], 1, 65_534).is_ok());
    }

    fn trips(regions: &str, rtt: &[&str]) -> Result<Vec<(String, u128)>, Failure> {
        let words = rtt
            .iter()
            .flat_map(|rtt| ["--rtt", rtt])
            .collect::<Vec<_>>();
        let trips = planned(regions, &words)?.round_trips.into_iter();
        Ok(trips
            .map(|(a, b, takes)| (format!("{a}:{b}"), takes.as_millis()))
            .collect())
    }

    fn planned(regions: &str, options: &[&str]) -> Result<Plan, Failure> {
        let command = ["meshcast", "up", "--regions", regions];
        let words = command.iter().chain(options);
        let parsed = <Args as clap::Parser>::try_parse_from(words).map_err(Failure::usage)?;
        let Command::Up(up) = parsed.command else {
            panic!("another command")
        };
        plan(&up, None)
    }

    #[test]
    fn loss_and_bandwidth_are_of_links_between_regions_or_of_those_that_are_named() {
        let options = [
            "--rtt",
            "none",
            "--loss",
            "1%",
            "--loss",
            "iad:fra=2.5%",
            "--bandwidth",
            "1MiB",
            "--bandwidth",
            "nrt:nrt=64KiB",
        ];
        let links = planned("fra,iad,nrt", &options).expect("a plan").links;
        let told = |(a, b, shape): &(Region, Region, Shape)| {
            (
                format!("{a}:{b}"),
                shape.loss_ppm,
                shape.bandwidth.map(NonZeroU64::get),
            )
        };
        let told: Vec<_> = links.iter().map(told).collect();
        let link = |pair: &str, loss, bandwidth| (pair.to_owned(), loss, Some(bandwidth));
        assert_eq!(
            told,
            [
                link("fra:iad", 25_000, 1 << 20),
                link("fra:nrt", 10_000, 1 << 20),
                link("iad:nrt", 10_000, 1 << 20),
                link("nrt:nrt", 0, 64 << 10),
            ]
        );
        assert_eq!(
            planned("fra,moon", &["--rtt", "none"])
                .expect("a plan")
                .links,
            []
        );
    }

    #[test]
    fn loss_and_bandwidth_that_cannot_be_are_wrong_usage() {
        for (option, text) in [
            ("--loss", "1"),
            ("--loss", "31%"),
            ("--loss", "-1%"),
            ("--loss", "fra=1%"),
            ("--loss", "fra:nrt=1%"),
            ("--bandwidth", "0"),
            ("--bandwidth", "1MB"),
            ("--bandwidth", "fra:iad="),
            ("--bandwidth", "99999999999GiB"),
        ] {
            let failure = planned("fra,iad", &[option, text]).expect_err(text);
            assert_eq!(failure.exit, Exit::Usage, "{text}");
        }
    }

    #[test]
    fn a_scenario_says_who_is_there_and_what_links_are_like() {
        let scenario = meshcast_sim::Scenario::from_toml(
            "name = 'mine'\nnodes = 3\nregions = ['fra', 'syd']\nduration = 1\n\
             [network]\nrtt = { 'fra-syd' = 280 }\nloss = 0.01\nbandwidth = 1000000",
        );
        let play = Play::new(&scenario.expect("one"), 1).expect("playable");
        let words = ["meshcast", "up", "--scenario", "mine.toml"];
        let parsed = <Args as clap::Parser>::try_parse_from(words).expect("fine");
        let Command::Up(up) = parsed.command else {
            panic!("another command")
        };
        let plan = plan(&up, Some(&play)).expect("a plan");
        let names: Vec<_> = plan.nodes.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["fra0", "syd0", "fra1"]);
        let across = plan
            .links
            .iter()
            .find(|(a, b, _)| a != b)
            .expect("two regions");
        assert_eq!(across.2.delay, Duration::from_millis(140));
        assert_eq!(
            (across.2.loss_ppm, across.2.bandwidth),
            (10_000, NonZeroU64::new(1_000_000))
        );
        for (option, value) in [("--regions", "fra"), ("--rtt", "none"), ("--loss", "1%")] {
            let words = words.iter().chain([&option, &value]);
            let parsed = <Args as clap::Parser>::try_parse_from(words);
            assert!(parsed.is_err(), "{option}");
        }
    }

    #[test]
    fn round_trips_are_the_measured_ones_unless_told_otherwise() {
        let of = |trips: &[(&str, u128)]| {
            let trips = trips.iter();
            Ok(trips
                .map(|(pair, ms)| ((*pair).to_owned(), *ms))
                .collect::<Vec<_>>())
        };
        let measured = [("fra:iad", 97), ("fra:nrt", 250), ("iad:nrt", 165)];
        assert_eq!(trips("fra,iad,nrt", &[]), of(&measured));
        assert_eq!(trips("fra,iad,nrt", &["none"]), of(&[]));
        assert_eq!(trips("fra,moon", &[]), of(&[]));
        let changed = [("fra:nrt", 250), ("iad:nrt", 165), ("iad:fra", 90)];
        assert_eq!(trips("fra,iad,nrt", &["iad:fra=90ms"]), of(&changed));
        assert_eq!(
            trips("fra,moon", &["none", "fra:moon=0.5s"]),
            of(&[("fra:moon", 500)])
        );
        assert_eq!(
            trips("fra,iad", &["fra:iad=1ms", "fra:fra=2ms", "fra:iad=3ms"]),
            of(&[("fra:fra", 2), ("fra:iad", 3)])
        );
    }

    #[test]
    fn regions_of_which_no_round_trip_is_known_are_named_with_those_that_are() {
        let warning = |regions: &str, rtt: &[&str]| {
            let words = rtt.iter().flat_map(|rtt| ["--rtt", rtt]);
            let words = words.collect::<Vec<_>>();
            planned(regions, &words).expect("a plan").warning()
        };
        let told = warning("fra,mars,nrt", &[]).expect("a warning");
        assert!(
            told.contains("without delay: fra-mars, mars-nrt ("),
            "{told}"
        );
        assert!(told.contains("known regions are ams, cdg, fra,"), "{told}");
        assert!(told.contains("--rtt fra:mars=90ms"), "{told}");
        let many = warning("a,b,c,d,e", &[]).expect("a warning");
        assert!(many.contains("b-c, b-d and 4 more ("), "{many}");
        for fine in [&["none"][..], &["mars:fra=1ms", "mars:nrt=0"]] {
            assert_eq!(warning("fra,mars,nrt", fine), None, "{fine:?}");
        }
        assert_eq!(warning("fra,nrt", &[]), None);
        assert_eq!(warning("mars", &[]), None, "there is no other region");
    }

    #[test]
    fn a_round_trip_that_cannot_be_is_wrong_usage() {
        for rtt in [
            "fra",
            "fra:iad",
            "fra:iad=",
            "fra:iad=x",
            "fra:iad=2s",
            ":=1ms",
            "fra:nrt=1ms",
        ] {
            assert_eq!(trips("fra,iad", &[rtt]).expect_err(rtt).exit, Exit::Usage);
        }
    }
}
