//! Which node to talk to.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use futures::future::join_all;
use meshcast::admin::socket_directories;

use crate::{
    args::Target,
    client::{Client, Standing},
    exit::{Exit, Failure},
    output::Output,
    render,
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
    let Some(wanted) = &target.node else {
        let nodes = answering_as_nodes(live).await;
        let client = first(&nodes, subject).ok_or_else(none)?;
        if nodes.len() > 1 {
            let (name, count) = (client.name(), nodes.len());
            output.note(&format!(
                "at {name}, one of {count} nodes here (choose with --node)"
            ));
        }
        return Ok(client.clone());
    };
    named(&live, wanted).cloned()
}

/// Leaves out what is no node of this user, and what does not answer if another does. One that is
/// alone is asked whatever it is: the answer then says what is wrong with it.
async fn answering_as_nodes(clients: Vec<Client>) -> Vec<Client> {
    if clients.len() < 2 {
        return clients;
    }
    let standings = join_all(clients.iter().map(Client::standing)).await;
    let of = |wanted| {
        let clients = clients.iter().zip(&standings);
        let wanted = clients.filter(move |(_, standing)| **standing == wanted);
        wanted.map(|(client, _)| client.clone()).collect::<Vec<_>>()
    };
    [Standing::Answers, Standing::Silent]
        .map(of)
        .into_iter()
        .find(|nodes| !nodes.is_empty())
        .unwrap_or_default()
}

/// The nodes that run here, by name and then by path.
pub(crate) async fn live() -> Result<Vec<Client>, Failure> {
    Ok(answering(sockets_in(&socket_directories(), NODE)?).await)
}

/// All sockets of nodes there are, those included that nobody listens at.
pub(crate) fn sockets() -> Result<Vec<Client>, Failure> {
    sockets_in(&socket_directories(), NODE)
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
    match &ups().await?[..] {
        [] => Err(Failure::no_node("no `meshcast up` is running here")
            .hint("start one with `meshcast up`")),
        [one] => Ok(one.clone()),
        several => {
            let paths = several
                .iter()
                .map(|client| client.socket().display().to_string());
            let hint = format!(
                "choose one with --socket: {}",
                paths.collect::<Vec<_>>().join(", ")
            );
            Err(Failure::usage("several `meshcast up` are running here").hint(hint))
        }
    }
}

/// All that run here; of several only those of this user.
pub(crate) async fn ups() -> Result<Vec<Client>, Failure> {
    let mut running = answering(sockets_in(&socket_directories(), UP)?).await;
    if running.len() > 1 {
        let ours = join_all(running.iter().map(Client::is_ours)).await;
        let mut ours = ours.into_iter();
        running.retain(|_| ours.next().unwrap_or_default());
    }
    Ok(running)
}

/// What to say when there is none.
pub(crate) fn none() -> Failure {
    Failure::no_node("no node is running here").hint("start some with `meshcast up`")
}

/// The first that is not the one it is about, if there is another.
fn first<'a>(nodes: &'a [Client], subject: Option<&str>) -> Option<&'a Client> {
    let another = nodes.iter().find(|client| Some(client.name()) != subject);
    another.or_else(|| nodes.first())
}

fn named<'a>(live: &'a [Client], wanted: &str) -> Result<&'a Client, Failure> {
    if live.is_empty() {
        return Err(none());
    }
    live.iter()
        .find(|client| client.name() == wanted)
        .ok_or_else(|| {
            let wanted = render::quoted(wanted);
            Failure::no_node(format!("no node named {wanted} is running here"))
                .hint(format!("those here are {}", names(live)))
        })
}

/// All sockets there of that ending, dead ones included, by name and then by path.
fn sockets_in(directories: &[PathBuf], ending: &str) -> Result<Vec<Client>, Failure> {
    let (mut clients, mut closed) = (Vec::new(), None);
    for directory in directories {
        match look_into(directory, ending) {
            Ok(found) => clients.extend(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // It may be somebody else's, who put it there first.
            Err(error) => closed = Some(unreadable(directory, error)),
        }
    }
    if let (true, Some(failure)) = (clients.is_empty(), closed) {
        return Err(failure);
    }
    clients.sort();
    clients.dedup();
    Ok(clients)
}

fn look_into(directory: &Path, ending: &str) -> io::Result<Vec<Client>> {
    let mut clients = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            clients.push(Client::new(path));
        }
    }
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
        let found =
            sockets_in(&[a.path().into(), b.path().into(), missing], NODE).expect("readable");
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
    fn of_several_nodes_the_first_by_name_is_picked() {
        let live = clients(&["fra-1", "iad-1"]);
        assert_eq!(first(&live, None).expect("there are two").name(), "fra-1");
        assert_eq!(named(&live, "iad-1").expect("there").name(), "iad-1");
    }

    #[test]
    fn a_node_is_asked_about_itself_only_if_it_is_alone() {
        let live = clients(&["fra-1", "iad-1"]);
        let chosen = |nodes, subject| first(nodes, Some(subject)).map(Client::name);
        assert_eq!(chosen(&live, "fra-1"), Some("iad-1"));
        assert_eq!(chosen(&live, "iad-1"), Some("fra-1"));
        assert_eq!(chosen(&live[..1], "fra-1"), Some("fra-1"));
        assert_eq!(chosen(&[], "fra-1"), None);
    }

    #[test]
    fn a_name_that_is_not_there_is_answered_with_those_that_are() {
        let live = clients(&["fra-1", "iad-1"]);
        let failure = named(&live, "nrt-1").expect_err("not there");
        assert_eq!(failure.exit, Exit::NoNode);
        assert_eq!(failure.message, "no node named \"nrt-1\" is running here");
        assert_eq!(failure.hint.as_deref(), Some("those here are fra-1, iad-1"));
    }

    #[test]
    fn without_any_the_hint_says_how_to_start_some() {
        let failure = named(&[], "fra-1").expect_err("none");
        assert_eq!(failure.exit, Exit::NoNode);
        assert!(
            failure
                .hint
                .is_some_and(|hint| hint.contains("meshcast up"))
        );
    }

    #[tokio::test]
    async fn what_does_not_answer_as_a_node_is_left_out() {
        let directory = tempfile::tempdir().expect("writable");
        let path = |name: &str| directory.path().join(format!("{name}.sock"));
        let listen = |name: &str| tokio::net::UnixListener::bind(path(name)).expect("free");
        let answers = |name: &str, answer: &'static [u8]| {
            let listener = listen(name);
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    // It takes the question, which would otherwise be a reset.
                    drop(stream.read(&mut [0; 1024]).await);
                    drop(stream.write_all(answer).await);
                }
            });
        };
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let all = || sockets_in(&[directory.path().into()], NODE).expect("readable");
        answers("aaa", b"220 mail\r\n");
        answers("aab", b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!(names(&answering_as_nodes(all()).await), "");
        let _stopped = listen("bbb");
        assert_eq!(names(&answering_as_nodes(all()).await), "bbb");
        let node = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{\"schema\":\"node/v1\"}";
        answers("ccc", node);
        assert_eq!(names(&answering_as_nodes(all()).await), "ccc");
        let busy = b"HTTP/1.1 503 Busy\r\ncontent-length: 43\r\n\r\n{\"error\":{\"code\":\"stopped\",\"message\":\"so\"}}";
        answers("ddd", busy);
        assert_eq!(names(&answering_as_nodes(all()).await), "ccc");
    }

    #[test]
    fn a_directory_that_cannot_be_read_hides_no_others() {
        let (a, b) = (
            tempfile::tempdir().expect("writable"),
            tempfile::tempdir().expect("writable"),
        );
        fs::write(a.path().join("fra-1.sock"), "").expect("writable");
        // Not even root can look into a file.
        let closed = b.path().join("file");
        fs::write(&closed, "").expect("writable");
        let both = [closed.clone(), a.path().into()];
        assert_eq!(
            names(&sockets_in(&both, NODE).expect("one is readable")),
            "fra-1"
        );
        assert!(sockets_in(&[closed], NODE).is_err());
    }
}
