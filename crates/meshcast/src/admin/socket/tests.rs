use std::os::unix::fs::symlink;

use super::*;
use crate::error::DirectoryFault;

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

/// A stand-in for a node, as far as it matters here.
async fn answer(mut listener: Listener) {
    loop {
        let mut stream = listener.accept().await.expect("a connection");
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n")
            .await
            .expect("written");
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
    assert_eq!(
        all.iter().filter(|result| result.is_ok()).count(),
        1,
        "{all:?}"
    );
}

#[tokio::test]
async fn what_is_no_socket_stays() {
    let directory = private();
    let path = directory.path().join("fra-1.sock");
    fs::write(&path, "precious").expect("ours");
    assert!(matches!(
        bind(&path).await,
        Err(AdminError::NotASocket { .. })
    ));
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

/// Until it is seen to be there again.
async fn look_after(mut listener: Listener, path: &Path) -> Listener {
    let (ours, is_there) = (listener.file, |file| {
        identity(path).is_ok_and(|found| found == file)
    });
    assert!(!is_there(ours));
    let again = timeout(Duration::from_secs(20), async {
        while !is_there(listener.file) {
            // An error means that nobody came meanwhile.
            drop(timeout(Duration::from_millis(10), listener.accept()).await);
        }
    });
    again.await.expect("it comes back");
    listener
}

#[tokio::test(start_paused = true)]
async fn a_socket_whose_file_is_gone_comes_back() {
    let home = private();
    let directory = home.path().join("meshcast");
    let path = directory.join("fra-1.sock");
    let listener = Listener::bind_at(path.clone(), true).await.expect("free");
    fs::remove_file(&path).expect("ours");
    let listener = look_after(listener, &path).await;
    assert_eq!(fs::metadata(&path).expect("there").mode() & 0o7777, 0o600);
    // As when the user logs out.
    fs::remove_dir_all(&directory).expect("ours");
    let listener = look_after(listener, &path).await;
    assert_eq!(
        fs::metadata(&directory).expect("there").mode() & 0o7777,
        0o700
    );
    // Also once there is nothing to put it into.
    fs::remove_dir_all(&directory).expect("ours");
    let moved = home.path().with_extension("moved");
    fs::rename(home.path(), &moved).expect("ours");
    let mut listener = listener;
    drop(timeout(3 * LOOK, listener.accept()).await);
    assert!(listener.is_gone);
    fs::rename(&moved, home.path()).expect("ours");
    let listener = look_after(listener, &path).await;
    assert!(!listener.is_gone);
    drop(listener);
    assert!(!path.exists());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_took_over_a_socket_keeps_it_until_it_ends() {
    let directory = private();
    let path = directory.path().join("fra-1.sock");
    let mut frozen = bind(&path).await.expect("free");
    fs::remove_file(&path).expect("ours");
    let second = bind(&path).await.expect("free again");
    let theirs = second.file;
    drop(timeout(3 * LOOK, frozen.accept()).await);
    assert!(frozen.is_gone);
    assert_eq!(identity(&path).expect("there"), theirs);
    drop(second);
    let first = look_after(frozen, &path).await;
    // As a process leaves it that was killed.
    fs::remove_file(&path).expect("ours");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("free"));
    drop(look_after(first, &path).await);
    assert!(!path.exists());
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
    assert_eq!(
        fs::metadata(&directory).expect("made").mode() & 0o7777,
        0o700
    );
    make_private(&directory).expect("found");

    chmod(&directory, 0o750);
    let open = fault_of(make_private(&directory));
    assert_eq!(open, Some(DirectoryFault::TooOpen { mode: 0o750 }));

    let link = home.path().join("link");
    symlink(&directory, &link).expect("ours");
    assert_eq!(fault_of(make_private(&link)), Some(DirectoryFault::Symlink));

    let file = home.path().join("file");
    fs::write(&file, "").expect("ours");
    assert_eq!(
        fault_of(make_private(&file)),
        Some(DirectoryFault::NotADirectory)
    );
}

#[test]
fn the_last_place_to_look_is_named_by_the_user() {
    let last = socket_directories().pop().expect("one at least");
    assert!(
        last.ends_with(format!("meshcast-{}", own_uid())),
        "{last:?}"
    );
}
