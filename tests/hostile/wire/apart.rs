//! Somebody who holds the key and speaks another version of the protocol.

use anyhow::{Context as _, Result, bail};
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{ListenerId, TransportEvent},
    },
};
use meshcast_proto::{Admission, MeshKey, Reason, Trust};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

use super::{Lies, MOST_STREAMS, PATIENCE, dial, drive, identity, stream, transport};

/// Knocks at a node, and returns what that says before it hangs up.
pub async fn knock(at: &Multiaddr, key: &MeshKey, version: u16) -> Result<Vec<u8>> {
    let admission = admission(key, "knocks", version)?;
    let (other, muxer) =
        timeout(PATIENCE, dial(at, key, admission.identity(), Lies::NONE)).await??;
    let (streams, wanted) = mpsc::channel(1);
    let (opened, _none) = mpsc::channel(MOST_STREAMS);
    tokio::spawn(drive(muxer, wanted, opened));
    let talk = async {
        let mut stream = stream(&streams).await?;
        stream.write_all(&admission.hello(other)).await?;
        stream.flush().await?;
        let mut heard = Vec::new();
        // It may hang up hard, once it has said what it has to say.
        let _ = stream.read_to_end(&mut heard).await;
        Ok(heard)
    };
    timeout(PATIENCE, talk).await?
}

/// Refuses all who dial it, for as long as it is kept.
#[derive(Debug)]
pub struct Refusing {
    /// Where it listens.
    pub at: Multiaddr,
    task: JoinHandle<()>,
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Listens as a node of another version does.
pub async fn refuse(key: &MeshKey, version: u16) -> Result<Refusing> {
    let admission = admission(key, "refuses", version)?;
    let mut transport = transport(key, admission.identity(), Lies::NONE)?;
    transport.listen_on(ListenerId::next(), "/ip4/127.0.0.1/tcp/0".parse()?)?;
    let at = match transport.next().await {
        Some(TransportEvent::NewAddress { listen_addr, .. }) => listen_addr,
        other => bail!("it does not listen: {other:?}"),
    };
    let task = tokio::spawn(async move {
        while let Some(event) = transport.next().await {
            let Some((upgrade, _)) = event.into_incoming() else {
                continue;
            };
            let admission = admission.clone();
            tokio::spawn(async move {
                // A peer that goes meanwhile is not told.
                if let Ok((_, muxer)) = upgrade.await {
                    let _ = timeout(PATIENCE, turn_away(muxer, &admission)).await;
                }
            });
        }
    });
    Ok(Refusing { at, task })
}

async fn turn_away(muxer: StreamMuxerBox, admission: &Admission) -> Result<()> {
    let (_streams, wanted) = mpsc::channel(1);
    let (opened, mut inbound) = mpsc::channel(MOST_STREAMS);
    tokio::spawn(drive(muxer, wanted, opened));
    let mut stream = inbound.recv().await.context("nobody comes to the gate")?;
    let theirs = Admission::VERSION;
    let reason = Reason::Version { ours: 0, theirs };
    stream.write_all(&admission.refusal(reason)).await?;
    stream.close().await?;
    // The other side is to hang up.
    stream.read_to_end(&mut Vec::new()).await?;
    Ok(())
}

fn admission(key: &MeshKey, name: &str, version: u16) -> Result<Admission> {
    let admission = Admission::new(identity(key, name)?, Trust::from(key));
    Ok(admission.with_version(version))
}
