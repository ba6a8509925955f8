//! The socket file: where it is, that nobody else can reach it, and that there is one a name.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use meshcast_proto::NodeName;
use rustix::fs::{FlockOperation, flock};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::AdminSocket;

/// Where the sockets of this user's nodes are: `$XDG_RUNTIME_DIR/meshcast` if that is set, and
/// `<temporary directory>/meshcast-<uid>`. A node puts its own in the first; whoever looks for nodes looks
/// in all, since not every session has the variable.
pub fn socket_directories() -> Vec<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let fallback = env::temp_dir().join(format!("meshcast-{}", own_uid()));
    runtime
        .map(|path| path.join("meshcast"))
        .into_iter()
        .chain([fallback])
        .collect()
}

/// A socket for this user alone that listens, as the admin socket of a node is. Dropping it removes the file.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the socket: a file that took its place is not ours to remove.
    file: (u64, u64),
}

impl Listener {
    /// Makes a socket in the first of [`socket_directories`], for a program that runs nodes to be asked something else
    /// by. It must speak HTTP, or another of that name takes its place. The commands take what ends in `.sock` for a
    /// node's.
    ///
    /// Not cancel-safe in one harmless way: a socket file nobody listens on may stay, to be replaced later.
    ///
    /// # Errors
    /// Any [`AdminError`]; nothing has been made then but the directory.
    pub async fn bind_beside_nodes(file: &str) -> Result<Self, AdminError> {
        let directory = socket_directories().swap_remove(0);
        make_private(&directory)?;
        Self::bind_at(directory.join(file)).await
    }

    /// Makes the socket of a node, or nothing if it is to have none.
    ///
    /// Not cancel safe in one harmless way: a socket file nobody listens on may stay, to be replaced later.
    ///
    /// # Errors
    /// Any [`AdminError`]; nothing has been made then but the directory.
    pub(crate) async fn bind(socket: &AdminSocket, name: &NodeName) -> Result<Option<Self>, AdminError> {
        let path = match socket {
            AdminSocket::Off => return Ok(None),
            AdminSocket::At(path) => {
                check_given(parent(path))?;
                path.clone()
            }
            AdminSocket::Default => {
                let directory = socket_directories().swap_remove(0);
                make_private(&directory)?;
                directory.join(format!("{name}.sock"))
            }
        };
        Self::bind_at(path).await.map(Some)
    }

    async fn bind_at(path: PathBuf) -> Result<Self, AdminError> {
        // Two nodes starting at once would both find the socket of a dead one and each remove the other's.
        let _locked = lock(parent(&path)).await?;
        clear(&path).await?;
        let fail = |source| AdminError::Io {
            doing: "listen on",
            path: path.clone(),
            source,
        };
        let listener = UnixListener::bind(&path).map_err(fail)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(fail)?;
        let file = identity(&path).map_err(fail)?;
        Ok(Self { listener, path, file })
    }

    /// The next connection of this user; those of others are closed. Cancel-safe.
    ///
    /// # Errors
    /// Those of the system, such as that there are no descriptors left.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            match stream.peer_cred() {
                Ok(peer) if peer.uid() == own_uid() => return Ok(stream),
                Ok(peer) => tracing::warn!(uid = peer.uid(), "refused another user at the admin socket"),
                Err(error) => tracing::warn!(%error, "cannot tell who is at the admin socket"),
            }
        }
    }
}

impl Drop for Listener {
    /// Still listening while it removes the file, so that nobody takes it for a dead one and replaces it.
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the admin socket");
        }
    }
}

/// Why a node could not have its admin socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// A live node answers there: another one of that name.
    #[error("a node named {name} is already running here (it listens on {})", path.display())]
    AlreadyRunning {
        /// The name of the socket file without its ending.
        name: String,
        /// The socket.
        path: PathBuf,
    },
    /// The directory cannot be trusted with a socket.
    #[error("will not put a socket into {}: {fault}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        fault: DirectoryFault,
    },
    /// Something else is at the place of the socket. It stays.
    #[error("{} is there and is no socket", path.display())]
    NotASocket {
        /// What is there.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Why a directory cannot be trusted with a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryFault {
    /// It is a link to somewhere else.
    #[error("it is a symbolic link")]
    Symlink,
    /// It is none.
    #[error("it is not a directory")]
    NotADirectory,
    /// Somebody else owns it.
    #[error("it belongs to user {uid}")]
    Owner {
        /// Who.
        uid: u32,
    },
    /// Others may do there what they must not.
    #[error("its mode is {mode:04o} (make it 0700)")]
    TooOpen {
        /// The permission bits.
        mode: u32,
    },
}

/// Makes the directory of all sockets, for this user alone.
fn make_private(directory: &Path) -> Result<(), AdminError> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
            return Err(AdminError::Io {
                doing: "make",
                path: directory.into(),
                source,
            });
        }
        _ => {}
    }
    let found = look(directory)?;
    let mode = found.mode() & 0o7777;
    if found.uid() != own_uid() {
        Err(fault(directory, DirectoryFault::Owner { uid: found.uid() }))
    } else if mode & 0o077 != 0 {
        Err(fault(directory, DirectoryFault::TooOpen { mode }))
    } else {
        Ok(())
    }
}

/// A directory the user chose may be readable or behind a link; nobody else may put another socket into our
/// place.
fn check_given(directory: &Path) -> Result<(), AdminError> {
    const STICKY: u32 = 0o1000;
    let fail = |source| AdminError::Io {
        doing: "use",
        path: directory.into(),
        source,
    };
    let found = look(&fs::canonicalize(directory).map_err(fail)?)?;
    let mode = found.mode() & 0o7777;
    if found.uid() != own_uid() && found.uid() != 0 {
        Err(fault(directory, DirectoryFault::Owner { uid: found.uid() }))
    } else if mode & 0o022 != 0 && mode & STICKY == 0 {
        Err(fault(directory, DirectoryFault::TooOpen { mode }))
    } else {
        Ok(())
    }
}

fn look(directory: &Path) -> Result<fs::Metadata, AdminError> {
    let found = fs::symlink_metadata(directory).map_err(|source| AdminError::Io {
        doing: "use",
        path: directory.into(),
        source,
    })?;
    if found.is_symlink() {
        Err(fault(directory, DirectoryFault::Symlink))
    } else if !found.is_dir() {
        Err(fault(directory, DirectoryFault::NotADirectory))
    } else {
        Ok(found)
    }
}

fn fault(path: &Path, fault: DirectoryFault) -> AdminError {
    AdminError::Directory {
        path: path.into(),
        fault,
    }
}

/// Holds the directory until the file is dropped. It is held for a moment only, hence the polling.
async fn lock(directory: &Path) -> Result<fs::File, AdminError> {
    let fail = |source| AdminError::Io {
        doing: "lock",
        path: directory.into(),
        source,
    };
    let file = fs::File::open(directory).map_err(fail)?;
    for _ in 0..LOCK_TRIES {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => tokio::time::sleep(LOCK_PAUSE).await,
            Err(error) => return Err(fail(error.into())),
        }
    }
    Err(fail(io::ErrorKind::TimedOut.into()))
}

/// Removes the socket of a process that is gone, or does nothing any more.
async fn clear(path: &Path) -> Result<(), AdminError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(AdminError::Io {
                doing: "look at",
                path: path.into(),
                source,
            });
        }
        Ok(found) if !found.file_type().is_socket() => {
            return Err(AdminError::NotASocket { path: path.into() });
        }
        Ok(_) => {}
    }
    let fail = |source| AdminError::Io {
        doing: "replace",
        path: path.into(),
        source,
    };
    match timeout(ANSWER_TIME, ask(path)).await {
        Ok(Ok(())) => {
            return Err(AdminError::AlreadyRunning {
                name: path
                    .file_stem()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                path: path.into(),
            });
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => return Err(fail(error)),
        // Somebody listens: stopped, stuck, or no node at all. A node that was meant to take the place of a
        // stuck one must be able to.
        Ok(Err(_)) | Err(_) => {
            tracing::warn!(path = %path.display(), "took over an admin socket whose owner does not answer");
        }
    }
    fs::remove_file(path).map_err(fail)
}

/// Whether a node answers at a socket, whatever it says.
async fn ask(path: &Path) -> io::Result<()> {
    let mut stream = UnixStream::connect(path).await?;
    let request = b"GET /v1/node HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).await?;
    if answer == *b"HTTP/" {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// For a node to say a word. It takes it a millisecond; one that is stopped or stuck never does.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// Together five seconds: binding a socket takes well under a millisecond, even for fifty nodes at once, but
/// for [`ANSWER_TIME`] if there is one that does not answer.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn private() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary directory")
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    }

    fn name() -> NodeName {
        "fra-1".parse().expect("valid")
    }

    async fn bind(path: &Path) -> Result<Listener, AdminError> {
        let socket = AdminSocket::At(path.into());
        Listener::bind(&socket, &name())
            .await
            .map(|listener| listener.expect("not off"))
    }

    fn fault_of<T>(result: Result<T, AdminError>) -> Option<DirectoryFault> {
        match result {
            Err(AdminError::Directory { fault, .. }) => Some(fault),
            _ => None,
        }
    }

    #[tokio::test]
    async fn no_socket_is_made_when_it_is_off() {
        assert!(
            Listener::bind(&AdminSocket::Off, &name())
                .await
                .expect("nothing to fail")
                .is_none()
        );
    }

    #[tokio::test]
    async fn the_socket_is_for_its_owner_alone_and_goes_with_the_listener() {
        let directory = private();
        let path = directory.path().join("fra-1.sock");
        let listener = bind(&path).await.expect("free");
        let mode = fs::metadata(&path).expect("made").mode();
        assert_eq!(mode & 0o7777, 0o600);
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_live_socket_is_an_error_with_the_name() {
        let directory = private();
        let path = directory.path().join("fra-1.sock");
        let serving = tokio::spawn(answer(bind(&path).await.expect("free")));
        match bind(&path).await {
            Err(AdminError::AlreadyRunning { name, .. }) => assert_eq!(name, "fra-1"),
            other => panic!("{other:?}"),
        }
        serving.abort();
    }

    /// As a process does that was stopped: the system takes connections for it, and that is all.
    #[tokio::test]
    async fn a_socket_whose_owner_does_not_answer_is_taken_over_and_stays_when_it_wakes() {
        let directory = private();
        let path = directory.path().join("fra-1.sock");
        let frozen = bind(&path).await.expect("free");
        let second = bind(&path).await.expect("taken over");
        let serving = tokio::spawn(answer(second));
        drop(frozen);
        assert!(matches!(
            bind(&path).await,
            Err(AdminError::AlreadyRunning { .. })
        ));
        serving.abort();
    }

    #[tokio::test]
    async fn who_answers_something_else_is_no_node() {
        let directory = private();
        let path = directory.path().join("fra-1.sock");
        let stranger = UnixListener::bind(&path).expect("free");
        let hanging_up = tokio::spawn(async move { while stranger.accept().await.is_ok() {} });
        bind(&path).await.expect("taken over");
        hanging_up.abort();
    }

    /// What a node does, as far as it matters here.
    async fn answer(listener: Listener) {
        loop {
            let mut stream = listener.accept().await.expect("a connection");
            stream.write_all(b"HTTP/1.1 200 OK\r\n").await.expect("written");
        }
    }

    #[tokio::test]
    async fn the_socket_of_a_dead_process_is_replaced() {
        let directory = private();
        let path = directory.path().join("fra-1.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("free"));
        assert!(path.exists(), "a plain listener leaves its file behind");
        bind(&path).await.expect("nobody listens there");
    }

    #[tokio::test]
    async fn of_many_that_start_at_once_one_gets_the_name() {
        let directory = private();
        let path = directory.path().join("fra-1.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("free"));
        let start = async || {
            let listener = bind(&path).await?;
            tokio::spawn(answer(listener));
            Ok::<_, AdminError>(())
        };
        let all = futures::future::join_all((0..20).map(|_| start())).await;
        assert_eq!(all.iter().filter(|result| result.is_ok()).count(), 1, "{all:?}");
    }

    #[tokio::test]
    async fn what_is_no_socket_stays() {
        let directory = private();
        let path = directory.path().join("fra-1.sock");
        fs::write(&path, "precious").expect("ours");
        assert!(matches!(bind(&path).await, Err(AdminError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    }

    #[tokio::test]
    async fn a_socket_that_took_our_place_is_not_removed() {
        let directory = private();
        let path = directory.path().join("fra-1.sock");
        let first = bind(&path).await.expect("free");
        fs::rename(&path, directory.path().join("moved")).expect("ours");
        let _second = bind(&path).await.expect("free again");
        drop(first);
        assert!(path.exists());
    }

    #[tokio::test]
    async fn a_given_directory_must_be_safe_from_others() {
        let directory = private();
        let path = directory.path().join("fra-1.sock");
        chmod(directory.path(), 0o777);
        assert_eq!(
            fault_of(bind(&path).await),
            Some(DirectoryFault::TooOpen { mode: 0o777 })
        );
        for fine in [0o755, 0o1777] {
            chmod(directory.path(), fine);
            assert!(bind(&path).await.is_ok(), "{fine:o}");
        }
    }

    #[test]
    fn the_directory_of_all_sockets_is_private_or_refused() {
        let home = private();
        let directory = home.path().join("meshcast");
        make_private(&directory).expect("made");
        assert_eq!(fs::metadata(&directory).expect("made").mode() & 0o7777, 0o700);
        make_private(&directory).expect("found");

        chmod(&directory, 0o750);
        let open = fault_of(make_private(&directory));
        assert_eq!(open, Some(DirectoryFault::TooOpen { mode: 0o750 }));

        let link = home.path().join("link");
        symlink(&directory, &link).expect("ours");
        assert_eq!(fault_of(make_private(&link)), Some(DirectoryFault::Symlink));

        let file = home.path().join("file");
        fs::write(&file, "").expect("ours");
        assert_eq!(fault_of(make_private(&file)), Some(DirectoryFault::NotADirectory));
    }

    #[test]
    fn the_last_place_to_look_is_named_by_the_user() {
        let last = socket_directories().pop().expect("one at least");
        assert!(last.ends_with(format!("meshcast-{}", own_uid())), "{last:?}");
    }
}
