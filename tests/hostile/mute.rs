//! Somebody whose gossip gets nowhere, as on a link of which one direction is broken without a
//! sign of it. All else is as it should be.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context as _, Result};
use meshcast::{MeshKey, Multiaddr};
use meshcast_proto::{ChannelName, Format, Frame, Frames, Holding, Seq, SyncMessage, Want};
use tokio::time::{Instant, interval, sleep};

use super::wire::{Ears, Wire, identity};

/// Posts on a channel, tells what it posted, and gives it to whoever asks. Comes back as the same
/// process when it is cut off, for as long as it is polled.
pub async fn mute(at: &Multiaddr, key: &MeshKey, channel: &str) -> Result<Infallible> {
    let (me, channel) = (identity(key, "mute-1")?, ChannelName::new(channel)?);
    let mut posted = Vec::new();
    loop {
        let came = Wire::open(at, key, me.clone(), Ears::Open).await;
        if let Ok(mut wire) = came {
            // It ends with its connection.
            let _ = serve(&mut wire, &channel, &mut posted).await;
        }
        sleep(PACE).await;
    }
}

/// A frame, and when it was posted.
type Posted = (Instant, Frame);

async fn serve(wire: &mut Wire, channel: &ChannelName, posted: &mut Vec<Posted>) -> Result<()> {
    let mut pace = interval(PACE);
    loop {
        tokio::select! {
            _ = pace.tick() => {
                let next = number(posted.len() + 1)?;
                let frame = wire.frame(channel, next, Format::Raw, &[b"tick"])?;
                posted.push((Instant::now(), frame));
                let have = Holding {
                    sender: wire.sender(),
                    oldest: Seq::FIRST,
                    next: next.next(),
                    due: Some(Seq::FIRST),
                    begin: Seq::FIRST,
                    hops: 0,
                    lowest: None,
                };
                wire.tell(channel, vec![have]).await?;
            }
            heard = wire.heard.recv() => match heard.context("it is gone")? {
                SyncMessage::Ping(n) => wire.say(&SyncMessage::Pong(n)).await?,
                SyncMessage::Want(want) if want.sender == wire.sender() => {
                    wire.say(&SyncMessage::Frames(answer(want, posted))).await?;
                }
                _ => {}
            },
        }
    }
}

fn answer(want: Want, posted: &[Posted]) -> Frames {
    let wanted = posted.iter().filter(|(_, frame)| {
        let (first, last) = (want.seqs.first(), want.seqs.last());
        (first..=last).contains(&frame.seqs().first())
    });
    let frames = wanted.map(|(at, frame)| (at.elapsed(), frame.bytes().clone()));
    Frames {
        channel: want.channel,
        sender: want.sender,
        request: want.request,
        upto: want.seqs.last(),
        frames: frames.collect(),
    }
}

fn number(n: usize) -> Result<Seq> {
    Seq::new(u64::try_from(n)?).context("over zero")
}

/// Slow enough that each that has to be fetched counts for itself.
const PACE: Duration = Duration::from_millis(500);
