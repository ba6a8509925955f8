//! Which node to talk to.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use futures::future::join_all;
use meshcast::admin::socket_directories;

use crate::{
    args::Target,
    client::Client,
    exit::{Exit, Failure},
    output::Output,
};

/// The node the user means: by path, by name, or the first of those that run here.
pub(crate) async fn pick(target: &Target, output: &Output) -> Result<Client, Failure> {
    pick_to_ask_about(None, target, output).await
}

/// Like [`pick`], but does not choose the node it is about by itself if there is another.
pub(crate) async fn pick_to_ask_about(
    subject: Option<&str>,
    target: &Target,
    output: &Output,
) -> Result<Client, Failure> {
    if let Some(socket) = &target.socket {
        return Ok(Client::new(socket.clone()));
    }
    let live = live().await?;
    let client = choose(&live, target.node.as_deref(), subject)?;
    if target.node.is_none() && live.len() > 1 {
        output.note(&format!(
            "at {}, one of {} nodes here (choose with --node)",
            client.name(),
            live.len()
        ));
    }
    Ok(client.clone())
}

/// The nodes that run here, by name and then by path.
pub(crate) async fn live() -> Result<Vec<Client>, Failure> {
    Ok(answering(sockets_in(&socket_directories(), NODE)?).await)
}

async fn answering(clients: Vec<Client>) -> Vec<Client> {
    let alive = join_all(clients.iter().map(Client::is_alive)).await;
    let clients = clients.into_iter().zip(alive);
    clients
        .filter_map(|(client, alive)| alive.then_some(client))
        .collect()
}

/// The running `meshcast up`: by its socket, or the one there is.
pub(crate) async fn up(socket: Option<&PathBuf>) -> Result<Client, Failure> {
    if let Some(socket) = socket {
        return Ok(Client::new(socket.clone()));
    }
    let running = answering(sockets_in(&socket_directories(), UP)?).await;
    match &running[..] {
        [] => Err(Failure::no_node("no `meshcast up` is running here").hint("start one with `meshcast up`")),
        [one] => Ok(one.clone()),
        several => {
            let paths = several.iter().map(|client| client.socket().display().to_string());
            let hint = format!(
                "choose one with --socket: {}",
                paths.collect::<Vec<_>>().join(", ")
            );
            Err(Failure::usage("several `meshcast up` are running here").hint(hint))
        }
    }
}

/// What to say when there is none.
pub(crate) fn none() -> Failure {
    Failure::no_node("no node is running here").hint("start some with `meshcast up`")
}

fn choose<'a>(
    live: &'a [Client],
    wanted: Option<&str>,
    subject: Option<&str>,
) -> Result<&'a Client, Failure> {
    let Some(first) = live.first() else {
        return Err(none());
    };
    let Some(wanted) = wanted else {
        return Ok(live
            .iter()
            .find(|client| Some(client.name()) != subject)
            .unwrap_or(first));
    };
    live.iter().find(|client| client.name() == wanted).ok_or_else(|| {
        Failure::no_node(format!("no node named {wanted} is running here"))
            .hint(format!("those here are {}", names(live)))
    })
}

/// All sockets there of that ending, dead ones included, by name and then by path.
fn sockets_in(directories: &[PathBuf], ending: &str) -> Result<Vec<Client>, Failure> {
    let mut clients = Vec::new();
    for directory in directories {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(unreadable(directory, error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| unreadable(directory, error))?.path();
            if path.extension().is_some_and(|extension| extension == ending) {
                clients.push(Client::new(path));
            }
        }
    }
    clients.sort();
    clients.dedup();
    Ok(clients)
}

fn unreadable(directory: &Path, error: io::Error) -> Failure {
    let failure = Failure::io(format!("look into {}", directory.display()))(error);
    match failure.exit {
        Exit::NotPermitted => failure.hint("ask as the user that runs the nodes"),
        _ => failure,
    }
}

fn names<'a>(clients: impl IntoIterator<Item = &'a Client>) -> String {
    clients
        .into_iter()
        .map(Client::name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// How the name of a node's socket ends.
const NODE: &str = "sock";
/// How the name of the socket of a `meshcast up` ends.
pub(crate) const UP: &str = "up";

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(names: &[&str]) -> Vec<Client> {
        names
            .iter()
            .map(|name| Client::new(format!("/run/{name}.sock").into()))
            .collect()
    }

    #[test]
    fn sockets_are_found_by_their_ending_and_sorted_by_name() {
        let (a, b) = (
            tempfile::tempdir().expect("writable"),
            tempfile::tempdir().expect("writable"),
        );
        for path in [
            a.path().join("nrt-1.sock"),
            a.path().join("notes.txt"),
            a.path().join("fra-1.up"),
            b.path().join("fra-1.sock"),
        ] {
            fs::write(path, "").expect("writable");
        }
        let missing = a.path().join("missing");
        let found = sockets_in(&[a.path().into(), b.path().into(), missing], NODE).expect("readable");
        assert_eq!(names(&found), "fra-1, nrt-1");
    }

    #[test]
    fn a_directory_named_twice_counts_once() {
        let a = tempfile::tempdir().expect("writable");
        fs::write(a.path().join("fra-1.sock"), "").expect("writable");
        assert_eq!(
            sockets_in(&[a.path().into(), a.path().into()], NODE)
                .expect("readable")
                .len(),
            1
        );
    }

    #[test]
    fn of_several_the_first_is_picked() {
        let live = clients(&["fra-1", "iad-1"]);
        assert_eq!(choose(&live, None, None).expect("there are two").name(), "fra-1");
        assert_eq!(choose(&live, Some("iad-1"), None).expect("there").name(), "iad-1");
    }

    #[test]
    fn a_node_is_asked_about_itself_only_if_it_is_alone_or_chosen() {
        let live = clients(&["fra-1", "iad-1"]);
        assert_eq!(
            choose(&live, None, Some("fra-1")).expect("there are two").name(),
            "iad-1"
        );
        assert_eq!(
            choose(&live[..1], None, Some("fra-1"))
                .expect("there is one")
                .name(),
            "fra-1"
        );
        assert_eq!(
            choose(&live, Some("fra-1"), Some("fra-1")).expect("there").name(),
            "fra-1"
        );
    }

    #[test]
    fn a_name_that_is_not_there_is_answered_with_those_that_are() {
        let live = clients(&["fra-1", "iad-1"]);
        let failure = choose(&live, Some("nrt-1"), None).expect_err("not there");
        assert_eq!(failure.exit, Exit::NoNode);
        assert_eq!(failure.hint.as_deref(), Some("those here are fra-1, iad-1"));
    }

    #[test]
    fn without_any_the_hint_says_how_to_start_some() {
        let failure = choose(&[], None, None).expect_err("none");
        assert_eq!(failure.exit, Exit::NoNode);
        assert!(failure.hint.is_some_and(|hint| hint.contains("meshcast up")));
    }
}
