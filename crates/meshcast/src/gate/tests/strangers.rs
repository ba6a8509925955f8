//! Answers to processes that are no nodes, or nodes that do not keep to the protocol.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
};

use libp2p::{
    Multiaddr, PeerId, Transport as _,
    core::{
        muxing::{StreamMuxerBox, StreamMuxerExt as _},
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
    },
};
use tokio::sync::mpsc;

use super::{scenes::*, *};
use crate::{
    ids::peer_id,
    transport::{Handshake, Secure, Secured, ungated},
};

type Line = Talk<StreamMuxerBox>;

#[tokio::test]
async fn whoever_is_no_node_gets_no_byte_of_ours() {
    let short = Timeouts {
        connection: Duration::from_millis(100),
        ..Timeouts::default()
    };
    let here = simple("amber", 1, 1);
    let patient = run(&gate(&here)).await;
    let impatient = run(&with_timeouts(&here, short)).await;
    let handshake = b"\x13/multistream/1.0.0\n\x07/noise\n\x00\x20ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
    let hang_up = [
        (b"\x04GET ".as_slice(), GateError::Foreign),
        (b"\x13/multistream/1.0.0\n\x07/noise\n", GateError::HungUp),
        (&handshake[..40], GateError::HungUp),
        (handshake, GateError::HungUp),
        (b"\x13/multistream/1.0.0\n\x04/tls\n", GateError::Foreign),
        (
            b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n",
            GateError::HungUp,
        ),
        (
            b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n\x16\x03\x01\x01\0half",
            GateError::HungUp,
        ),
        (
            b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n\x16\x03\x01\0\x04none",
            GateError::Handshake,
        ),
        (
            b"\x13/multistream/1.0.0\n\x0b/tls/1.0.1\n",
            GateError::Foreign,
        ),
    ];
    let stay = [&handshake[..40], handshake].map(|says| (says, GateError::Timeout));
    for ((address, mut ends), cases) in [(patient, &hang_up[..]), (impatient, &stay)] {
        for &(says, reason) in cases {
            let heard = shout(socket_addr(&address), says, reason != GateError::Timeout).await;
            assert_eq!(
                within(ends.recv()).await,
                Some(Err(Some(reason))),
                "{says:?}"
            );
            assert!(heard.len() < 300, "{heard:?}");
            for secret in ["amber", REGION, "meshcast", "yamux"] {
                assert!(
                    !heard
                        .windows(secret.len())
                        .any(|heard| heard == secret.as_bytes())
                );
            }
        }
    }
}

/// A process that answers at an address given for a node's, and what is said of it: no more than is
/// known.
#[tokio::test]
async fn who_answers_otherwise_than_a_node_is_named_by_what_it_did() {
    let here = simple("amber", 1, 1);
    let short = Timeouts {
        connection: Duration::from_millis(300),
        ..Timeouts::default()
    };
    let header = b"\x13/multistream/1.0.0\n";
    let agreed = b"\x13/multistream/1.0.0\n\x07/noise\n";
    let nonsense = [&agreed[..], b"\x00\xc0", &[9; 192]].concat();
    let cases: [(&str, Vec<u8>, bool, GateError); 9] = [
        ("hangs up", vec![], true, GateError::HungUp),
        ("says nothing", vec![], false, GateError::Timeout),
        (
            "HTTP",
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            true,
            GateError::Foreign,
        ),
        (
            "SSH",
            b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(),
            false,
            GateError::Foreign,
        ),
        (
            "no noise",
            [&header[..], b"\x03na\n"].concat(),
            false,
            GateError::NoNoise,
        ),
        (
            "half a header",
            header[..9].to_vec(),
            true,
            GateError::HungUp,
        ),
        ("then hangs up", agreed.to_vec(), true, GateError::HungUp),
        (
            "then says nothing",
            agreed.to_vec(),
            false,
            GateError::Timeout,
        ),
        ("nonsense", nonsense, false, GateError::OtherMesh),
    ];
    // Who agrees to TLS is not asked for noise.
    let agreed = b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n";
    let senseless = [&agreed[..], b"\x16\x03\x03\x00\x09", &[9; 9]].concat();
    let endless = [&agreed[..], b"\x16\x03\x03\xff\xff", &[9; 5000]].concat();
    let of_tls = [
        ("hangs up after", agreed.to_vec(), true, GateError::HungUp),
        ("says no more", agreed.to_vec(), false, GateError::Timeout),
        ("senseless", senseless, false, GateError::Handshake),
        ("endless", endless, false, GateError::Handshake),
    ];
    let of_tls = of_tls.map(|case| (Handshake::Tls, case));
    let both = cases
        .into_iter()
        .flat_map(|case| BOTH.map(|how| (how, case.clone())));
    for (how, (what, says, hangs_up, reason)) in both.chain(of_tls) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("binds");
        let address = multiaddr(listener.local_addr().expect("bound"));
        let service = tokio::spawn(async move {
            // It is dialled again with noise if it does not seem to know TLS.
            let mut open = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.expect("is called");
                hear(&mut stream).await;
                tokio::io::AsyncWriteExt::write_all(&mut stream, &says)
                    .await
                    .expect("answers");
                if !hangs_up {
                    open.push(stream);
                }
            }
        });
        // Everybody else ends it by itself, on a slow machine too.
        let timeouts = match reason {
            GateError::Timeout => short,
            _ => Timeouts::default(),
        };
        let mut node = swarm_that(&with_timeouts(&here, timeouts), how);
        node.dial(address).expect("dials");
        assert_eq!(
            next_end(&mut node).await,
            Err(Some(reason)),
            "{what} {how:?}"
        );
        service.abort();
        let claims = reason.to_string().contains("KEY");
        assert_eq!(claims, reason == GateError::OtherMesh, "{what}: {reason}");
    }
}

/// All that a node says first, so that hanging up on it is not a reset.
async fn hear(stream: &mut tokio::net::TcpStream) {
    use tokio::io::AsyncReadExt as _;
    let mut greeting = [0; 28];
    stream.read_exact(&mut greeting).await.expect("greets");
    let mut left = 34;
    if !greeting.ends_with(b"/noise\n") {
        let mut header = [0; 9];
        stream.read_exact(&mut header).await.expect("a record");
        left = usize::from(u16::from_be_bytes([header[7], header[8]]));
    }
    let mut message = vec![0; left];
    stream.read_exact(&mut message).await.expect("a message");
}

#[tokio::test]
async fn who_knows_the_mesh_but_is_no_member_gets_a_refusal_and_nothing_else() {
    for how in BOTH {
        let always = (WallTime::MIN, WallTime::MAX);
        let (here, (stranger, _)) = (managed(1, always), managed(2, always));
        let gate = gate(&here);
        let (address, mut ends) = run(&gate).await;
        let mut line = dial(&stranger, &gate, &address, how).await;
        let stranger = Admission::new(stranger, here.1);
        line.send(&stranger.hello(here.0.sender()))
            .await
            .expect("sends");
        expect_only_refusal(&mut line, Reason::UnknownAuthority).await;
        assert_eq!(within(line.refuse(&[])).await, Err(GateError::Closed));
        let rejected = GateError::Reject(Reason::UnknownAuthority);
        assert_eq!(within(ends.recv()).await, Some(Err(Some(rejected))));
    }
}

#[tokio::test]
async fn a_stolen_credential_opens_nothing() {
    for how in BOTH {
        let (victim, thief) = (simple("amber", 1, 1), simple("thief", 1, 2));
        let here = simple("birch", 1, 3);
        let gate = gate(&here);

        let (address, mut ends) = run(&gate).await;
        let mut line = dial(&thief.0, &gate, &address, how).await;
        let hello = stolen(&thief, &victim.0, here.0.sender());
        line.send(&hello).await.expect("sends");
        expect_refusal(line, &mut ends, Reason::KeyMismatch).await;

        let (address, mut calls) = answer(&thief.0, &gate).await;
        let mut node = swarm_that(&gate, how);
        node.dial(address).expect("dials");
        let talk = async {
            let mut line = within(calls.recv()).await.expect("is called");
            let mut buffer = [0; Admission::MAX_LEN];
            line.begin().await.expect("a stream");
            line.receive(&mut buffer).await.expect("a hello");
            line.send(&hello).await.expect("sends");
            let verdict = line.receive(&mut buffer).await.expect("a verdict");
            admission(&thief).check_verdict(verdict)
        };
        let (end, verdict) = tokio::join!(next_end(&mut node), talk);
        assert_eq!(end, Err(Some(GateError::Reject(Reason::KeyMismatch))));
        assert_eq!(
            verdict.map_err(GateError::from),
            Err(GateError::Refused(Reason::KeyMismatch))
        );
        assert_eq!(gate.admitted().len(), 0);
    }
}

#[tokio::test]
async fn messages_that_are_too_long_or_senseless_are_refused() {
    for how in BOTH {
        let here = simple("amber", 1, 1);
        let member = simple("birch", 1, 2).0;
        let gate = gate(&here);
        let (address, mut ends) = run(&gate).await;
        let mut padded = Admission::new(member.clone(), here.1).hello(here.0.sender());
        padded.extend_from_slice(&[0; 9]);
        let len = u16::try_from(padded.len() - 2).expect("short");
        padded[..2].copy_from_slice(&len.to_be_bytes());
        let version = u8::try_from(Admission::VERSION).expect("small");
        for message in [
            [0xff; 3].as_slice(),
            &[0x07, 0xff, 1],
            &[0, 0],
            &[0, 1, 2],
            &[0, 3, 1, 0, version],
            &padded,
        ] {
            let mut line = dial(&member, &gate, &address, how).await;
            line.send(message).await.expect("sends");
            expect_refusal(line, &mut ends, Reason::Malformed).await;
        }
        assert_eq!(gate.admitted().len(), 0);
    }
}

#[tokio::test]
async fn a_second_stream_before_the_hello_ends_the_admission() {
    for how in BOTH {
        let here = simple("amber", 1, 1);
        let gate = gate(&here);
        let (address, mut ends) = run(&gate).await;
        let (_, mut muxer) = dial_ungated(&simple("birch", 1, 2).0, &gate, &address, how).await;
        let mut streams = Vec::new();
        for _ in 0..2 {
            let mut stream = std::future::poll_fn(|cx| muxer.poll_outbound_unpin(cx))
                .await
                .expect("opens");
            futures::AsyncWriteExt::write_all(&mut stream, &[0])
                .await
                .expect("writes");
            streams.push(stream);
        }
        // The muxer ends when the gate hangs up.
        let over = within(std::future::poll_fn(|cx| muxer.poll_unpin(cx))).await;
        assert!(over.is_err(), "{over:?}");
        assert_eq!(
            within(ends.recv()).await,
            Some(Err(Some(GateError::Reject(Reason::Malformed))))
        );
    }
}

#[tokio::test]
async fn who_hangs_up_at_the_gate_is_named() {
    for how in BOTH {
        let gate = gate(&simple("amber", 1, 1));
        let (address, mut ends) = run(&gate).await;
        let mut line = dial(&simple("birch", 1, 2).0, &gate, &address, how).await;
        line.send(&[4]).await.expect("sends");
        line.close().await.expect("closes");
        let mut buffer = [0; Admission::MAX_LEN];
        assert_eq!(
            within(line.receive(&mut buffer)).await,
            Err(GateError::Closed)
        );
        assert_eq!(
            within(ends.recv()).await,
            Some(Err(Some(GateError::Closed)))
        );
    }
}

#[tokio::test]
async fn those_who_stall_keep_nobody_out() {
    for how in BOTH {
        const STALLED: usize = 30;
        let patient = Timeouts {
            gate: Duration::from_secs(3600),
            connection: Duration::from_secs(3600),
            ..Timeouts::default()
        };
        let here = simple("amber", 1, 1);
        let gate = with_timeouts(&here, patient);
        let (address, mut ends) = run(&gate).await;
        let mut stalled = Vec::new();
        for boot in 2..2 + u8::try_from(STALLED).expect("few") {
            let mut line = dial(&simple("sloth", 1, boot).0, &gate, &address, how).await;
            line.send(&[0]).await.expect("sends");
            stalled.push(line);
        }
        let mut member = swarm(&super::gate(&simple("birch", 1, 99)));
        member.dial(address).expect("dials");
        assert_eq!(next_end(&mut member).await, Ok(peer_id(here.0.sender())));
        assert_eq!(within(ends.recv()).await, Some(Ok(*member.local_peer_id())));
        assert_eq!(gate.admitted().len(), 1);
    }
}

#[tokio::test]
async fn those_who_stall_are_dropped_in_time() {
    for how in BOTH {
        let short = Timeouts {
            gate: Duration::from_millis(100),
            ..Timeouts::default()
        };
        let here = simple("amber", 1, 1);
        let gate = with_timeouts(&here, short);
        let (address, mut ends) = run(&gate).await;
        let timeout = Err(Some(GateError::Timeout));

        // In the middle of its hello.
        let mut line = dial(&simple("sloth", 1, 2).0, &gate, &address, how).await;
        line.send(&[4]).await.expect("sends");
        assert_eq!(within(ends.recv()).await, Some(timeout));

        // After its hello: it never says what it made of ours.
        let sloth = simple("sloth", 1, 3);
        let mut line = dial(&sloth.0, &gate, &address, how).await;
        let hello = admission(&sloth).hello(here.0.sender());
        line.send(&hello).await.expect("sends");
        assert_eq!(within(ends.recv()).await, Some(timeout));
        assert_eq!(gate.admitted().len(), 0);

        // As a listener that never answers.
        let (address, mut calls) = answer(&sloth.0, &gate).await;
        let mut node = swarm(&gate);
        node.dial(address).expect("dials");
        assert_eq!(next_end(&mut node).await, timeout);
        assert!(calls.recv().await.is_some());
    }
}

/// Says something over bare TCP and returns what it hears until the other side hangs up.
async fn shout(address: SocketAddr, says: &'static [u8], hangs_up: bool) -> Vec<u8> {
    let talk = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("connects");
        stream.write_all(says).expect("writes");
        if hangs_up {
            stream.shutdown(Shutdown::Write).expect("shuts down");
        }
        let mut heard = Vec::new();
        // A reset is as good an end as any.
        let _ = stream.read_to_end(&mut heard);
        heard
    });
    within(talk).await.expect("does not panic")
}

fn with_timeouts((identity, trust): &(Identity, Trust), timeouts: Timeouts) -> Gate {
    Gate::with(
        Admission::new(identity.clone(), trust.clone()),
        clock(),
        timeouts,
        16,
        Budget::default(),
    )
}

/// Runs a node in a task of its own, and hands out how connections come out there.
async fn run(gate: &Gate) -> (Multiaddr, mpsc::UnboundedReceiver<End>) {
    let mut node = swarm(gate);
    let address = listen(&mut node).await;
    let (sender, ends) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            use futures::StreamExt as _;
            if let Some(end) = end_of(&node.select_next_some().await)
                && sender.send(end).is_err()
            {
                return;
            }
        }
    });
    (address, ends)
}

/// Everything but the gate.
fn without_gate(identity: &Identity, gate: &Gate, how: Handshake) -> Secured {
    let secure = Secure::new(identity, gate.admission().mesh(), how).expect("sets up");
    ungated(libp2p::tcp::tokio::Transport::default(), secure)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed()
}

async fn dial_ungated(
    identity: &Identity,
    gate: &Gate,
    address: &Multiaddr,
    how: Handshake,
) -> (PeerId, StreamMuxerBox) {
    let opts = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let dialing = without_gate(identity, gate, how)
        .dial(address.clone(), opts)
        .expect("dials");
    within(dialing).await.expect("connects")
}

async fn dial(identity: &Identity, gate: &Gate, address: &Multiaddr, how: Handshake) -> Line {
    let (_, muxer) = dial_ungated(identity, gate, address, how).await;
    let mut line = Talk::new(muxer, Endpoint::Dialer);
    line.begin().await.expect("opens a stream");
    line
}

/// Listens without a gate, and hands out who calls.
async fn answer(identity: &Identity, gate: &Gate) -> (Multiaddr, mpsc::UnboundedReceiver<Line>) {
    use futures::StreamExt as _;
    let mut transport = without_gate(identity, gate, Handshake::Noise);
    let any = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    transport
        .listen_on(ListenerId::next(), any)
        .expect("listens");
    let address = match within(transport.select_next_some()).await {
        TransportEvent::NewAddress { listen_addr, .. } => listen_addr,
        other => panic!("not listening: {other:?}"),
    };
    let (sender, calls) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = transport.next().await {
            if let TransportEvent::Incoming { upgrade, .. } = event {
                let (_, muxer) = upgrade.await.expect("connects");
                let _ = sender.send(Talk::new(muxer, Endpoint::Listener));
            }
        }
    });
    (address, calls)
}

/// Both ends must have the reason.
async fn expect_refusal(mut line: Line, ends: &mut mpsc::UnboundedReceiver<End>, reason: Reason) {
    expect_only_refusal(&mut line, reason).await;
    // The gate waits for us to hang up.
    drop(line);
    assert_eq!(
        within(ends.recv()).await,
        Some(Err(Some(GateError::Reject(reason))))
    );
}

async fn expect_only_refusal(line: &mut Line, reason: Reason) {
    let mut buffer = [0; Admission::MAX_LEN];
    let message = within(line.receive(&mut buffer)).await.expect("a message");
    let expected = admission(&simple("any", 1, 50)).refusal(reason);
    assert_eq!(message, &expected[Admission::PREFIX_LEN..]);
    // Neither a byte more nor a stream: those would not be `Closed`.
    assert_eq!(
        within(line.receive(&mut buffer)).await,
        Err(GateError::Closed)
    );
}

fn admission((identity, trust): &(Identity, Trust)) -> Admission {
    Admission::new(identity.clone(), trust.clone())
}

/// A hello of the thief, with the chain of the victim.
fn stolen(thief: &(Identity, Trust), victim: &Identity, to: Sender) -> Vec<u8> {
    let mut hello = admission(thief).hello(to);
    hello.truncate(2 + 1 + 2 + 32);
    hello.extend_from_slice(victim.chain().as_bytes());
    let len = u16::try_from(hello.len() - 2).expect("short");
    hello[..2].copy_from_slice(&len.to_be_bytes());
    hello
}
