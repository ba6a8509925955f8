//! The directories of sockets: where they are, that nobody else can reach into them, and that one
//! process at a time changes what is in one.

use std::{
    env, fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use crate::error::{AdminError, DirectoryFault};

/// The directories of the sockets of this user's nodes: `$XDG_RUNTIME_DIR/meshcast` if that is set,
/// and `<temporary directory>/meshcast-<uid>`. A node puts its own in the first; whoever looks for
/// nodes looks in all, since not every session has the variable.
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

/// Makes the directory of all sockets, for this user alone.
pub(crate) fn make_private(directory: &Path) -> Result<(), AdminError> {
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
    check_private(directory)
}

/// Whether it is there, and for this user alone.
pub(crate) fn is_private(directory: &Path) -> bool {
    check_private(directory).is_ok()
}

fn check_private(directory: &Path) -> Result<(), AdminError> {
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

/// A directory the user chose may be readable or behind a link; nobody else may put another socket
/// into our place.
pub(super) fn check_given(directory: &Path) -> Result<(), AdminError> {
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
pub(crate) async fn lock(directory: &Path) -> Result<fs::File, AdminError> {
    let fail = |source| AdminError::Io {
        doing: "lock",
        path: directory.into(),
        source,
    };
    for _ in 0..LOCK_TRIES {
        match try_lock(directory) {
            Err(AdminError::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            done => return done,
        }
    }
    Err(fail(io::ErrorKind::TimedOut.into()))
}

pub(super) fn try_lock(directory: &Path) -> Result<fs::File, AdminError> {
    let fail = |source| AdminError::Io {
        doing: "lock",
        path: directory.into(),
        source,
    };
    let file = fs::File::open(directory).map_err(fail)?;
    let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
    locked.map_err(|error| fail(error.into()))?;
    Ok(file)
}

/// The user that this process acts for.
pub(crate) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Together five seconds: binding a socket takes well under a millisecond, even for fifty nodes at
/// once, but for half a second if there is one that does not answer.
const LOCK_TRIES: u32 = 500;
const LOCK_PAUSE: Duration = Duration::from_millis(10);
