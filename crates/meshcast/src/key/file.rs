//! Reading the secret of a mesh from a file that is safe to hold one.

use std::{
    fs::{File, FileType},
    io::{self, Read},
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use rustix::fs::{Mode, OFlags, open};

use crate::error::{KeyFileError, SpawnError};

/// What is in it, whatever that is.
pub(crate) fn read(path: &Path) -> Result<String, SpawnError> {
    let own = rustix::process::geteuid().as_raw();
    read_as(path, own).map_err(|reason| SpawnError::KeyFile {
        path: path.to_owned(),
        reason,
    })
}

/// `own` is the user that reads.
fn read_as(path: &Path, own: u32) -> Result<String, KeyFileError> {
    // Without waiting: to open a pipe takes until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let file = File::from(file);
    // Of the opened file: the path may lead elsewhere by now.
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(KeyFileError::NotAFile {
            kind: kind(found.file_type()),
        });
    }
    check_access(found.uid(), found.mode() & 0o7777, own)?;
    let mut text = Vec::new();
    file.take(LIMIT + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(KeyFileError::TooLong { limit: LIMIT });
    }
    let text = String::from_utf8(text).map_err(|_| KeyFileError::NoText)?;
    if text.trim().is_empty() {
        return Err(KeyFileError::Empty);
    }
    Ok(text)
}

/// A user who may read or change the file may be a member, so only those may who can have this
/// process do anything as it is.
fn check_access(owner: u32, mode: u32, own: u32) -> Result<(), KeyFileError> {
    if owner != own && owner != ROOT {
        return Err(KeyFileError::Owner { uid: owner });
    }
    // Root may share a secret with a group: it is how it gives one to a process that is not root.
    let others = if owner == ROOT { 0o037 } else { 0o077 };
    if mode & others != 0 {
        return Err(KeyFileError::Mode {
            mode,
            of_root: owner == ROOT,
        });
    }
    Ok(())
}

fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_fifo() {
        "a pipe"
    } else if file_type.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

const ROOT: u32 = 0;

/// A key has 80 characters; this leaves room for what editors and templates put around it.
const LIMIT: u64 = 4096;

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::{
            fs::{PermissionsExt, symlink},
            net::UnixListener,
        },
    };

    use super::*;

    fn own() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn nobody_but_root_may_share_a_key_and_only_with_a_group() {
        let own = 1000;
        for fine in [0o600, 0o400] {
            assert!(check_access(own, fine, own).is_ok(), "{fine:o}");
        }
        for open in [0o640, 0o440, 0o604, 0o620, 0o610, 0o777] {
            let refused = check_access(own, open, own);
            assert!(
                matches!(refused, Err(KeyFileError::Mode { mode, of_root: false }) if mode == open),
                "{open:o}"
            );
        }
        // As Kubernetes mounts a Secret with fsGroup, and as root has it for itself.
        for (own, fine) in [
            (own, 0o440),
            (own, 0o640),
            (own, 0o400),
            (0, 0o600),
            (0, 0o440),
        ] {
            assert!(check_access(0, fine, own).is_ok(), "{fine:o}");
        }
        for open in [0o444, 0o644, 0o460, 0o450, 0o442] {
            let refused = check_access(0, open, own);
            assert!(
                matches!(refused, Err(KeyFileError::Mode { of_root: true, .. })),
                "{open:o}"
            );
        }
        let other = check_access(1001, 0o400, own);
        assert!(matches!(other, Err(KeyFileError::Owner { uid: 1001 })));
        assert!(matches!(
            check_access(1001, 0o400, 0),
            Err(KeyFileError::Owner { uid: 1001 })
        ));
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let refused = |path: &Path| match read_as(path, own()) {
            Err(KeyFileError::NotAFile { kind }) => kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(directory.path()), "a directory");
        assert_eq!(refused("/dev/zero".as_ref()), "a device");
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.expect("mkfifo is there").success());
        assert_eq!(refused(&pipe), "a pipe");
        let link = directory.path().join("link");
        symlink(&pipe, &link).expect("ours");
        assert_eq!(refused(&link), "a pipe");
        // That cannot be opened at all.
        let socket = directory.path().join("socket");
        let _listener = UnixListener::bind(&socket).expect("free");
        assert!(matches!(read_as(&socket, own()), Err(KeyFileError::Io(_))));
    }

    #[test]
    fn a_link_to_a_secret_is_followed() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs::write(&file, "secret").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o400)).expect("ours");
        symlink(&file, &link).expect("ours");
        assert_eq!(read_as(&link, own()).expect("read"), "secret");
    }

    #[test]
    fn nothing_is_no_key_and_no_more_is_read_than_a_key_can_be() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("key");
        let write = |len: usize| {
            fs::write(&path, "x".repeat(len)).expect("written");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("ours");
            read_as(&path, own())
        };
        assert!(matches!(write(0), Err(KeyFileError::Empty)));
        assert_eq!(write(4096).expect("as long as it may be").len(), 4096);
        assert!(matches!(
            write(4097),
            Err(KeyFileError::TooLong { limit: 4096 })
        ));
        let file = File::create(&path).expect("ours");
        file.set_len(1 << 40).expect("sparse");
        assert!(matches!(
            read_as(&path, own()),
            Err(KeyFileError::TooLong { .. })
        ));
    }
}
