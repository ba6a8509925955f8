//! Clients that come back, to another member, all at once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream};
use meshcast::{Cursor, MeshKey, Messages, Node, NodeBuilder, Since};

use crate::harness::{PATIENCE, new_key};

fn member(key: &MeshKey, name: &str) -> Result<NodeBuilder> {
    let listen = "127.0.0.1:0";
    Ok(Node::builder().key(key.clone()).name(name).listen(listen))
}

async fn requests(node: &Node) -> Result<u64> {
    Ok(node.counters().await?.protocol.requests)
}

/// The number that is due of each sender.
type Due = BTreeMap<String, u64>;

/// Reads until so many messages came, which follow on what was seen.
async fn read(inbox: &mut Messages<u64>, count: usize, due: &mut Due) -> Result<()> {
    for _ in 0..count {
        let message = tokio::time::timeout(PATIENCE, inbox.recv()).await;
        let message = message
            .context("nothing came")?
            .context("the node stopped")??;
        let due = due.entry(message.sender().to_string()).or_insert(1);
        ensure!(message.seq() == *due, "{} of {due}", message.seq());
        *due += 1;
    }
    Ok(())
}

const CLIENTS: usize = 1_000;

/// An instance is replaced: its thousand clients come to the new one before that has heard anybody.
/// Each names where it was, more or less the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_that_come_at_once_to_a_new_instance_share_what_it_asks_its_peers()
-> Result<()> {
    let key = new_key();
    let first = member(&key, "fra-1")?.spawn().await?;
    let seeds = first.info().await?.listen_addresses;
    let second = member(&key, "iad-1")?.seeds(seeds.clone()).spawn().await?;
    second.wait_for_members(1).await?;
    let (at_first, at_second) = (
        first.channel::<u64>("events")?,
        second.channel::<u64>("events")?,
    );
    let mut inbox = first.channel::<u64>("events")?.messages();
    first.ready().await?;
    second.ready().await?;
    let (mut seen, mut cursors) = (Due::new(), Vec::<(Cursor, Due)>::new());
    for n in 0..100 {
        at_first.post_message_wait(&n).await?;
        at_second.post_message_wait(&n).await?;
        read(&mut inbox, 2, &mut seen).await?;
        cursors.push((inbox.cursor(), seen.clone()));
    }
    let last = seen.clone();
    drop((inbox, at_second));
    second.shutdown().await;

    let began = Instant::now();
    let third = member(&key, "iad-1")?.seeds(seeds).spawn().await?;
    let clients = (0..CLIENTS).map(|client| {
        let (cursor, seen) = cursors[client % cursors.len()].clone();
        let (third, last) = (third.clone(), last.clone());
        async move {
            let since = Since::After(cursor);
            let mut inbox = third.channel_since::<u64>("events", since)?.messages();
            let mut due = seen.clone();
            let count = |due: &Due| due.values().sum::<u64>() as usize;
            read(&mut inbox, count(&last) - count(&seen), &mut due).await?;
            ensure!(due == last, "{due:?}");
            Ok(inbox)
        }
    });
    let clients: Vec<Result<Messages<u64>>> = stream::iter(clients)
        .buffer_unordered(CLIENTS)
        .collect()
        .await;
    let mut clients = clients.into_iter().collect::<Result<Vec<_>>>()?;
    let (took, asked) = (began.elapsed(), requests(&third).await?);
    println!("{CLIENTS} clients: {took:?}, {asked} requests to peers");
    ensure!(asked <= 20, "{asked} requests");

    // And live, without a seam.
    at_first.post_message(&100)?;
    for inbox in &mut clients {
        read(inbox, 1, &mut last.clone()).await?;
    }
    // Here is all of it now: whoever comes next asks nobody.
    let began = Instant::now();
    for (cursor, seen) in cursors.iter().cycle().take(CLIENTS) {
        let since = Since::After(cursor.clone());
        let mut inbox = third.channel_since::<u64>("events", since)?.messages();
        read(&mut inbox, 1, &mut seen.clone()).await?;
    }
    println!("one after another: {:?}", began.elapsed());
    ensure!(requests(&third).await? <= asked + 2);
    drop(clients);
    tokio::time::timeout(Duration::from_secs(20), third.shutdown()).await?;
    Ok(())
}
