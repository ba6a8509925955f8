//! Channels between nodes, through the public API.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context, Result, ensure};
use meshcast::{
    BroadcastChannel, Bytes, MeshKey, Messages, Node, NodeBuilder, PostError, RecvError,
};
use tokio::task::JoinHandle;

use crate::harness::{PATIENCE, new_key};

fn member(key: &MeshKey) -> Result<NodeBuilder> {
    Ok(Node::builder().key(key.clone()).listen("127.0.0.1:0"))
}

/// Two nodes; the second dials the first.
async fn pair() -> Result<(Node, Node)> {
    let key = new_key();
    let first = member(&key)?.spawn().await?;
    let seeds = first.inspect().await?.node.listen_addresses;
    let second = member(&key)?.seeds(seeds).spawn().await?;
    Ok((first, second))
}

/// Waits until a node knows of each of its channels, so many, that so many others have it open.
async fn shared(node: &Node, channels: usize, others: usize) -> Result<()> {
    let counted = async {
        loop {
            let snapshot = node.inspect().await?;
            let mut known = snapshot
                .channels
                .iter()
                .map(|channel| channel.subscribers.len());
            if known.len() == channels && known.all(|known| known == others) {
                return anyhow::Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted)
        .await
        .context("channels are not known elsewhere")?
}

async fn next<T: meshcast::Payload>(inbox: &mut Messages<T>) -> Result<T> {
    let message = tokio::time::timeout(PATIENCE, inbox.recv())
        .await
        .context("nothing came")?;
    Ok(message.context("the node stopped")??.data)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_channels_deliver_each_its_own() -> Result<()> {
    const CHANNELS: usize = 300;
    let (first, second) = pair().await?;
    let open = |node: &Node| -> Result<Vec<BroadcastChannel<usize>>> {
        (0..CHANNELS)
            .map(|i| Ok(node.channel(&format!("room/{i}"))?))
            .collect()
    };
    let (posting, hearing) = (open(&first)?, open(&second)?);
    shared(&first, CHANNELS, 1).await?;
    for (i, channel) in posting.iter().enumerate() {
        channel.post_message(&i)?;
        channel.post_message(&(i + CHANNELS))?;
    }
    for (i, channel) in hearing.iter().enumerate() {
        let mut inbox = channel.messages();
        ensure!(next(&mut inbox).await? == i);
        ensure!(next(&mut inbox).await? == i + CHANNELS);
    }
    Ok(())
}

/// Posts many messages of 60,000 bytes without a pause and returns how many did not arrive, each of
/// which the reader must have been told of in its place.
async fn missed_of(messages: u64) -> Result<u64> {
    let (first, second) = pair().await?;
    let (posting, hearing) = (
        first.channel::<String>("bulk")?,
        second.channel::<String>("bulk")?,
    );
    let mut inbox = hearing.messages();
    shared(&first, 1, 1).await?;
    let poster: JoinHandle<Result<(), PostError>> = tokio::spawn(async move {
        let filling = "x".repeat(60_000);
        for i in 1..=messages {
            posting.post_message_wait(&format!("{i} {filling}")).await?;
        }
        // A later post shows whether the last one arrived.
        loop {
            posting.post_message_wait(&String::new()).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let (mut expected, mut missed) = (1, 0);
    while expected <= messages {
        let item = tokio::time::timeout(PATIENCE, inbox.recv()).await?;
        match item.context("the node stopped")? {
            Ok(message) => {
                let (number, filling) = message.data.split_once(' ').context("no number")?;
                ensure!(
                    number == expected.to_string() && filling.len() == 60_000,
                    "{number}"
                );
                ensure!(
                    message.seq() == expected,
                    "{} after {expected}",
                    message.seq()
                );
                expected += 1;
            }
            Err(RecvError::Gap(gap)) => {
                ensure!(*gap.missed().start() == expected, "{gap}");
                missed += gap.missed().end().min(&messages) + 1 - expected;
                expected = gap.missed().end() + 1;
            }
            Err(error) => return Err(error.into()),
        }
    }
    poster.abort();
    Ok(missed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_back_to_back_all_arrive() -> Result<()> {
    let missed = missed_of(400).await?;
    ensure!(missed == 0, "{missed} are missing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_larger_than_a_frame_arrives_whole() -> Result<()> {
    let (first, second) = pair().await?;
    let (posting, hearing) = (
        first.channel::<String>("bulk")?,
        second.channel::<String>("bulk")?,
    );
    let mut inbox = hearing.messages();
    shared(&first, 1, 1).await?;
    let text: String = (0..100_000).map(|i| format!("{i} ")).collect();
    posting.post_message(&text)?;
    posting.post_message(&"after".to_owned())?;
    ensure!(next(&mut inbox).await? == text);
    ensure!(next(&mut inbox).await? == "after");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_payload_twice_arrives_twice() -> Result<()> {
    let (first, second) = pair().await?;
    let (posting, hearing) = (
        first.channel::<String>("earth")?,
        second.channel::<String>("earth")?,
    );
    let mut inbox = hearing.messages();
    shared(&first, 1, 1).await?;
    for text in ["hello", "hello", "end"] {
        posting.post_message(&text.to_owned())?;
    }
    for text in ["hello", "hello", "end"] {
        ensure!(next(&mut inbox).await? == text);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_hears_a_post_but_the_object_that_posted() -> Result<()> {
    let (first, second) = pair().await?;
    let (posting, beside) = (
        first.channel::<String>("earth")?,
        first.channel::<String>("earth")?,
    );
    let elsewhere = second.channel::<String>("earth")?;
    let (mut own, mut local, mut remote) =
        (posting.messages(), beside.messages(), elsewhere.messages());
    shared(&first, 1, 1).await?;
    posting.post_message(&"hello".to_owned())?;
    ensure!(next(&mut local).await? == "hello");
    ensure!(next(&mut remote).await? == "hello");
    // Had the object heard itself, this would come second.
    beside.post_message(&"from beside".to_owned())?;
    ensure!(next(&mut own).await? == "from beside");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_directions_at_once_lose_nothing_and_keep_order() -> Result<()> {
    const MESSAGES: usize = 2_000;
    let (first, second) = pair().await?;
    let channels = [
        first.channel::<usize>("busy")?,
        second.channel::<usize>("busy")?,
    ];
    let inboxes = channels.each_ref().map(BroadcastChannel::messages);
    shared(&first, 1, 1).await?;
    shared(&second, 1, 1).await?;
    let posters = channels.map(|channel| {
        tokio::spawn(async move {
            for i in 0..MESSAGES {
                channel.post_message_wait(&i).await?;
            }
            Ok::<_, PostError>(channel)
        })
    });
    for mut inbox in inboxes {
        for i in 0..MESSAGES {
            ensure!(next(&mut inbox).await? == i);
        }
    }
    for poster in posters {
        poster.await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_flat_out_comes_to_all_and_overruns_no_queue() -> Result<()> {
    const MESSAGES: usize = 20_000;
    let key = new_key();
    let first = member(&key)?.spawn().await?;
    let seeds = first.inspect().await?.node.listen_addresses;
    let mut inboxes = Vec::new();
    let mut others = Vec::new();
    for _ in 0..3 {
        let node = member(&key)?.seeds(seeds.clone()).spawn().await?;
        inboxes.push(node.channel::<Bytes>("busy")?.messages());
        others.push(node);
    }
    let posting = first.channel::<Bytes>("busy")?;
    shared(&first, 1, 3).await?;
    let poster = tokio::spawn(async move {
        for i in 0..MESSAGES {
            let mut message = vec![0; 1024];
            message[..8].copy_from_slice(&i.to_be_bytes());
            posting.post_message_wait(&message[..]).await?;
        }
        Ok::<_, PostError>(posting)
    });
    let listen = async |mut inbox: Messages<Bytes>| {
        for i in 0..MESSAGES {
            ensure!(next(&mut inbox).await?[..8] == i.to_be_bytes());
        }
        Ok(())
    };
    futures::future::try_join_all(inboxes.into_iter().map(listen)).await?;
    poster.await??;
    let counters = first.inspect().await?.counters;
    ensure!(counters.peers.slow_peer == 0, "{counters:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_in_a_row_hear_each_other() -> Result<()> {
    let key = new_key();
    let (mut nodes, mut seeds) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let node = member(&key)?.seeds(seeds).spawn().await?;
        // Each knows of the one before it alone; the rest they tell each other.
        seeds = node.inspect().await?.node.listen_addresses;
        nodes.push(node);
    }
    let open = |node: &Node| node.channel::<String>("earth");
    let channels = nodes.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let mut inboxes: Vec<_> = channels.iter().map(BroadcastChannel::messages).collect();
    for node in &nodes {
        shared(node, 1, 2).await?;
    }
    for (i, channel) in channels.iter().enumerate() {
        channel.post_message(&i.to_string())?;
    }
    for (i, inbox) in inboxes.iter_mut().enumerate() {
        let heard = HashSet::from([next(inbox).await?, next(inbox).await?]);
        let others = (0..3)
            .filter(|other| *other != i)
            .map(|other| other.to_string());
        ensure!(heard == others.collect());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_posted_before_they_met_arrives_when_they_meet() -> Result<()> {
    let (first, second) = pair().await?;
    let (posting, hearing) = (
        first.channel::<String>("earth")?,
        second.channel::<String>("earth")?,
    );
    let mut inbox = hearing.messages();
    // Nothing is waited for: the nodes may not know each other yet.
    posting.post_message(&"early".to_owned())?;
    ensure!(next(&mut inbox).await? == "early");
    Ok(())
}
