//! The socket file: where it is, that nobody else can reach it, and that there is one a name.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use meshcast_proto::NodeName;
use rustix::io::Errno;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::{Interval, MissedTickBehavior, interval, timeout},
};

use super::{
    AdminSocket,
    directory::{check_given, lock, make_private, own_uid, socket_directories, try_lock},
};
use crate::{clock::Clock, error::AdminError, throttle::Throttle};

/// A socket for this user alone that listens, as the admin socket of a node is. Dropping it removes
/// the file.
///
/// The file is made again when it goes: somebody cleans up, the directory is removed when the user
/// logs out, or a process of the same name that took the place while this one did not answer has
/// ended.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// Whether its directory is the one of all sockets, which is made if need be.
    is_beside_others: bool,
    /// Device and inode of the socket: a file that took its place is not ours to remove.
    file: (u64, u64),
    looks: Interval,
    /// Whether the file was gone at the last look, which was said then.
    is_gone: bool,
    strangers: Throttle,
    clock: Clock,
}

impl Listener {
    /// Makes a socket in the first of [`socket_directories`], for a program that runs nodes to be
    /// asked something else by. It must speak HTTP, or another of that name takes its place. The
    /// commands take what ends in `.sock` for a node's.
    ///
    /// Not cancel-safe in one harmless way: a socket file nobody listens on may stay, to be
    /// replaced later.
    ///
    /// # Errors
    /// Any [`AdminError`]; nothing has been made then but the directory.
    pub async fn bind_beside_nodes(file: &str) -> Result<Self, AdminError> {
        let directory = socket_directories().swap_remove(0);
        Self::bind_at(directory.join(file), true).await
    }

    /// Makes the socket of a node, or nothing if it is to have none.
    ///
    /// Not cancel safe in one harmless way: a socket file nobody listens on may stay, to be
    /// replaced later.
    ///
    /// # Errors
    /// Any [`AdminError`]; nothing has been made then but the directory.
    pub(crate) async fn bind(
        socket: &AdminSocket,
        name: &NodeName,
    ) -> Result<Option<Self>, AdminError> {
        match socket {
            AdminSocket::Off => Ok(None),
            AdminSocket::At(path) => Self::bind_at(path.clone(), false).await.map(Some),
            AdminSocket::Default => {
                let directory = socket_directories().swap_remove(0);
                Self::bind_at(directory.join(format!("{name}.sock")), true)
                    .await
                    .map(Some)
            }
        }
    }

    async fn bind_at(path: PathBuf, is_beside_others: bool) -> Result<Self, AdminError> {
        prepare(&path, is_beside_others)?;
        // Two nodes starting at once would both find the socket of a dead one and each remove the
        // other's.
        let locked = lock(parent(&path)).await?;
        clear(&path).await?;
        let (listener, file) = listen(&path)?;
        drop(locked);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            listener,
            path,
            is_beside_others,
            file,
            looks,
            is_gone: false,
            strangers: Throttle::default(),
            clock: Clock::start(),
        })
    }

    /// The next connection of this user; those of others are closed. Only while this is awaited is
    /// the file looked after. Cancel-safe.
    ///
    /// # Errors
    /// Those of the system, such as that there are no descriptors left.
    pub async fn accept(&mut self) -> io::Result<UnixStream> {
        loop {
            let stream = tokio::select! {
                accepted = self.listener.accept() => accepted?.0,
                _ = self.looks.tick() => {
                    self.look();
                    continue;
                }
            };
            let (error, uid) = match stream.peer_cred() {
                Ok(peer) if peer.uid() == own_uid() => return Ok(stream),
                Ok(peer) => (None, Some(peer.uid())),
                Err(error) => (Some(error), None),
            };
            if let Some(suppressed) = self.strangers.pass(self.clock.now()) {
                tracing::warn!(
                    uid,
                    ?error,
                    suppressed,
                    "refused a connection of another user at the admin socket"
                );
            }
        }
    }

    /// Makes the file again if it is gone.
    fn look(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            return;
        }
        match self.restore() {
            Ok(()) => {
                self.is_gone = false;
                tracing::info!(path = %self.path.display(), "the admin socket was gone and is there again");
            }
            Err(error) if !self.is_gone => {
                self.is_gone = true;
                tracing::warn!(path = %self.path.display(), %error,
                    "the admin socket is gone, until it can be made again");
            }
            Err(_) => {}
        }
    }

    /// Takes its old place, unless somebody else has it. Without waiting: what cannot be done now
    /// is tried again.
    fn restore(&mut self) -> Result<(), AdminError> {
        prepare(&self.path, self.is_beside_others)?;
        let _locked = try_lock(parent(&self.path))?;
        if is_taken(&self.path)? {
            return Err(AdminError::AlreadyRunning {
                name: name_of(&self.path),
                path: self.path.clone(),
            });
        }
        (self.listener, self.file) = listen(&self.path)?;
        Ok(())
    }
}

impl Drop for Listener {
    /// Still listening while it removes the file, so that nobody takes it for a dead one and
    /// replaces it.
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the admin socket");
        }
    }
}

/// Sees that the directory is there and safe.
fn prepare(path: &Path, is_beside_others: bool) -> Result<(), AdminError> {
    if is_beside_others {
        make_private(parent(path))
    } else {
        check_given(parent(path))
    }
}

/// Listens where nothing is.
fn listen(path: &Path) -> Result<(UnixListener, (u64, u64)), AdminError> {
    let fail = |source| AdminError::Io {
        doing: "listen on",
        path: path.into(),
        source,
    };
    let listener = UnixListener::bind(path).map_err(fail)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(fail)?;
    let file = identity(path).map_err(fail)?;
    Ok((listener, file))
}

/// Whether there is somebody or something at the place of a socket, once that of a process that is
/// gone is removed. Somebody who does not answer counts: only a node that starts takes the place of
/// such a one.
fn is_taken(path: &Path) -> Result<bool, AdminError> {
    let fail = |source| AdminError::Io {
        doing: "look at",
        path: path.into(),
        source,
    };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(fail(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(AdminError::NotASocket { path: path.into() });
        }
        Ok(_) => {}
    }
    match try_connect(path) {
        Err(Errno::CONNREFUSED) => {
            fs::remove_file(path).map_err(fail)?;
            Ok(false)
        }
        Err(Errno::NOENT) => Ok(false),
        // Also one whose backlog is full.
        _ => Ok(true),
    }
}

/// Without waiting for room in the backlog.
fn try_connect(path: &Path) -> rustix::io::Result<()> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    connect(&socket, &SocketAddrUnix::new(path)?)
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
                name: name_of(path),
                path: path.into(),
            });
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(fail(error));
        }
        // Somebody listens: stopped, stuck, or no node at all. A node that was meant to take the
        // place of a stuck one must be able to.
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

fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|found| (found.dev(), found.ino()))
}

fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."))
}

/// For a node to say a word. It takes it a millisecond; one that is stopped or stuck never does.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// How soon a file that is gone is noticed. A look is a system call.
const LOOK: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
