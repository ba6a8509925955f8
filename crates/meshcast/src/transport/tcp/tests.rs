use std::{
    future::poll_fn,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::core::{Endpoint, transport::PortUse};

use super::{
    greeting::{NOISE, TLS},
    *,
};

fn tcp() -> Tcp {
    Tcp::new(Door::default(), Duration::from_secs(60))
}

fn listen(tcp: &mut Tcp, at: &str) -> Result<(), TransportError<io::Error>> {
    tcp.listen_on(ListenerId::next(), at.parse().expect("an address"))
}

async fn next(tcp: &mut Tcp) -> Event {
    poll_fn(|cx| Pin::new(&mut *tcp).poll(cx)).await
}

/// Listens on a port that the system chooses.
async fn listening(tcp: &mut Tcp) -> Multiaddr {
    listen(tcp, "/ip4/127.0.0.1/tcp/0").expect("listens");
    match next(tcp).await {
        TransportEvent::NewAddress { listen_addr, .. } => listen_addr,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_port_that_somebody_listens_on_is_refused_by_each_address_that_overlaps() {
    let mut first = tcp();
    let address = listening(&mut first).await;
    let port = socket_addr(&address).expect("of TCP").port();
    for at in [address.to_string(), format!("/ip4/0.0.0.0/tcp/{port}")] {
        let refused = listen(&mut tcp(), &at);
        match refused {
            Err(TransportError::Other(error)) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
            other => panic!("{at}: {other:?}"),
        }
    }
    listen(&mut tcp(), &format!("/ip4/127.0.0.2/tcp/{port}")).expect("another address");
}

#[tokio::test]
async fn a_port_with_connections_of_a_process_before_is_free() {
    let mut first = tcp();
    let address = listening(&mut first).await;
    let there = socket_addr(&address).expect("of TCP");
    let mut client = TcpStream::connect(there).expect("connects");
    client.write_all(TLS).expect("writes");
    let TransportEvent::Incoming { upgrade, .. } = next(&mut first).await else {
        panic!("nobody came");
    };
    // The side that closes first keeps the connection for a minute (TIME_WAIT).
    drop(upgrade.await);
    drop((first, client));
    listen(&mut tcp(), &address.to_string()).expect("free");
}

#[tokio::test]
async fn each_dial_comes_from_a_port_of_its_own() {
    let (mut here, mut there) = (tcp(), tcp());
    let ours = listening(&mut here).await;
    let theirs = listening(&mut there).await;
    let mut seen = vec![ours];
    for _ in 0..3 {
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        };
        let dial = here.dial(theirs.clone(), options).expect("an address");
        let greeted = async {
            let mut socket = dial.await.expect("connects");
            socket.write_all(TLS).await.expect("writes");
            socket
        };
        let (_open, event) = tokio::join!(greeted, next(&mut there));
        let TransportEvent::Incoming { send_back_addr, .. } = event else {
            panic!("{event:?}");
        };
        assert!(!seen.contains(&send_back_addr), "{send_back_addr} again");
        seen.push(send_back_addr);
    }
}

#[tokio::test]
async fn a_newcomer_is_heard_however_many_say_nothing_and_all_are_counted() {
    let mut node = tcp();
    let address = listening(&mut node).await;
    let there = socket_addr(&address).expect("of TCP");
    let (door, crowd) = (node.door.clone(), 700);
    let idle: Vec<_> = (0..crowd)
        .map(|_| TcpStream::connect(there).expect("connects"))
        .collect();
    for greeting in [TLS, NOISE] {
        let mut newcomer = TcpStream::connect(there).expect("connects");
        newcomer
            .write_all(&[greeting, b"and more"].concat())
            .expect("writes");
        let TransportEvent::Incoming {
            upgrade,
            send_back_addr,
            ..
        } = next(&mut node).await
        else {
            panic!("nobody came");
        };
        assert_eq!(
            Some(send_back_addr),
            newcomer.local_addr().ok().map(multiaddr)
        );
        // Nothing of what was said to the door is lost.
        let mut heard = vec![0; greeting.len() + 8];
        upgrade
            .await
            .expect("ready")
            .read_exact(&mut heard)
            .await
            .expect("all of it");
        assert_eq!(heard, [greeting, b"and more"].concat());
    }
    let inbound = door.inbound();
    assert_eq!((inbound.all, inbound.foreign), (crowd + 2, 0));
    assert!(
        inbound.displaced > 300 && inbound.pending < 300,
        "{inbound:?}"
    );
    drop(idle);
}

#[tokio::test]
async fn who_says_something_else_or_nothing_is_hung_up_on_without_a_word() {
    let mut node = Tcp::new(Door::default(), Duration::from_millis(50));
    let address = listening(&mut node).await;
    let there = socket_addr(&address).expect("of TCP");
    let mut http = TcpStream::connect(there).expect("connects");
    http.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("writes");
    let TransportEvent::ListenerError { error, .. } = next(&mut node).await else {
        panic!("taken in");
    };
    let turned = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<Turned>());
    assert_eq!(turned.map(|turned| turned.from), http.local_addr().ok());
    assert_ne!(
        http.read(&mut [0; 64]).unwrap_or_default(),
        64,
        "it is told something"
    );
    let mut silent = TcpStream::connect(there).expect("connects");
    silent.write_all(&TLS[..7]).expect("writes");
    // A slow one is as good as a silent one.
    let door = node.door.clone();
    let hung_up =
        tokio::task::spawn_blocking(move || silent.read(&mut [0; 64]).unwrap_or_default());
    let read = tokio::select! {
        read = hung_up => read.expect("no panic"),
        event = next(&mut node) => panic!("{event:?}"),
    };
    let inbound = door.inbound();
    assert_eq!(
        (read, inbound.silent, inbound.foreign, inbound.pending),
        (0, 1, 1, 0)
    );
}

#[test]
fn only_addresses_of_tcp_are_taken() {
    let parsed =
        |text: &str| socket_addr(&text.parse().expect("an address")).map(|at| at.to_string());
    let peer = libp2p::PeerId::random();
    assert_eq!(parsed("/ip4/1.2.3.4/tcp/5").as_deref(), Some("1.2.3.4:5"));
    assert_eq!(
        parsed(&format!("/ip6/::1/tcp/5/p2p/{peer}")).as_deref(),
        Some("[::1]:5")
    );
    for other in [
        "/ip4/1.2.3.4/udp/5",
        "/ip4/1.2.3.4",
        "/dns/a/tcp/5",
        "/ip4/1.2.3.4/tcp/5/ws",
    ] {
        assert_eq!(parsed(other), None, "{other}");
    }
}
