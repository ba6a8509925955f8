//! Which nodes there will be.

use std::collections::HashSet;

use meshcast::Region;

use crate::{args, exit::Failure};

/// A node to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) name: String,
    pub(super) region: Region,
    pub(super) port: u16,
}

pub(super) fn plan(args: &args::Up) -> Result<Vec<Planned>, Failure> {
    let mut seen = HashSet::new();
    if let Some(twice) = args.regions.iter().find(|region| !seen.insert(region.as_str())) {
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
            Failure::usage(format!("{count} ports from {} on are too many", args.http_base))
        })?;
        Ok(Planned {
            name: format!("{region}-{n}"),
            region: region.clone(),
            port,
        })
    });
    planned.collect()
}

/// What a laptop runs without noticing; each takes a port and some descriptors.
const MAX_NODES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn up(regions: &[&str], nodes_per_region: u16, http_base: u16) -> Result<Vec<(String, u16)>, Failure> {
        let regions = regions
            .iter()
            .map(|region| region.parse().expect("valid"))
            .collect();
        let planned = plan(&args::Up {
            regions,
            nodes_per_region,
            http_base,
            key_file: None,
        })?;
        Ok(planned
            .into_iter()
            .map(|planned| (planned.name, planned.port))
            .collect())
    }

    #[test]
    fn nodes_are_named_by_region_and_ports_follow_each_other() {
        let all = up(&["fra", "iad"], 2, 9000).expect("a plan");
        let expected = [("fra-1", 9000), ("fra-2", 9001), ("iad-1", 9002), ("iad-2", 9003)];
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
            (&["fra", "fra"][..], 1, 8101, "the region fra is named twice"),
            (
                &["fra"],
                51,
                8101,
                "51 nodes are more than the 50 one process may run",
            ),
            (&["fra", "iad"], 1, 65_535, "2 ports from 65535 on are too many"),
        ] {
            let failure = up(regions, nodes_per_region, http_base).expect_err(message);
            assert_eq!((failure.exit, failure.message.as_str()), (Exit::Usage, message));
        }
        assert!(up(&["fra", "iad"], 1, 65_534).is_ok());
    }
}
