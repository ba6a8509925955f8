//! Nodes of one user on one machine that find each other with nothing said.
//!
//! The directories of the admin sockets are where they meet: in the first is the key that they
//! share, and each node is asked at its socket where it listens. Nobody else gets into such a
//! directory, and what is not this user's is left alone. A seed of its own form stands for all of
//! them, so that the dialer looks again and again as it does with a DNS name.

use std::{
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use libp2p::Multiaddr;
use tokio::{net::UnixStream, time::timeout};

use crate::{
    address::is_loopback,
    admin::{directory, schema::NodeReport, socket_directories},
    error::{AdminError, SpawnError},
    key::{MeshKey, file as key_file},
};

/// The key of the nodes of this user on this machine. Made if there is none yet: of several that
/// start at once, one makes it, and all have it.
pub(crate) async fn key() -> Result<MeshKey, SpawnError> {
    key_in(&socket_directories()).await
}

async fn key_in(directories: &[PathBuf]) -> Result<MeshKey, SpawnError> {
    // Also one that was made where another session looks first.
    let is_there = |path: &PathBuf| fs::symlink_metadata(path).is_ok();
    let ours = directories.iter().filter(|it| directory::is_private(it));
    if let Some(path) = ours.map(|it| it.join(KEY)).find(is_there) {
        return read(&path);
    }
    let first = directories
        .first()
        .map_or_else(|| Path::new("."), PathBuf::as_path);
    directory::make_private(first)?;
    let path = first.join(KEY);
    let locked = directory::lock(first).await?;
    if !is_there(&path) {
        make(&path).map_err(|source| AdminError::Io {
            doing: "make",
            path: path.clone(),
            source,
        })?;
    }
    drop(locked);
    read(&path)
}

fn read(path: &Path) -> Result<MeshKey, SpawnError> {
    let text = key_file::read(path)?;
    text.parse().map_err(|reason| SpawnError::Key {
        origin: format!("key file {}", path.display()),
        reason,
    })
}

/// A reader finds all of it or nothing.
fn make(path: &Path) -> std::io::Result<()> {
    let key = MeshKey::random()?;
    let new = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&new)?;
    file.write_all(key.to_secret_text().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&new, path)
}

/// Where the nodes of a mesh listen that run here: one address of each, `own` among them.
pub(crate) async fn nodes(own: Vec<Multiaddr>, mesh: String) -> Vec<Multiaddr> {
    nodes_in(&socket_directories(), own, &mesh).await
}

async fn nodes_in(directories: &[PathBuf], own: Vec<Multiaddr>, mesh: &str) -> Vec<Multiaddr> {
    let ours = directories.iter().filter(|it| directory::is_private(it));
    let sockets = ours.flat_map(|it| sockets_in(it)).take(MOST);
    let asked = join_all(sockets.map(|socket| async move {
        // A node that is gone, or does not answer, is not there.
        timeout(ANSWER_TIME, ask(&socket)).await.ok().flatten()
    }));
    let of_mesh = asked.await.into_iter().flatten();
    let of_mesh = of_mesh.filter(|report| report.node.mesh == mesh);
    let others = of_mesh.filter_map(|report| one_of(&report.node.listen_addresses));
    let own = one(own);
    let mut addresses: Vec<_> = own.into_iter().chain(others).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

fn sockets_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(files) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_socket = |path: &PathBuf| path.extension().is_some_and(|end| end == "sock");
    let mut sockets: Vec<_> = paths.filter(is_socket).collect();
    sockets.sort();
    sockets
}

fn one_of(texts: &[String]) -> Option<Multiaddr> {
    one(texts.iter().filter_map(|text| text.parse().ok()).collect())
}

/// Of several addresses of a node, that which surely leads there from the same machine.
fn one(mut addresses: Vec<Multiaddr>) -> Option<Multiaddr> {
    addresses.sort_by_key(|address| !is_loopback(address));
    addresses.into_iter().next()
}

/// The report of the node at a socket; `None` if there is none of this user.
async fn ask(socket: &Path) -> Option<NodeReport> {
    let stream = UnixStream::connect(socket).await.ok()?;
    if stream.peer_cred().ok()?.uid() != directory::own_uid() {
        return None;
    }
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = Request::get("/v1/node").header(HOST, "node");
    let request = request.body(Empty::<Bytes>::new()).ok()?;
    let answer = async {
        let response = sender.send_request(request).await.ok()?;
        let body = Limited::new(response.into_body(), ANSWER_LIMIT);
        let body = body.collect().await.ok()?.to_bytes();
        drop(sender);
        serde_json::from_slice(&body).ok()
    };
    // The answer is there, or never comes, once the connection has ended.
    futures::future::join(answer, connection).await.0
}

/// The name of the key file.
const KEY: &str = "local.key";

/// The number of sockets asked at a time: as many as a DNS name may stand for.
const MOST: usize = 256;

/// A node that is well answers in a millisecond; one that is stopped never does.
const ANSWER_TIME: Duration = Duration::from_secs(2);

/// A report of a node has some kilobytes.
const ANSWER_LIMIT: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, os::unix::net::UnixListener};

    use super::*;
    use crate::{
        AdminSocket,
        admin::DirectoryFault,
        node::fixture::{Mesh, within},
    };

    fn mode(path: &Path) -> u32 {
        let found = fs::symlink_metadata(path).expect("is there");
        found.permissions().mode() & 0o7777
    }

    #[tokio::test]
    async fn of_many_that_start_at_once_one_makes_the_key_and_all_have_it() {
        let runtime = tempfile::tempdir().expect("a directory");
        let directories = [runtime.path().join("a"), runtime.path().join("b")];
        let keys = join_all((0..20).map(|_| key_in(&directories))).await;
        let keys: Vec<_> = keys.into_iter().map(|key| key.expect("a key")).collect();
        let first = keys[0].to_secret_text();
        assert!(keys.iter().all(|key| key.to_secret_text() == first));
        assert_eq!(mode(&directories[0]), 0o700);
        assert_eq!(mode(&directories[0].join(KEY)), 0o600);
        let files: Vec<_> = fs::read_dir(&directories[0]).expect("made").collect();
        assert_eq!(files.len(), 1, "nothing else is left");
        // A session that looks elsewhere first finds it too.
        let swapped = [directories[1].clone(), directories[0].clone()];
        let found = key_in(&swapped).await.expect("a key");
        assert_eq!(found.to_secret_text(), first);
    }

    #[tokio::test]
    async fn what_others_could_read_or_put_there_is_not_taken_for_a_key() {
        let runtime = tempfile::tempdir().expect("a directory");
        let directories = [runtime.path().join("a")];
        key_in(&directories).await.expect("a key");
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
        };
        let key = directories[0].join(KEY);
        set(&key, 0o644);
        let refused = key_in(&directories).await;
        assert!(matches!(refused, Err(SpawnError::KeyFile { .. })));
        set(&key, 0o600);
        set(&directories[0], 0o755);
        match key_in(&directories).await {
            Err(SpawnError::Admin(AdminError::Directory { fault, .. })) => {
                assert_eq!(fault, DirectoryFault::TooOpen { mode: 0o755 });
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn only_living_nodes_of_the_same_mesh_are_found_each_by_one_address() {
        let runtime = tempfile::tempdir().expect("a directory");
        let directories = [runtime.path().join("a")];
        directory::make_private(&directories[0]).expect("made");
        let socket = |name: &str| directories[0].join(format!("{name}.sock"));
        let (mesh, other) = (Mesh::new(), Mesh::new());
        let start = async |mesh: &Mesh, name: &str| {
            let builder = mesh.builder(name).admin(AdminSocket::At(socket(name)));
            builder.listen("127.0.0.1:0").spawn().await.expect("starts")
        };
        let (node, stranger) = (start(&mesh, "a").await, start(&other, "b").await);
        // One that is gone, one that says nothing, and what is no socket.
        drop(UnixListener::bind(socket("gone")).expect("free"));
        let _silent = UnixListener::bind(socket("silent")).expect("free");
        fs::write(socket("file"), "").expect("written");
        let id = node.info().await.expect("runs").mesh;
        let found = within(nodes_in(&directories, Vec::new(), &id)).await;
        assert_eq!(found.len(), 1);
        let listens = node.listen_addresses();
        assert!(listens.contains(&found[0].clone().into()), "{found:?}");
        let own: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().expect("an address");
        let found = within(nodes_in(&directories, vec![own.clone()], "none")).await;
        assert_eq!(found, [own]);
        drop(stranger);
    }
}
