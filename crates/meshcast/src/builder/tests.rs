use std::os::unix::fs::PermissionsExt;

use libp2p::Multiaddr;

use super::NodeBuilder;
use crate::{
    Address, KeyFileError, Limits, ListenError, MeshKey, Node, SpawnError, config::REGION_VARIABLES,
};

fn key() -> MeshKey {
    MeshKey::from_entropy([1; 48])
}

fn address(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn region_of(builder: &NodeBuilder, variables: &[(&str, &str)]) -> String {
    let variable = |name: &str| {
        let found = variables.iter().find(|(other, _)| *other == name);
        found.map(|(_, value)| value.into())
    };
    builder.find_region(variable).expect("allowed").to_string()
}

#[test]
fn the_region_is_the_one_given_or_the_first_variable_that_is_set() {
    let (plain, given) = (Node::builder(), Node::builder().region("moon"));
    let all = REGION_VARIABLES.map(|name| (name, name));
    assert_eq!(region_of(&given, &all), "moon");
    for first in 0..all.len() {
        assert_eq!(region_of(&plain, &all[first..]), REGION_VARIABLES[first]);
    }
    assert_eq!(
        region_of(&plain, &[("MESHCAST_REGION", ""), ("FLY_REGION", "ams")]),
        "ams"
    );
    assert_eq!(region_of(&plain, &[("HOME", "x")]), "local");
}

#[test]
fn an_empty_key_in_the_environment_is_none() {
    let find = |text: &str| Node::builder().find_key(|_| Some(text.into()));
    assert!(matches!(find(""), Ok(None)));
    assert!(matches!(find(&key().to_secret_text()), Ok(Some(_))));
    assert!(matches!(find("no key"), Err(SpawnError::Key { .. })));
}

/// Whoever prints an error with all that caused it prints each text once.
#[test]
fn why_a_node_does_not_start_is_said_once() {
    let label = || meshcast_proto::NodeName::new("").expect_err("no name");
    let errors = [
        Node::builder()
            .find_key(|_| Some("no key".into()))
            .map(drop)
            .expect_err("no key"),
        Node::builder()
            .key_file("/nowhere/mesh.key")
            .find_key(|_| None)
            .map(drop)
            .expect_err("no file"),
        SpawnError::Name(label()),
        SpawnError::Region(label()),
        SpawnError::Thread(std::io::Error::other("no room")),
    ];
    for error in errors {
        let (said, mut cause) = (error.to_string(), std::error::Error::source(&error));
        while let Some(deeper) = cause {
            let again = deeper.to_string();
            assert!(!said.contains(&again), "{said}: {again}");
            cause = deeper.source();
        }
    }
}

#[test]
fn what_code_does_not_say_the_environment_may() {
    let variables = [
        ("MESHCAST_NAME", "fra-1"),
        ("MESHCAST_KEY_FILE", "/mesh.key"),
        ("MESHCAST_LISTEN", "127.0.0.1:4001"),
        ("MESHCAST_SEEDS", "a.example:4001"),
        ("MESHCAST_ADVERTISE", "192.0.2.1:4001"),
        ("MESHCAST_MAX_PEERS", "1"),
    ];
    let look_up = |mut builder: NodeBuilder, variables: &[(&str, &str)]| {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| value.into())
        };
        builder.look_up(variable).map(|()| builder)
    };
    let found = look_up(Node::builder(), &variables).expect("all are fine");
    assert_eq!(found.identity.name.as_deref(), Some("fra-1"));
    assert_eq!(found.identity.key_file, Some("/mesh.key".into()));
    assert_eq!(found.addresses.listen, [address("/ip4/127.0.0.1/tcp/4001")]);
    assert_eq!(
        found.addresses.seeds,
        Some(vec![address("/dns/a.example/tcp/4001")])
    );
    assert_eq!(
        found.addresses.advertise,
        [address("/ip4/192.0.2.1/tcp/4001")]
    );
    assert_eq!(found.limits.max_peers, Limits::default().max_peers);
    let given = Node::builder()
        .name("moon")
        .key_file("/moon.key")
        .listen(address("/ip4/127.0.0.1/tcp/1"))
        .seeds([] as [Address; 0]);
    let found = look_up(given, &variables).expect("all are fine");
    assert_eq!(found.identity.name.as_deref(), Some("moon"));
    assert_eq!(found.identity.key_file, Some("/moon.key".into()));
    assert_eq!(found.addresses.listen, [address("/ip4/127.0.0.1/tcp/1")]);
    assert_eq!(found.addresses.seeds, Some(vec![]));
    let keyed = [("MESHCAST_KEY", "key"), ("MESHCAST_KEY_FILE", "/mesh.key")];
    let found = look_up(Node::builder(), &keyed).expect("all are fine");
    assert_eq!(found.identity.key_file, None, "the key itself comes first");
    let error = look_up(Node::builder(), &[("MESHCAST_SEEDS", "a")]).expect_err("no address");
    assert!(error.to_string().contains("MESHCAST_SEEDS"), "{error}");
}

#[test]
fn an_address_may_be_given_in_any_form() {
    let socket = std::net::SocketAddr::from(([127, 0, 0, 1], 4001));
    let wanted = address("/ip4/127.0.0.1/tcp/4001");
    let builder = Node::builder()
        .listen(socket)
        .listen("127.0.0.1:4001")
        .listen("/ip4/127.0.0.1/tcp/4001")
        .listen(wanted.clone())
        .seeds(["127.0.0.1:4001".to_owned(), wanted.to_string()])
        .seed(Address::from(socket))
        .advertise(socket);
    assert_eq!(builder.addresses.listen, vec![wanted.clone(); 4]);
    assert_eq!(builder.addresses.seeds, Some(vec![wanted.clone(); 3]));
    assert_eq!(builder.addresses.advertise, [wanted]);
    assert_eq!(Address::from(socket).socket_addr(), Some(socket));
    let other = ["a.example:1", "/ip4/192.0.2.1/udp/1", "/ip4/192.0.2.1"];
    for address in other.map(|text| text.parse::<Address>().expect("an address")) {
        assert_eq!(address.socket_addr(), None, "{address}");
    }
}

#[tokio::test]
async fn what_is_no_address_is_told_by_its_text_when_the_node_is_started() {
    let builder = Node::builder().seed("127.0.0.1:4001").listen("4001");
    match builder.seed("nowhere").spawn().await {
        Err(SpawnError::Address(error)) => assert_eq!(error.text, "4001"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_what_members_could_dial_can_be_advertised() {
    for at in [
        "a.example:4001",
        "0.0.0.0:4001",
        "192.0.2.1:0",
        "[ff02::1]:1",
    ] {
        let spawned = Node::builder().key(key()).advertise(at).spawn().await;
        assert!(matches!(spawned, Err(SpawnError::Advertise { .. })), "{at}");
    }
    let unkeyed = Node::builder().advertise("192.0.2.1:4001").spawn().await;
    assert!(matches!(unkeyed, Err(SpawnError::NoKey(_))));
}

#[test]
fn the_default_name_fits_whatever_the_region() {
    let long = "r".repeat(63);
    let builder = Node::builder().region(&long);
    let region = builder.find_region(|_| None).expect("allowed");
    let name = builder.find_name(&region).expect("fits").to_string();
    assert_eq!(
        (name.len(), &name[..59]),
        (63, &*format!("{}-", &long[..58]))
    );
}

#[tokio::test]
async fn without_a_key_a_node_stays_on_loopback() {
    for builder in [
        Node::builder().listen(address("/ip4/0.0.0.0/tcp/0")),
        Node::builder().seed(address("/ip4/192.0.2.1/tcp/1")),
        Node::builder().seed(address("/dns/example.org/tcp/1")),
    ] {
        assert!(matches!(builder.spawn().await, Err(SpawnError::NoKey(_))));
    }
    let node = Node::builder()
        .spawn()
        .await
        .expect("loopback is the default");
    let snapshot = node.inspect().await.expect("runs");
    assert!(
        snapshot
            .node
            .listen_addresses
            .iter()
            .all(crate::address::is_loopback)
    );
    node.shutdown().await;
}

#[tokio::test]
async fn a_seed_that_cannot_be_dialled_is_refused_at_once() {
    for seed in [
        "/ip4/127.0.0.1/udp/1/quic-v1",
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/tcp/0",
        "/dnsaddr/example.org",
        "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
    ] {
        let spawned = Node::builder().key(key()).seed(address(seed)).spawn().await;
        assert!(matches!(spawned, Err(SpawnError::Seed { .. })), "{seed}");
    }
}

#[tokio::test]
async fn a_key_file_is_read_if_it_is_a_secret() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("key");
    std::fs::write(&path, format!("{}\n", key().to_secret_text())).expect("written");
    let find = || Node::builder().key_file(&path).find_key(|_| None);
    let mode =
        |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
    for open in [0o644, 0o606, 0o620] {
        mode(open);
        let refused = find();
        assert!(
            matches!(
                refused,
                Err(SpawnError::KeyFile {
                    reason: KeyFileError::Mode { .. },
                    ..
                })
            ),
            "{open:o}"
        );
    }
    mode(0o600);
    assert!(find().expect("read").is_some());
    std::fs::write(&path, "no key").expect("written");
    assert!(matches!(find(), Err(SpawnError::Key { .. })));
    std::fs::remove_file(&path).expect("removed");
    assert!(matches!(find(), Err(SpawnError::KeyFile { .. })));
}

#[tokio::test]
async fn names_that_are_not_allowed_are_said_so() {
    let spawned = Node::builder().name("").spawn().await;
    assert!(matches!(spawned, Err(SpawnError::Name(_))));
    let spawned = Node::builder().region("").name("x").spawn().await;
    assert!(matches!(spawned, Err(SpawnError::Region(_))));
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_is_named_with_the_reason() {
    let key = MeshKey::from_entropy([7; 48]);
    let listen = async |at: String| {
        let builder = Node::builder().name("x").key(key.clone());
        match builder.listen(address(&at)).spawn().await {
            Err(SpawnError::Listen { address, reason }) => {
                assert_eq!(address.to_string(), at);
                assert_ne!(reason.to_string(), "");
                reason
            }
            other => panic!("{at}: {other:?}"),
        }
    };
    // By a program of another kind.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let reason = listen(format!("/ip4/127.0.0.1/tcp/{port}")).await;
    assert!(matches!(reason, ListenError::InUse), "{reason}");
    // By another node, which libp2p by itself shares its port with.
    let node = Node::builder().name("y").key(key.clone());
    let node = node
        .listen(address("/ip4/127.0.0.1/tcp/0"))
        .spawn()
        .await
        .expect("starts");
    let at = node
        .inspect()
        .await
        .expect("runs")
        .node
        .listen_addresses
        .remove(0);
    let reason = listen(at.to_string()).await;
    assert!(matches!(reason, ListenError::InUse), "{reason}");
    let reason = listen("/ip4/192.0.2.1/tcp/4001".to_owned()).await;
    assert!(matches!(reason, ListenError::NotHere), "{reason}");
    let reason = listen("/ip4/127.0.0.1/udp/4001".to_owned()).await;
    assert!(matches!(reason, ListenError::Unsupported), "{reason}");
    // Free again at once, with connections or without.
    node.shutdown().await;
    let again = Node::builder().name("z").key(key);
    again.listen(at).spawn().await.expect("starts");
}

/// In a process of its own: it runs out of descriptors.
#[test]
fn a_process_without_descriptors_is_told_so_whatever_they_are_missing_for() {
    const CHILD: &str = "MESHCAST_TEST_WITHOUT_DESCRIPTORS";
    if std::env::var_os(CHILD).is_some() {
        return without_descriptors();
    }
    let test =
        "builder::tests::a_process_without_descriptors_is_told_so_whatever_they_are_missing_for";
    let mut child = std::process::Command::new(std::env::current_exe().expect("a test"));
    let child = child.args(["--exact", test, "--nocapture"]).env(CHILD, "1");
    let done = child.output().expect("it runs");
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn without_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let before = getrlimit(Resource::Nofile);
    let allow = |soft: Option<u64>| {
        let limit = Rlimit {
            current: soft.or(before.current),
            maximum: before.maximum,
        };
        setrlimit(Resource::Nofile, limit).expect("lower");
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("starts");
    // As many as are open, and a few more each time, so that each that a node takes is once the
    // first that is missing.
    let open = std::fs::read_dir("/proc/self/fd").expect("Linux").count() as u64;
    let (mut told, mut to_listen) = (0, 0);
    for more in 0..64 {
        let builder = Node::builder().name("x").key(key());
        let builder = builder.listen(address("/ip4/127.0.0.1/tcp/0"));
        allow(Some(open + more));
        let spawned = runtime.block_on(builder.spawn());
        allow(None);
        match spawned {
            Err(SpawnError::Listen {
                reason: ListenError::NoDescriptors,
                ..
            }) => to_listen += 1,
            Err(error) => {
                let error = error.to_string();
                assert!(
                    error.contains("descriptor") || error.contains("open files"),
                    "{error}"
                );
                told += 1;
            }
            Ok(node) => {
                runtime.block_on(node.shutdown());
                assert!(to_listen > 0, "{told} other errors");
                return;
            }
        }
    }
    panic!("64 descriptors are enough for a node");
}

#[test]
fn outside_a_runtime_no_node_starts() {
    let spawned = futures::executor::block_on(Node::builder().spawn());
    assert!(matches!(spawned, Err(SpawnError::NoRuntime)));
}

#[tokio::test]
async fn limits_that_cannot_work_are_refused_by_name() {
    let set = |max_channels, max_message_bytes, max_peers| Limits {
        max_channels,
        max_message_bytes,
        max_peers,
        ..Limits::default()
    };
    for (name, limits) in [
        ("max_channels", set(16_001, 1, 1)),
        ("max_channels", set(0, 1, 1)),
        ("max_message_bytes", set(1, 0, 1)),
        ("max_message_bytes", set(1, 1 << 30, 1)),
        ("max_peers", set(1, 1, 0)),
    ] {
        let error = Node::builder()
            .limits(limits)
            .spawn()
            .await
            .expect_err("refused");
        let SpawnError::Limits(error) = error else {
            panic!("{error}")
        };
        assert!(error.bad().iter().map(|it| it.limit).eq([name]), "{error}");
    }
    let limits = Limits {
        memory_bytes: 1024,
        ..set(16_001, 0, 8)
    };
    let error = Node::builder().limits(limits).spawn().await;
    assert_eq!(
        error.expect_err("refused").to_string(),
        "max_message_bytes is 0 B; it must be at least 1 B; \
         max_channels is 16001; it must be at most 16000; \
         memory_bytes is 1 KiB; it must be at least 16 MiB"
    );
}
