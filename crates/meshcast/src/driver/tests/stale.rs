//! A member whose clock is wrong.

use std::{thread, time::Duration};

use libp2p::Multiaddr;
use tokio::{runtime, sync::oneshot};

use crate::{
    NodeEvent,
    clock::wrong,
    netem::{Cut, Links, Place},
    node::fixture::{Mesh, addresses, joined, next, open, until, within},
};

const HOUR: Duration = Duration::from_secs(3_600);

/// A node by the name of `slow` whose clock is an hour behind. It posts a number when it is told
/// to, and ends when the test is over.
fn slow(
    mesh: &Mesh,
    links: &Links,
    seeds: Vec<Multiaddr>,
    told: oneshot::Receiver<u32>,
    over: oneshot::Receiver<()>,
) {
    let (mesh, links) = (Mesh(mesh.0.clone(), mesh.1), links.clone());
    thread::spawn(move || {
        wrong::set_behind(HOUR);
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("starts").block_on(async {
            let builder = mesh.builder("slow").links(&links).seeds(seeds);
            let node = builder.spawn().await.expect("starts");
            let channel = open::<u32>(&node, "earth");
            if let Ok(number) = told.await {
                channel.post_message(&number).expect("posted");
                // An error, as the other end is dropped.
                let _ = over.await;
            }
        });
    });
}

/// Of three in a row, the middle one is connected to both others, and passes on what they post.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_member_posts_whose_clock_is_an_hour_behind_is_told_where_it_is_not_taken() {
    let (mesh, links) = (Mesh::new(), Links::new(1));
    let place = |name| Place::node(name).expect("a name");
    links.cut_both(&place("far"), &place("slow"), Cut::Silent);
    let far = mesh.builder("far").links(&links).spawn();
    let far = far.await.expect("starts");
    let seeds = addresses(&far).await;
    let middle = mesh.builder("middle").links(&links).seeds(seeds).spawn();
    let middle = middle.await.expect("starts");
    let (at_far, at_middle) = (open::<u32>(&far, "earth"), open::<u32>(&middle, "earth"));
    let (mut heard_far, mut heard) = (at_far.messages(), at_middle.messages());
    joined(&[&far, &middle], "earth").await;
    let mut events = far.events();
    let ((tell, told), (_running, over)) = (oneshot::channel(), oneshot::channel());
    slow(&mesh, &links, addresses(&middle).await, told, over);
    until(&middle, |it| {
        let here = it.channels.first();
        here.is_some_and(|it| it.subscribers.len() == 2)
    })
    .await;
    tell.send(7).expect("it waits");

    assert_eq!(next(&mut heard).await, 7, "who is connected takes it");
    let stale = async {
        loop {
            if let NodeEvent::Stale {
                channel,
                name,
                behind,
                ..
            } = events.recv().await.expect("runs")
            {
                return (channel, name, behind);
            }
        }
    };
    let (channel, name, behind) = within(stale).await;
    assert_eq!((channel.as_str(), name.as_str()), ("earth", "slow"));
    let minutes = Duration::from_secs(300);
    assert!(
        HOUR - minutes < behind && behind < HOUR + minutes,
        "{behind:?}"
    );
    let snapshot = far.inspect().await.expect("runs");
    assert!(snapshot.counters.frames_stale > 0);
    assert_eq!(snapshot.counters.delivered, 0);
    assert!(snapshot.peers.iter().all(|it| it.name.as_str() == "middle"));
    // Posts of others are heard as ever.
    at_middle.post_message(&8).expect("posted");
    assert_eq!(next(&mut heard_far).await, 8);
}
