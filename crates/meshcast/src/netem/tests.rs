//! Streams over links, with the clock stopped: time passes only while everybody waits. Then nodes,
//! in real time.

mod nodes;

use std::{future::poll_fn, pin::Pin, task::Poll};

use futures::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use libp2p::Multiaddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::{
    pump::{Pipe, Shaped, shaped},
    table::Listening,
    *,
};

const MS: Duration = Duration::from_millis(1);

/// Two places with an address each, of which one dials the other.
struct Scene {
    links: Links,
    fra: HostLinks,
    fra_place: Place,
    nrt_place: Place,
    address: Multiaddr,
    _listening: Listening,
}

impl Scene {
    fn new() -> Self {
        let links = Links::new(7);
        let who = |name: &str| Host {
            name: NodeName::new(name).expect("a name"),
            region: Region::new(&name[..3]).expect("a region"),
        };
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/4001".parse().expect("an address");
        Self {
            fra: links.for_host(who("fra-1")),
            _listening: links.for_host(who("nrt-1")).listens_on([&address]),
            fra_place: Place::region("fra").expect("a region"),
            nrt_place: Place::region("nrt").expect("a region"),
            links,
            address,
        }
    }

    fn with(shape: Shape) -> Self {
        let scene = Self::new();
        scene
            .links
            .shape_both(&scene.fra_place, &scene.nrt_place, shape);
        scene
    }

    /// The end that dialled, and the bare one of the listener, with a kernel that keeps little.
    fn connect(&self) -> (Shaped, DuplexStream) {
        let (socket, far) = duplex(1024);
        (
            shaped(Pipe(socket), self.fra.connection(&self.address)),
            far,
        )
    }
}

/// How long something takes.
async fn takes<T>(what: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let done = what.await;
    (done, start.elapsed())
}

/// Asserts that something has not happened after a long time, and gives it back to be waited for.
async fn not_yet<T>(what: impl Future<Output = T>) -> Pin<Box<impl Future<Output = T>>> {
    let mut what = Box::pin(what);
    let waited = tokio::time::timeout(Duration::from_secs(3600), what.as_mut()).await;
    assert!(waited.is_err(), "it happened");
    what
}

async fn read_exactly(stream: &mut (impl AsyncRead + Unpin), len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).await.expect("so many");
    bytes
}

#[tokio::test(start_paused = true)]
async fn bytes_take_the_delay_of_their_direction() {
    let scene = Scene::new();
    let (there, back) = (Shape::delay(70 * MS), Shape::delay(20 * MS));
    scene.links.shape(&scene.fra_place, &scene.nrt_place, there);
    scene.links.shape(&scene.nrt_place, &scene.fra_place, back);
    let (mut near, mut far) = scene.connect();
    let (_, took) = takes(async {
        near.write_all(b"ping").await.expect("taken");
        far.read_exact(&mut [0; 4]).await.expect("arrives");
    })
    .await;
    assert_eq!(took, 70 * MS);
    let (_, took) = takes(async {
        far.write_all(b"pong").await.expect("taken");
        read_exactly(&mut near, 4).await
    })
    .await;
    assert_eq!(took, 20 * MS);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_at_once_travels_at_once() {
    let scene = Scene::with(Shape::delay(50 * MS));
    let (mut near, mut far) = scene.connect();
    let (_, took) = takes(async {
        for n in 0..100 {
            near.write_all(&[n]).await.expect("taken");
            near.flush().await.expect("does not wait for the other end");
        }
        let mut bytes = [0; 100];
        far.read_exact(&mut bytes).await.expect("arrive");
        assert!(bytes.is_sorted());
    })
    .await;
    assert!((50 * MS..60 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_bottleneck_limits_each_direction_and_nothing_is_lost_or_swapped() {
    let rate = NonZeroU64::new(1_000_000).expect("some");
    let shape = Shape::delay(10 * MS).jitter(5 * MS).bandwidth(rate);
    let scene = Scene::with(shape);
    let (mut near, mut far) = scene.connect();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 251) as u8).collect();
    let (got, took) = takes(async {
        let mut got = Vec::new();
        let send = async {
            near.write_all(&sent).await.expect("taken");
            near.close().await.expect("closes");
        };
        let receive = far.read_to_end(&mut got);
        let ((), received) = tokio::join!(send, receive);
        received.expect("to the end");
        got
    })
    .await;
    assert!(got == sent, "altered on the way");
    assert!((3000 * MS..3100 * MS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_when_as_much_is_under_way_as_may_be() {
    let rate = NonZeroU64::new(1_000_000).expect("some");
    let scene = Scene::with(Shape::delay(100 * MS).bandwidth(rate));
    let (mut near, mut far) = scene.connect();
    scene
        .links
        .cut_both(&scene.fra_place, &scene.nrt_place, Cut::Silent);
    let mut taken = 0;
    let full = async {
        loop {
            taken += near.write(&[1; 1000]).await.expect("not broken");
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), full).await;
    assert!(waited.is_err());
    // The bandwidth times the delay, the queue, and the pipe in front.
    let most = 100_000 + Shape::QUEUE + 64 * 1024 + 16 * 1024;
    assert!((100_000..=most).contains(&taken), "{taken}");
    scene.links.heal();
    let mut bytes = vec![0; taken];
    far.read_exact(&mut bytes).await.expect("all of it arrives");
}

#[tokio::test(start_paused = true)]
async fn a_silent_cut_keeps_bytes_away_and_gives_them_back() {
    let scene = Scene::with(Shape::delay(10 * MS));
    let (mut near, mut far) = scene.connect();
    scene
        .links
        .cut_both(&scene.fra_place, &scene.nrt_place, Cut::Silent);
    near.write_all(b"lost?").await.expect("nobody is told");
    let mut bytes = [0; 5];
    let arrival = not_yet(far.read_exact(&mut bytes)).await;
    scene.links.mend(&scene.nrt_place, &scene.fra_place);
    let arrival = not_yet(arrival).await;
    scene.links.mend(&scene.fra_place, &scene.nrt_place);
    arrival.await.expect("arrives");
    assert_eq!(&bytes, b"lost?");
    assert!(scene.links.cuts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_way_the_other_direction_goes_on() {
    let scene = Scene::new();
    let (mut near, mut far) = scene.connect();
    scene
        .links
        .cut(&scene.fra_place, &scene.nrt_place, Cut::Silent);
    near.write_all(b"question").await.expect("nobody is told");
    far.write_all(b"answer").await.expect("taken");
    assert_eq!(read_exactly(&mut near, 6).await, b"answer");
    drop(not_yet(far.read_u8()).await);
}

#[tokio::test(start_paused = true)]
async fn a_stall_ends_by_itself() {
    let scene = Scene::with(Shape::delay(10 * MS));
    let (mut near, mut far) = scene.connect();
    scene
        .links
        .stall(&Place::Everywhere, &scene.nrt_place, 2000 * MS);
    near.write_all(b"late").await.expect("taken");
    let (_, took) = takes(far.read_exact(&mut [0; 4])).await;
    assert_eq!(took, 2000 * MS);
    near.write_all(b"soon").await.expect("taken");
    let (_, took) = takes(far.read_exact(&mut [0; 4])).await;
    assert_eq!(took, 10 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_reset_breaks_both_ends_at_once_also_behind_a_cut() {
    let scene = Scene::with(Shape::delay(10 * MS));
    for reset in [
        |scene: &Scene| scene.links.reset(&scene.nrt_place, &scene.fra_place),
        |scene: &Scene| {
            scene
                .links
                .cut(&scene.nrt_place, &scene.fra_place, Cut::Reset)
        },
    ] {
        let (mut near, mut far) = scene.connect();
        scene
            .links
            .cut(&scene.fra_place, &scene.nrt_place, Cut::Silent);
        near.write_all(b"never arrives").await.expect("taken");
        reset(&scene);
        let error = near.read(&mut [0; 1]).await.expect_err("broken");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        let error = near.write(b"more").await.expect_err("broken");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        assert_eq!(far.read(&mut [0; 1]).await.expect("no more"), 0);
        scene.links.heal();
    }
    assert_eq!(scene.links.connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_travels_behind_the_last_byte_and_the_other_direction_stays_open() {
    let scene = Scene::with(Shape::delay(30 * MS));
    let (mut near, mut far) = scene.connect();
    let (got, took) = takes(async {
        near.write_all(b"last").await.expect("taken");
        near.close().await.expect("closes");
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.expect("to the end");
        got
    })
    .await;
    assert_eq!((got.as_slice(), took), (&b"last"[..], 30 * MS));
    far.write_all(b"still here").await.expect("half open");
    assert_eq!(read_exactly(&mut near, 10).await, b"still here");
    drop(far);
    assert_eq!(near.read(&mut [0; 1]).await.expect("the end"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_written_arrives_although_the_writer_is_gone() {
    let scene = Scene::with(Shape::delay(30 * MS));
    let (mut near, mut far) = scene.connect();
    near.write_all(b"testament").await.expect("taken");
    drop(near);
    let mut got = Vec::new();
    far.read_to_end(&mut got).await.expect("to the end");
    assert_eq!(got, b"testament");
}

#[tokio::test(start_paused = true)]
async fn behind_a_silent_cut_nobody_hears_that_an_end_is_gone() {
    let scene = Scene::new();
    let (near, mut far) = scene.connect();
    scene
        .links
        .cut_both(&scene.fra_place, &scene.nrt_place, Cut::Silent);
    drop(near);
    let end = not_yet(async { far.read(&mut [0; 1]).await }).await;
    assert_eq!(scene.links.connections(), 1);
    scene.links.heal();
    assert_eq!(end.await.expect("the end"), 0);
}

#[tokio::test(start_paused = true)]
async fn when_nobody_can_mend_links_any_more_connections_end() {
    let scene = Scene::new();
    let (mut near, mut far) = scene.connect();
    scene
        .links
        .cut_both(&scene.fra_place, &scene.nrt_place, Cut::Silent);
    drop(scene);
    assert_eq!(far.read(&mut [0; 1]).await.expect("the end"), 0);
    near.read(&mut [0; 1]).await.expect_err("broken");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_late_waits_no_longer_and_is_woken() {
    let scene = Scene::with(Shape::delay(50 * MS));
    let (mut near, mut far) = scene.connect();
    far.write_all(b"early").await.expect("taken");
    tokio::time::sleep(10 * MS).await;
    // Whoever polls in vain is woken.
    let mut byte = [0; 5];
    let pending =
        poll_fn(|cx| Poll::Ready(Pin::new(&mut near).poll_read(cx, &mut byte).is_pending()));
    assert!(pending.await);
    let (_, took) = takes(read_exactly(&mut near, 5)).await;
    assert_eq!(took, 40 * MS);
}

#[test]
fn the_most_exact_shape_counts_whatever_the_order() {
    let node = |name: &str| Place::node(name).expect("a name");
    for reversed in [false, true] {
        let links = Links::new(1);
        let (fra, nrt) = (
            Place::region("fra").expect("one"),
            Place::region("nrt").expect("one"),
        );
        let mut shapes = vec![
            (Place::Everywhere, Place::Everywhere, 1),
            (fra.clone(), Place::Everywhere, 2),
            (fra, nrt, 3),
            (node("fra-1"), node("nrt-2"), 4),
        ];
        if reversed {
            shapes.reverse();
        }
        for (from, to, ms) in &shapes {
            links.shape(from, to, Shape::delay(*ms * MS));
        }
        let who = |name: &str| Host {
            name: NodeName::new(name).expect("a name"),
            region: Region::new(&name[..3]).expect("a region"),
        };
        let listen = |name: &str, port: u16| {
            let address = format!("/ip4/127.0.0.1/tcp/{port}")
                .parse()
                .expect("an address");
            (links.for_host(who(name)).listens_on([&address]), address)
        };
        let delay = |from: &str, address: &Multiaddr| {
            let guard = links.for_host(who(from)).connection(address);
            let state = *guard.state.borrow();
            state.out.shape.delay.as_millis()
        };
        let ((_a, nrt_1), (_b, nrt_2)) = (listen("nrt-1", 1), listen("nrt-2", 2));
        let elsewhere: Multiaddr = "/ip4/127.0.0.1/tcp/3".parse().expect("an address");
        assert_eq!(delay("fra-1", &nrt_2), 4);
        assert_eq!(delay("fra-1", &nrt_1), 3);
        assert_eq!(delay("fra-1", &elsewhere), 2);
        assert_eq!(delay("syd-1", &nrt_1), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_listens_there_may_come_later_and_stays_known() {
    let links = Links::new(1);
    let who = |name: &str| Host {
        name: NodeName::new(name).expect("a name"),
        region: Region::new(&name[..3]).expect("a region"),
    };
    let address: Multiaddr = "/ip4/127.0.0.1/tcp/4001".parse().expect("an address");
    let fra = links.for_host(who("fra-1"));
    let guard = fra.connection(&address);
    let nrt = Place::node("nrt-1").expect("a name");
    links.cut(&nrt, &Place::Everywhere, Cut::Silent);
    let shut = || guard.state.borrow().back.passage == table::Passage::Blocked;
    assert!(!shut(), "nobody is there");
    let listening = links.for_host(who("nrt-1")).listens_on([&address]);
    assert!(shut());
    drop(listening);
    links.cut(&Place::Everywhere, &nrt, Cut::Silent);
    assert!(shut(), "the connection is still the same");
    let again = fra.connection(&address);
    assert_eq!(
        again.state.borrow().out.passage,
        table::Passage::Open,
        "nobody is there"
    );
}
