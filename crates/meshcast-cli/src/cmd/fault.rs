//! `meshcast fault`

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use clap_complete::ArgValueCompleter;
use hyper::body::Bytes;

use crate::{
    args::TEMPLATE,
    cmd::completions::live,
    exit::{Exit, Failure},
    faults::{Cut, NodeStatus, PATH, Request, State, Status},
    locate,
    output::Output,
    render::{Palette, Table, UNKNOWN, short, text},
};

/// Break what `meshcast up` runs, and mend it
///
/// Links are cut silently: connections stay up, nothing passes. A place is a node or a region, by
/// name.
#[derive(Debug, ClapArgs)]
#[command(help_template = TEMPLATE, before_help = "Examples:
  meshcast fault partition fra iad,nrt
  meshcast fault heal
  meshcast fault kill iad-1
  meshcast fault restart iad-1")]
pub(crate) struct Fault {
    #[command(subcommand)]
    pub(crate) fault: FaultCommand,
    /// The running `up`, by its socket, if there are several
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum FaultCommand {
    /// Cut all links between groups, both ways; a single group is cut off from all others
    ///
    /// A node in no group still reaches all of them, and hands on messages from one to the other.
    Partition {
        /// Places, separated by commas: fra or fra,iad-1
        #[arg(required = true, value_name = "GROUP", add = ArgValueCompleter::new(live::places))]
        groups: Vec<String>,
    },
    /// Cut the way from one place to another, and leave the way back
    OneWay {
        /// Where nothing gets away from
        #[arg(add = ArgValueCompleter::new(live::places))]
        from: String,
        /// Where it does not get to
        #[arg(add = ArgValueCompleter::new(live::places))]
        to: String,
    },
    /// Mend all links; nodes that are paused or killed stay so
    Heal,
    /// Kill a node: what it has not sent is lost
    Kill {
        /// Its name
        #[arg(add = ArgValueCompleter::new(live::broken))]
        node: String,
        /// As if its machine were gone: nobody is told
        #[arg(long)]
        silent: bool,
    },
    /// Start a killed node again; one that runs is stopped first
    Restart {
        /// Its name
        #[arg(add = ArgValueCompleter::new(live::broken))]
        node: String,
    },
    /// Cut all links of a node: nothing gets to it or from it, while it goes on by itself
    Pause {
        /// Its name
        #[arg(add = ArgValueCompleter::new(live::broken))]
        node: String,
    },
    /// Restore the links of a paused node
    Resume {
        /// Its name
        #[arg(add = ArgValueCompleter::new(live::broken))]
        node: String,
    },
    /// Show how the nodes are and what is cut
    Status,
}

pub(crate) async fn run(args: Fault, output: &Output) -> Result<Exit, Failure> {
    let request = request(args.fault);
    let up = locate::up(args.socket.as_ref()).await?;
    let status: Status = match &request {
        None => up.get(PATH).await?,
        Some(request) => {
            let body = serde_json::to_vec(request).map_err(Failure::failed)?;
            up.post(PATH, Bytes::from(body)).await?
        }
    };
    output.result(&status, || table(&status, output.palette()))?;
    if let (false, Some(Request::Partition { groups })) = (status.around.is_empty(), &request) {
        let around = status.around.join(", ");
        let hint = if groups.len() == 2 {
            let rest = format!("{},{}", groups[1].join(","), status.around.join(","));
            format!(
                " (cut it off with: partition {} {rest})",
                groups[0].join(",")
            )
        } else {
            String::new()
        };
        output.note(&format!(
            "{around} {} {} sides, so messages go around{hint}",
            verb(&status.around, "reaches", "reach"),
            if groups.len() > 2 { "all" } else { "both" }
        ));
    }
    Ok(Exit::Ok)
}

/// `None`: nothing is to be done.
fn request(command: FaultCommand) -> Option<Request> {
    Some(match command {
        FaultCommand::Status => return None,
        FaultCommand::Partition { groups } => {
            let places = |group: &String| group.split(',').map(ToOwned::to_owned).collect();
            Request::Partition {
                groups: groups.iter().map(places).collect(),
            }
        }
        FaultCommand::OneWay { from, to } => Request::OneWay { from, to },
        FaultCommand::Heal => Request::Heal {},
        FaultCommand::Kill { node, silent } => Request::Kill { node, silent },
        FaultCommand::Restart { node } => Request::Restart { node },
        FaultCommand::Pause { node } => Request::Pause { node },
        FaultCommand::Resume { node } => Request::Resume { node },
    })
}

fn table(status: &Status, palette: Palette) -> String {
    let mut table = Table::new(&["NAME", "REGION", "STATE", "PEER ID"]);
    for node in &status.nodes {
        table.row([
            text(&node.name),
            text(&node.region),
            match node.state {
                State::Up => "up",
                State::Paused => "paused",
                State::Down => "down",
            }
            .to_owned(),
            node.peer_id
                .as_deref()
                .map_or_else(|| UNKNOWN.to_owned(), short),
        ]);
    }
    let mut shown = table.render(palette);
    shown.push('\n');
    let out = out(&status.nodes);
    let links = match (out.is_empty(), status.cuts.is_empty()) {
        (true, true) => vec!["All links work.".into()],
        (false, true) => vec!["Nothing is cut between those that run.".into()],
        (_, false) => cuts(&status.cuts),
    };
    for line in out.iter().chain(&links) {
        shown += &format!("{line}\n");
    }
    shown
}

/// The nodes whose links carry nothing, whatever is cut: a line for those that are down, and one
/// for those that are paused.
fn out(nodes: &[NodeStatus]) -> Vec<String> {
    let line = |(state, word): (State, &str)| {
        let those = nodes.iter().filter(|node| node.state == state);
        let names: Vec<_> = those.map(|node| text(&node.name)).collect();
        let list = names.join(", ");
        (!names.is_empty()).then(|| format!("{list} {} {word}.", verb(&names, "is", "are")))
    };
    let states = [(State::Down, "down"), (State::Paused, "paused")];
    states.into_iter().filter_map(line).collect()
}

/// As it goes with one name, or with several.
const fn verb<'a>(names: &[String], one: &'a str, several: &'a str) -> &'a str {
    match names {
        [_] => one,
        _ => several,
    }
}

/// A cut both ways takes one line.
fn cuts(cuts: &[Cut]) -> Vec<String> {
    let is_cut =
        |from: &str, to: &str| cuts.iter().position(|cut| cut.from == from && cut.to == to);
    let line = |(index, Cut { from, to }): (usize, &Cut)| match is_cut(to, from) {
        Some(back) if back < index => None,
        Some(_) => Some(format!(
            "Nothing passes between {} and {}.",
            text(from),
            text(to)
        )),
        None => Some(format!(
            "Nothing passes from {} to {}.",
            text(from),
            text(to)
        )),
    };
    cuts.iter().enumerate().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(from: &str, to: &str) -> Cut {
        Cut {
            from: from.into(),
            to: to.into(),
        }
    }

    #[test]
    fn the_table_says_who_runs_and_what_is_cut() {
        let node = |name: &str, state, peer_id: Option<&str>| NodeStatus {
            name: name.into(),
            region: name[..3].into(),
            state,
            peer_id: peer_id.map(ToOwned::to_owned),
        };
        let mut status = Status {
            schema: "faults/v1".into(),
            nodes: vec![
                node("fra-1", State::Up, Some("12D3KooWAbCdEfGhIjKl")),
                node("iad-1", State::Down, None),
            ],
            cuts: vec![cut("fra", "iad"), cut("iad", "fra"), cut("nrt", "fra")],
            around: Vec::new(),
        };
        assert_eq!(
            table(&status, Palette::PLAIN),
            "NAME   REGION  STATE  PEER ID\n\
             fra-1  fra     up     …EfGhIjKl\n\
             iad-1  iad     down   -\n\
             \n\
             iad-1 is down.\n\
             Nothing passes between fra and iad.\n\
             Nothing passes from nrt to fra.\n"
        );
        status.cuts.clear();
        let ends = |status: &Status, end: &str| {
            let shown = table(status, Palette::PLAIN);
            assert_eq!(shown.split_once("\n\n").map(|(_, end)| end), Some(end));
        };
        ends(
            &status,
            "iad-1 is down.\nNothing is cut between those that run.\n",
        );
        status.nodes.push(node("nrt-1", State::Paused, None));
        status.nodes.push(node("nrt-2", State::Paused, None));
        ends(
            &status,
            "iad-1 is down.\nnrt-1, nrt-2 are paused.\nNothing is cut between those that run.\n",
        );
        status.nodes.truncate(1);
        ends(&status, "All links work.\n");
    }

    #[test]
    fn a_group_is_places_with_commas() {
        let groups = vec!["fra".to_owned(), "iad,nrt-1".to_owned()];
        let Some(Request::Partition { groups }) = request(FaultCommand::Partition { groups })
        else {
            panic!("another request")
        };
        assert_eq!(groups, [vec!["fra"], vec!["iad", "nrt-1"]]);
    }
}
