//! Streams that a member opens before the other side is through the gate, and the table of who is
//! in.

use std::{future::poll_fn, pin::Pin, task::Poll};

use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _, future, future::Either};
use libp2p::{
    PeerId, Transport as _,
    core::{
        muxing::StreamMuxerExt as _,
        transport::{DialOpts, ListenerId, PortUse, TransportEvent},
    },
};

use super::{scenes::*, *};
use crate::transport::{Handshake, tcp};

#[tokio::test]
async fn streams_that_come_before_the_listener_is_through_are_not_lost() {
    // A member opens three.
    const STREAMS: u8 = 12;
    let (amber, birch) = (gate(&simple("amber", 1, 1)), gate(&simple("birch", 1, 2)));
    let of = |gate| tcp(gate, Handshake::Tls).expect("sets up");
    let (mut here, mut there) = (of(&amber), of(&birch));
    let any = "/ip4/127.0.0.1/tcp/0".parse().expect("an address");
    there.listen_on(ListenerId::next(), any).expect("listens");
    let address = match within(there.select_next_some()).await {
        TransportEvent::NewAddress { listen_addr, .. } => listen_addr,
        other => panic!("not listening: {other:?}"),
    };
    let opts = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let mut dialing = here.dial(address, opts).expect("dials");
    let called = within(future::select(&mut dialing, there.select_next_some())).await;
    let Either::Right((TransportEvent::Incoming { upgrade, .. }, _)) = called else {
        panic!("no incoming connection");
    };

    // The listener stands still from the moment that the dialer is through.
    let (dialer, incoming) = match within(future::select(dialing, upgrade)).await {
        Either::Left((dialer, incoming)) => (dialer, incoming),
        Either::Right(_) => panic!("through without the verdict of the dialer"),
    };
    let (_, mut dialer) = dialer.expect("admitted");
    let mut opened = Vec::new();
    for n in 0..STREAMS {
        let mut stream = poll_fn(|cx| dialer.poll_outbound_unpin(cx))
            .await
            .expect("opens");
        stream.write_all(&[n]).await.expect("writes");
        stream.close().await.expect("closes");
        opened.push(stream);
    }
    // Little enough for the socket, so it is all written when the muxer is content.
    poll_fn(|cx| Poll::Ready(dialer.poll_unpin(cx).is_pending())).await;

    let (_, mut listener) = within(incoming).await.expect("admitted");
    let mut numbers = Vec::new();
    for _ in 0..STREAMS {
        let mut stream = within(poll_fn(|cx| listener.poll_inbound_unpin(cx)))
            .await
            .expect("a stream");
        let mut bytes = Vec::new();
        let mut reading = stream.read_to_end(&mut bytes);
        let read = within(poll_fn(|cx| {
            let _ = listener.poll_unpin(cx);
            Pin::new(&mut reading).poll(cx)
        }));
        read.await.expect("reads");
        numbers.extend(bytes);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..STREAMS).collect::<Vec<_>>());
}

#[test]
fn a_peer_is_in_as_long_as_one_of_its_connections() {
    let (table, peer) = (Admitted::new(16), PeerId::random());
    let first = table
        .admit(peer, member(), Caller::default())
        .expect("room");
    let second = table
        .admit(peer, member(), Caller::default())
        .expect("room");
    drop(first);
    assert!(table.get(&peer).is_some());
    drop(second);
    assert_eq!((table.get(&peer), table.len()), (None, 0));
}

#[test]
fn a_full_table_refuses_newcomers_but_not_further_connections() {
    let table = Admitted::new(16);
    let peers: Vec<_> = (0..16).map(|_| PeerId::random()).collect();
    let mut tickets: Vec<_> = peers
        .iter()
        .map(|peer| {
            table
                .admit(*peer, member(), Caller::default())
                .expect("room")
        })
        .collect();
    let newcomer = PeerId::random();
    assert_eq!(
        table.admit(newcomer, member(), Caller::default()).err(),
        Some(Reason::Full)
    );
    assert!(table.admit(peers[0], member(), Caller::default()).is_ok());
    tickets.pop();
    assert!(table.admit(newcomer, member(), Caller::default()).is_ok());
}

fn member() -> meshcast_proto::Member {
    let (identity, trust) = simple("amber", 1, 1);
    trust.verify(identity.chain().as_bytes()).expect("a member")
}
