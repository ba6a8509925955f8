//! Room for connections: how many files the process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::Failure;

/// What something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Need {
    /// Without so many it does not work.
    pub(crate) least: u64,
    /// With so many it works whatever happens.
    pub(crate) most: u64,
}

impl Need {
    /// A node with as many members, strangers at the gate and programs at its socket as there may
    /// be, and what the process has besides.
    pub(crate) const fn of_one_node() -> Self {
        Self {
            least: 64,
            most: 1024,
        }
    }

    /// Nodes of one process that are all connected to each other, with their services: of each
    /// connection it has both ends, and for a moment there may be two, as each dials the other.
    pub(crate) const fn of_nodes(nodes: u64) -> Self {
        let ends = nodes * nodes.saturating_sub(1);
        Self {
            least: ends + ends / 4 + 8 * nodes + 64,
            most: 2 * ends + 64 * nodes + 64,
        }
    }
}

/// Raises the limit of this process, as far as the system lets it and as there is need.
pub(crate) fn make_room(need: Need) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    let Some(raised) = raised(limit, need)? else {
        return Ok(());
    };
    // It may be less than the system says: then what there is may still do.
    match setrlimit(Resource::Nofile, raised) {
        Err(error) if limit.current.is_some_and(|soft| soft < need.least) => {
            Err(Failure::io(
                "raise the number of files it may have open (`ulimit -n`)",
            )(error.into()))
        }
        _ => Ok(()),
    }
}

/// The limit to set, if it is to be changed. `None` inside of one is no limit.
fn raised(limit: Rlimit, need: Need) -> Result<Option<Rlimit>, Failure> {
    let hard = limit.maximum.unwrap_or(u64::MAX);
    if hard < need.least {
        let message = format!(
            "this takes up to {} open files, and the system lets it have {hard}",
            need.least
        );
        return Err(Failure::failed(message).hint(
            "raise the hard limit (`ulimit -Hn`, LimitNOFILE=, --ulimit nofile=), or run fewer nodes",
        ));
    }
    let current = need.most.min(hard);
    let raise = limit.current.is_some_and(|soft| soft < current);
    Ok(raise.then_some(Rlimit {
        current: Some(current),
        maximum: limit.maximum,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soft(current: Option<u64>, maximum: Option<u64>) -> Result<Option<u64>, String> {
        let need = Need {
            least: 2_000,
            most: 5_000,
        };
        let raised =
            raised(Rlimit { current, maximum }, need).map_err(|failure| failure.message)?;
        Ok(raised.and_then(|limit| {
            assert_eq!(limit.maximum, maximum);
            limit.current
        }))
    }

    #[test]
    fn the_soft_limit_is_raised_to_what_is_needed_and_never_lowered() {
        assert_eq!(soft(Some(1_024), Some(1 << 20)), Ok(Some(5_000)));
        assert_eq!(soft(Some(1_024), None), Ok(Some(5_000)));
        assert_eq!(soft(Some(1_024), Some(4_096)), Ok(Some(4_096)));
        assert_eq!(soft(Some(8_192), Some(1 << 20)), Ok(None));
        assert_eq!(soft(None, None), Ok(None));
        assert_eq!(soft(Some(2_000), Some(2_000)), Ok(None));
    }

    #[test]
    fn a_hard_limit_that_is_too_low_is_said_at_the_start() {
        let refused = soft(Some(1_024), Some(1_999)).expect_err("too low");
        assert_eq!(
            refused,
            "this takes up to 2000 open files, and the system lets it have 1999"
        );
    }

    #[test]
    fn the_need_of_fifty_nodes_is_met_by_what_systems_allow() {
        let need = Need::of_nodes(50);
        // A connected mesh of ten was counted: 132.
        assert!(Need::of_nodes(10).least > 132 && Need::of_nodes(10).most > 2 * 132);
        assert!(need.least <= 4_096 && need.most <= 10_240, "{need:?}");
    }
}
