//! Those who do not belong: what they get to see, and what they can do to a node.

use std::{
    future::poll_fn,
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    task::Poll,
    thread,
    time::Duration,
};

use futures::{AsyncReadExt, AsyncWriteExt, FutureExt};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt},
        transport::{DialOpts, PortUse},
        upgrade::Version,
    },
    identity::Keypair,
    noise, tcp, yamux,
};
use meshcast_proto::{Admission, Identity, MeshKey, NodeName, Region, Sender, Trust, WallTime};

use meshcast_tests::{siege::siege, stranger::Crowd};

use crate::harness::{Earth, Fleet, PATIENCE, converged, eventually, undisturbed};

/// The listen address of a node, for those who do not use libp2p.
fn socket(earth: &Earth) -> SocketAddr {
    let port = earth.listen.rsplit('/').next().expect("a port");
    format!("127.0.0.1:{port}").parse().expect("an address")
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// All that comes until the other side hangs up.
fn read_to_end(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            panic!("it does not hang up")
        }
        _ => read,
    }
}

/// Nothing of the application is in it, and it is not more than greetings.
fn assert_nothing_told(recorded: &[u8], earths: &[Earth]) {
    assert!(recorded.len() < 512, "{} bytes", recorded.len());
    let text = String::from_utf8_lossy(recorded);
    for word in ["earth", "meshcast", "local", "meshsub", "after-"] {
        assert!(!text.contains(word), "{word}: {text:?}");
    }
    for earth in earths {
        assert!(!text.contains(&earth.peer_id));
    }
}

/// How the protocol of the transport begins.
const GREETING: &[u8] = b"\x13/multistream/1.0.0\n";

#[test]
fn garbage_is_hung_up_on_and_disturbs_nobody() {
    let earths = Fleet::new().earths::<2>();
    let address = socket(&earths[0]);
    let noise = [GREETING, b"\x07/noise\n"].concat();
    let tls = [GREETING, b"\x0b/tls/1.0.0\n"].concat();
    let garbage: [Vec<u8>; 10] = [
        vec![0; 64 * 1024],
        vec![0xff; 64 * 1024],
        (0..64 * 1024_u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect(),
        b"GET /messages HTTP/1.1\r\nhost: earth\r\n\r\n".to_vec(),
        // A hello of TLS, a length without end, a length without content.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        [GREETING, &[0xff; 32]].concat(),
        [&noise[..], b"\xff\xff"].concat(),
        [&noise[..], b"\x00\x20", &[7; 32]].concat(),
        [&tls[..], b"\x16\x03\x01\xff\xff", &[7; 70_000]].concat(),
        [&tls[..], b"\x16\x03\x01\x00\x20", &[7; 32]].concat(),
    ];
    undisturbed(&earths, || {
        for bytes in garbage {
            let mut stream = connect(address);
            // It may hang up before it has everything.
            let _ = stream.write_all(&bytes);
            let _ = stream.shutdown(Shutdown::Write);
            assert_nothing_told(&read_to_end(stream), &earths);
        }
    });
}

#[test]
fn those_who_say_nothing_are_hung_up_on() {
    let earths = Fleet::new().earths::<2>();
    let address = socket(&earths[0]);
    let silent: Vec<_> = (0..40).map(|_| connect(address)).collect();
    undisturbed(&earths, || {});
    for stream in silent {
        assert_nothing_told(&read_to_end(stream), &earths);
    }
}

#[test]
fn a_silent_crowd_at_the_door_keeps_no_member_out() {
    let fleet = Fleet::new();
    let earths = fleet.earths::<2>();
    let address = socket(&earths[0]);
    let crowd: Vec<_> = (0..200)
        .map(|_| thread::spawn(move || connect(address)))
        .collect();
    let crowd: Vec<_> = crowd
        .into_iter()
        .map(|one| one.join().expect("connected"))
        .collect();
    undisturbed(&earths, || {});
    let late = fleet.earth(&[&earths[0].listen]);
    converged(&[&earths[0], &earths[1], &late]);
    drop(crowd);
    undisturbed(&earths, || {});
}

#[test]
fn two_hundred_who_come_and_go_disturb_nobody() {
    let earths = Fleet::new().earths::<2>();
    let address = socket(&earths[0]);
    undisturbed(&earths, || {
        let visits = (0..200).map(|i| {
            thread::spawn(move || {
                let mut stream = connect(address);
                let _ = stream.write_all(&GREETING[..i % GREETING.len()]);
            })
        });
        let visits: Vec<_> = visits.collect();
        visits
            .into_iter()
            .for_each(|visit| visit.join().expect("connected"));
    });
}

#[test]
fn a_false_seed_is_told_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let recorder = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it dials");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut buffer = [0; 4096];
        let mut recorded = Vec::new();
        // Up to the first message of the handshake, to be answered with nonsense.
        while recorded.len() < GREETING.len() + 8 + 34 {
            let read = stream.read(&mut buffer).expect("bytes");
            assert!(read > 0, "hung up after {recorded:?}");
            recorded.extend_from_slice(&buffer[..read]);
        }
        let nonsense = [GREETING, b"\x07/noise\n\x00\xc0", &[9; 192]].concat();
        stream.write_all(&nonsense).expect("it listens");
        recorded.extend(read_to_end(stream));
        recorded
    });
    let seed = format!("/ip4/127.0.0.1/tcp/{}", address.port());
    let earth = Fleet::new().earth(&[&seed]);
    earth.send("after-all");
    let recorded = recorder.join().expect("recorded");
    assert!(recorded.starts_with(GREETING));
    assert_nothing_told(&recorded, &[earth]);
}

/// A short version of what `stranger siege` shows with a million.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_of_all_kinds_costs_little_memory_and_keeps_no_member_waiting() {
    let crowd = Crowd {
        kinds: Vec::new(),
        connections: 5_000,
        held: 600,
        sources: 1,
    };
    let program = Path::new(env!("CARGO_BIN_EXE_stranger"));
    let outcome = siege(program, &crowd).await.expect("it holds");
    let visits = outcome.visits;
    assert_eq!(visits.done + visits.failed, crowd.connections);
    assert!(visits.done >= crowd.connections / 10 * 9, "{visits:?}");
    let (before, most) = outcome.resident;
    assert!(most - before <= 16 << 20, "{} bytes more", most - before);
    // A second is what it takes at most on a machine that has nothing else to do.
    let longest = outcome.waits.iter().max().expect("somebody came");
    assert!(*longest < Duration::from_secs(10), "{:?}", outcome.waits);
}

type Connected = (PeerId, StreamMuxerBox);

/// Dials as a libp2p program would, with a handshake bound to this.
async fn dial(earth: &Earth, keypair: &Keypair, prologue: &[u8]) -> Result<Connected, String> {
    let noise = noise::Config::new(keypair)
        .expect("a key")
        .with_prologue(prologue.to_vec());
    let mut transport = tcp::tokio::Transport::default()
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .boxed();
    let address: Multiaddr = earth.listen.parse().expect("an address");
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dial = transport
        .dial(address, options)
        .map_err(|error| error.to_string())?;
    let dialled = tokio::time::timeout(PATIENCE, dial)
        .await
        .expect("an answer in time");
    dialled.map_err(|error| error.to_string())
}

/// Says something at the gate and returns all that comes back until the end.
async fn talk(mut muxer: StreamMuxerBox, words: Vec<u8>) -> Vec<u8> {
    let opened = poll_fn(|cx| {
        let _ = muxer.poll_unpin(cx);
        muxer.poll_outbound_unpin(cx)
    });
    let mut stream = opened.await.expect("a stream");
    let mut heard = Vec::new();
    let conversation = async {
        stream.write_all(&words).await?;
        stream.flush().await?;
        stream.read_to_end(&mut heard).await
    };
    let mut conversation = Box::pin(conversation);
    let mut over = false;
    let driven = poll_fn(|cx| {
        // Once it has failed it must not be polled again.
        over = over || matches!(muxer.poll_unpin(cx), Poll::Ready(Err(_)));
        conversation.poll_unpin(cx).map(drop)
    });
    tokio::time::timeout(PATIENCE, driven)
        .await
        .expect("an end in time");
    drop(conversation);
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_mesh_the_handshake_fails() {
    let fleet = Fleet::new();
    let earths = fleet.earths::<2>();
    let other = crate::harness::new_key()
        .mesh()
        .derive("meshcast v1 noise prologue");
    for prologue in [&[][..], b"meshcast", &other] {
        let dialled = dial(&earths[0], &Keypair::generate_ed25519(), prologue).await;
        assert!(dialled.is_err(), "in with {prologue:?}");
    }
    let refused = |line: &str| line.contains("not admitted");
    earths[0]
        .process
        .stderr_line("refused", 1, PATIENCE, refused);
    // The log names one a second; all are counted.
    eventually("all are counted", PATIENCE, || {
        let refused = earths[0].ask("/v1/node")["counters"]["refused"].as_u64();
        (refused >= Some(3)).then_some(())
    });
    undisturbed(&earths, || {});
}

/// One who knows the mesh but not its secret.
fn impostor(fleet: &Fleet) -> (Admission, Keypair) {
    let mut entropy = [7; 48];
    entropy[..16].copy_from_slice(fleet.key.mesh().as_bytes());
    let key = MeshKey::from_entropy(entropy);
    let name = NodeName::new("fra-1").expect("allowed");
    let region = Region::new("fra").expect("allowed");
    let now = std::time::UNIX_EPOCH
        .elapsed()
        .expect("after 1970")
        .as_millis();
    let now = WallTime::from_unix_millis(now.try_into().expect("before the year 500,000,000"));
    let identity =
        Identity::from_mesh_key(&key, name, region, std::array::from_fn(|i| i as u8), now);
    let keypair = Keypair::ed25519_from_bytes(identity.boot().secret_seed()).expect("a key");
    (Admission::new(identity, Trust::from(&key)), keypair)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_the_mesh_but_not_its_secret_gets_a_refusal_and_no_more() {
    let fleet = Fleet::new();
    let earths = fleet.earths::<2>();
    let prologue = fleet.key.mesh().derive("meshcast v1 noise prologue");
    let (admission, keypair) = impostor(&fleet);
    let (peer, muxer) = dial(&earths[0], &keypair, &prologue)
        .await
        .expect("up to the gate");
    assert_eq!(peer.to_string(), earths[0].peer_id);
    let key = peer.to_bytes().split_off(6).try_into().expect("32 bytes");
    let heard = talk(muxer, admission.hello(Sender::new(key))).await;
    // Length, kind, version, and the reason: an unknown authority.
    let [high, low] = Admission::VERSION.to_be_bytes();
    assert_eq!(heard, [0, 4, 3, high, low, 3]);
    let named = |line: &str| line.contains("not admitted") && line.contains("unknown authority");
    earths[0]
        .process
        .stderr_line("the reason", 1, PATIENCE, named);
    undisturbed(&earths, || {});
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_at_the_gate_gets_a_refusal_and_no_more() {
    let fleet = Fleet::new();
    let earths = fleet.earths::<2>();
    let prologue = fleet.key.mesh().derive("meshcast v1 noise prologue");
    let accept = vec![0, 1, 2];
    for words in [
        vec![0xff; 70_000],
        vec![0, 0],
        accept,
        b"\x13/multistream/1.0.0\n".to_vec(),
    ] {
        let (_, muxer) = dial(&earths[0], &Keypair::generate_ed25519(), &prologue)
            .await
            .expect("up to the gate");
        let heard = talk(muxer, words).await;
        assert!(heard.len() <= 6, "{heard:?}");
    }
    undisturbed(&earths, || {});
}
