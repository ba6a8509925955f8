use std::{future::poll_fn, net::TcpStream};

use libp2p::core::{Endpoint, transport::PortUse};

use super::*;

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
    let mut first = Tcp::default();
    let address = listening(&mut first).await;
    let port = socket_addr(&address).expect("of TCP").port();
    for at in [address.to_string(), format!("/ip4/0.0.0.0/tcp/{port}")] {
        let refused = listen(&mut Tcp::default(), &at);
        match refused {
            Err(TransportError::Other(error)) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse),
            other => panic!("{at}: {other:?}"),
        }
    }
    listen(&mut Tcp::default(), &format!("/ip4/127.0.0.2/tcp/{port}")).expect("another address");
}

#[tokio::test]
async fn a_port_with_connections_of_a_process_before_is_free() {
    let mut first = Tcp::default();
    let address = listening(&mut first).await;
    let there = socket_addr(&address).expect("of TCP");
    let client = TcpStream::connect(there).expect("connects");
    let TransportEvent::Incoming { upgrade, .. } = next(&mut first).await else {
        panic!("nobody came");
    };
    // The side that closes first keeps the connection for a minute (TIME_WAIT).
    drop(upgrade.await);
    drop((first, client));
    listen(&mut Tcp::default(), &address.to_string()).expect("free");
}

#[tokio::test]
async fn each_dial_comes_from_a_port_of_its_own() {
    let (mut here, mut there) = (Tcp::default(), Tcp::default());
    let ours = listening(&mut here).await;
    let theirs = listening(&mut there).await;
    let mut seen = vec![ours];
    for _ in 0..3 {
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        };
        let dial = here.dial(theirs.clone(), options).expect("an address");
        let (dialled, event) = tokio::join!(dial, next(&mut there));
        let _open = dialled.expect("connects");
        let TransportEvent::Incoming { send_back_addr, .. } = event else {
            panic!("{event:?}");
        };
        assert!(!seen.contains(&send_back_addr), "{send_back_addr} again");
        seen.push(send_back_addr);
    }
}

#[test]
fn only_addresses_of_tcp_are_taken() {
    let parsed = |text: &str| socket_addr(&text.parse().expect("an address")).map(|at| at.to_string());
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
