//! Which nodes there will be, and how far apart.

use std::{collections::HashSet, time::Duration};

use meshcast::Region;
use meshcast_sim::round_trip;

use crate::{
    args::{self, Rtt},
    exit::Failure,
};

/// What there will be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) nodes: Vec<Planned>,
    /// Between regions of which it is known or said.
    pub(super) round_trips: Vec<(Region, Region, Duration)>,
}

/// A node to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) region: Region,
    pub(super) port: u16,
}

pub(super) fn plan(args: &args::Up) -> Result<Plan, Failure> {
    Ok(Plan {
        nodes: nodes(args)?,
        round_trips: round_trips(args)?,
    })
}

fn nodes(args: &args::Up) -> Result<Vec<Planned>, Failure> {
    let mut seen = HashSet::new();
    if let Some(twice) = args
        .regions
        .iter()
        .find(|region| !seen.insert(region.as_str()))
    {
        return Err(Failure::usage(format!("the region {twice} is named twice"))
            .hint("for several nodes in a region there is --nodes-per-region"));
    }
    let count = args.regions.len() * usize::from(args.nodes_per_region);
    if count > MAX_NODES {
        return Err(Failure::usage(format!(
            "{count} nodes are more than the {MAX_NODES} one process may run"
        )));
    }
    let nodes = args
        .regions
        .iter()
        .flat_map(|region| (1..=args.nodes_per_region).map(move |n| (region, n)));
    let planned = nodes.zip(0..).map(|((region, n), nth)| {
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
        Ok(Planned {
            name: format!("{region}-{n}"),
            region: region.clone(),
            port,
        })
    });
    planned.collect()
}

/// What is measured, unless the user says otherwise.
fn round_trips(args: &args::Up) -> Result<Vec<(Region, Region, Duration)>, Failure> {
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
        if let Some(region) = [a, b]
            .into_iter()
            .find(|region| !args.regions.contains(region))
        {
            let regions: Vec<_> = args.regions.iter().map(Region::as_str).collect();
            return Err(Failure::usage(format!(
                "--rtt names {region}, which is none of the regions"
            ))
            .hint(format!("those are {} (see --regions)", regions.join(", "))));
        }
        trips.retain(|(x, y, _)| (x, y) != (a, b) && (x, y) != (b, a));
        trips.push((a.clone(), b.clone(), *takes));
    }
    Ok(trips)
}

/// What a laptop runs without noticing; each takes a port and some descriptors.
const MAX_NODES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn up(
        regions: &[&str],
        nodes_per_region: u16,
        http_base: u16,
    ) -> Result<Vec<(String, u16)>, Failure> {
        let regions = regions
            .iter()
            .map(|region| region.parse().expect("valid"))
            .collect();
        let planned = plan(&args::Up {
            regions,
            nodes_per_region,
            http_base,
            rtt: Vec::new(),
            key_file: None,
        })?;
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
                51,
                8101,
                "51 nodes are more than the 50 one process may run",
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
        let words = ["up", "--regions", regions].into_iter();
        let words = words.chain(rtt.iter().flat_map(|rtt| ["--rtt", rtt]));
        let words = ["meshcast"].into_iter().chain(words);
        let parsed = <args::Args as clap::Parser>::try_parse_from(words).map_err(Failure::usage)?;
        let args::Command::Up(up) = parsed.command else {
            panic!("another command")
        };
        let trips = plan(&up)?.round_trips.into_iter();
        Ok(trips
            .map(|(a, b, takes)| (format!("{a}:{b}"), takes.as_millis()))
            .collect())
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
