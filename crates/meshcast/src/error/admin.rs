//! Why an admin socket cannot be had.

use std::{io, path::PathBuf};

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
