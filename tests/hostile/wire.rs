//! A connection of somebody who holds a key, without anything that would keep him honest.

mod apart;

use std::{
    collections::BTreeMap,
    future::{pending, poll_fn},
    io,
    task::Poll,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        Endpoint,
        muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox},
        transport::{Boxed, DialOpts, PortUse},
        upgrade::Version,
    },
    identity, noise, tcp,
};
use meshcast_proto::{
    Admission, Answer, ChannelName, Format, Frame, Holding, Holdings, Identity, MeshId, MeshKey,
    NodeName, Part, Region, Sender, Seq, SyncMessage, Trust, WallTime, write_record,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

pub use self::apart::{Refusing, knock, refuse};
use super::lies::Lies;

/// The part of a node's messages that is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ears {
    /// All of it.
    Open,
    /// Nothing is read of what it says beside gossip.
    Shut,
    /// Nothing is read of its gossip.
    Beside,
    /// No stream that it opens gets as far as that.
    Absent,
}

/// An identity that the holder of a key made up, and its connection.
pub(super) struct Wire {
    identity: Identity,
    mesh: MeshId,
    /// Whom it is connected to.
    pub(super) other: Sender,
    streams: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    /// Messages of the other side beside gossip, as far as there is somebody to take them.
    pub(super) heard: mpsc::Receiver<SyncMessage>,
    /// The last opening that the other side told of each channel.
    openings: watch::Receiver<BTreeMap<ChannelName, u64>>,
    sync: SubstreamBox,
    gossip: Option<SubstreamBox>,
    /// How many bytes were said.
    pub(super) bytes: u64,
}

/// A new identity.
pub(super) fn identity(key: &MeshKey, name: &str) -> Result<Identity> {
    let mut entropy = [0; 64];
    getrandom::fill(&mut entropy).context("no random bytes")?;
    let (name, region) = (NodeName::new(name)?, Region::new("mars")?);
    Ok(Identity::from_mesh_key(key, name, region, entropy, wall()))
}

/// Now, as it is written into frames.
pub(super) fn wall() -> WallTime {
    let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    WallTime::from_unix_millis(u64::try_from(now.as_millis()).unwrap_or_default())
}

impl Wire {
    /// Goes through the gate and opens a link.
    pub(super) async fn open(
        at: &Multiaddr,
        key: &MeshKey,
        identity: Identity,
        ears: Ears,
    ) -> Result<Self> {
        Self::open_lying(at, key, identity, (ears, Lies::NONE)).await
    }

    /// The same by somebody whose streams are not what they should be.
    pub(super) async fn open_lying(
        at: &Multiaddr,
        key: &MeshKey,
        identity: Identity,
        (ears, lies): (Ears, Lies),
    ) -> Result<Self> {
        let (other, muxer) = timeout(PATIENCE, dial(at, key, &identity, lies)).await??;
        let (streams, wanted) = mpsc::channel(1);
        let (opened, inbound) = mpsc::channel(MOST_STREAMS);
        tokio::spawn(drive(muxer, wanted, opened));
        timeout(PATIENCE, pass(&streams, key, &identity, other)).await??;
        let (told, heard) = mpsc::channel(MOST_HEARD);
        let (opens, openings) = watch::channel(BTreeMap::new());
        tokio::spawn(listen(inbound, ears, told, opens));
        let sync = timeout(PATIENCE, negotiated(&streams, SYNC)).await??;
        Ok(Self {
            identity,
            mesh: key.mesh(),
            other,
            streams,
            heard,
            openings,
            sync,
            gossip: None,
            bytes: 0,
        })
    }

    /// Who this is.
    pub(super) fn sender(&self) -> Sender {
        self.identity.sender()
    }

    /// Says something beside gossip. An error means that the connection is gone.
    pub(super) async fn say(&mut self, message: &SyncMessage) -> Result<()> {
        self.say_bytes(&message.encode()).await
    }

    /// Says what it has of a channel, as the answer to the last time that the other side opened it,
    /// once it did.
    pub(super) async fn tell(&mut self, channel: &ChannelName, logs: Vec<Holding>) -> Result<()> {
        let is_open = |openings: &BTreeMap<_, _>| openings.contains_key(channel);
        let openings = timeout(PATIENCE, self.openings.wait_for(is_open)).await;
        let opening = openings
            .context("it does not open the channel")??
            .get(channel)
            .copied();
        let answer = opening.map(|opening| Answer {
            opening,
            held: PATIENCE,
            more: false,
        });
        let have = Holdings {
            channel: channel.clone(),
            answer,
            logs,
        };
        self.say(&SyncMessage::Have(vec![have])).await
    }

    /// Says something that need not be a message.
    pub(super) async fn say_bytes(&mut self, message: &[u8]) -> Result<()> {
        let len = u32::try_from(message.len()).context("too long")?;
        let message = [&len.to_be_bytes(), message].concat();
        self.bytes += message.len() as u64;
        write(&mut self.sync, &message).await
    }

    /// What the other side said since this was last asked.
    pub(super) fn take_heard(&mut self) -> Vec<SyncMessage> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    /// A frame that is signed as it should be, whatever is in it.
    pub(super) fn frame(
        &self,
        channel: &ChannelName,
        first: Seq,
        format: Format,
        values: &[&[u8]],
    ) -> Result<Frame> {
        let mut records = Vec::new();
        for value in values {
            write_record(&mut records, format, Part::Whole, value);
        }
        Ok(Frame::build(
            &self.identity,
            channel,
            first,
            wall(),
            Duration::ZERO,
            &records[..],
        )?)
    }

    /// What a channel is called in gossip.
    pub(super) fn topic(&self, channel: &ChannelName) -> String {
        let topic = self.mesh.topics().of(channel);
        topic.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Hands a frame to gossip.
    pub(super) async fn publish(&mut self, frame: &Frame) -> Result<()> {
        let topic = self.topic(frame.channel());
        let mut message = Vec::new();
        field(2, frame.bytes(), &mut message);
        field(4, topic.as_bytes(), &mut message);
        let mut rpc = Vec::new();
        field(2, &message, &mut rpc);
        self.gossip(&rpc).await
    }

    /// Tells gossip of topics that this is a part of.
    pub(super) async fn subscribe(&mut self, topics: &[Vec<u8>]) -> Result<()> {
        let mut rpc = Vec::new();
        for topic in topics {
            // Yes, and of what.
            let mut subscription = vec![8, 1];
            field(2, topic, &mut subscription);
            field(1, &subscription, &mut rpc);
        }
        self.gossip(&rpc).await
    }

    /// Opens one more stream and sends this on it, whatever it is.
    pub(super) async fn pour(&mut self, bytes: &[u8]) -> Result<SubstreamBox> {
        let mut stream = timeout(PATIENCE, stream(&self.streams)).await??;
        self.bytes += bytes.len() as u64;
        write(&mut stream, bytes).await?;
        Ok(stream)
    }

    async fn gossip(&mut self, rpc: &[u8]) -> Result<()> {
        if self.gossip.is_none() {
            self.gossip = Some(timeout(PATIENCE, negotiated(&self.streams, GOSSIP)).await??);
        }
        let mut message = Vec::with_capacity(rpc.len() + 4);
        varint(rpc.len(), &mut message);
        message.extend_from_slice(rpc);
        self.bytes += message.len() as u64;
        match &mut self.gossip {
            Some(stream) => write(stream, &message).await,
            None => bail!("it was just opened"),
        }
    }
}

async fn write(stream: &mut SubstreamBox, bytes: &[u8]) -> Result<()> {
    let written = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    Ok(timeout(STUCK, written).await??)
}

/// A field of a protobuf message that has a length.
fn field(number: usize, content: &[u8], into: &mut Vec<u8>) {
    varint(number << 3 | 2, into);
    varint(content.len(), into);
    into.extend_from_slice(content);
}

fn varint(mut number: usize, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    into.push(number.to_le_bytes()[0]);
}

/// TCP, the handshake of the mesh, and streams.
async fn dial(
    at: &Multiaddr,
    key: &MeshKey,
    identity: &Identity,
    lies: Lies,
) -> Result<(Sender, StreamMuxerBox)> {
    let mut transport = transport(key, identity, lies)?;
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let (peer, muxer) = transport.dial(at.clone(), options)?.await?;
    // What precedes the key is the same for all of this kind.
    let key = peer.to_bytes().split_off(6).try_into();
    let key = key.ok().context("the key of a process is an Ed25519 key")?;
    Ok((Sender::new(key), muxer))
}

fn transport(
    key: &MeshKey,
    identity: &Identity,
    lies: Lies,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let keypair = identity::Keypair::ed25519_from_bytes(identity.boot().secret_seed())?;
    let prologue = key.mesh().derive("meshcast v1 noise prologue");
    let noise = noise::Config::new(&keypair)?.with_prologue(prologue.to_vec());
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let secured = tcp.upgrade(Version::V1Lazy).authenticate(noise);
    Ok(secured.multiplex(lies).boxed())
}

/// Shows the credential, and takes the other's for granted.
async fn pass(
    streams: &mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    key: &MeshKey,
    identity: &Identity,
    other: Sender,
) -> Result<()> {
    let admission = Admission::new(identity.clone(), Trust::from(key));
    let mut stream = stream(streams).await?;
    stream.write_all(&admission.hello(other)).await?;
    stream.flush().await?;
    let mut len = [0; Admission::PREFIX_LEN];
    stream.read_exact(&mut len).await?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut answer).await?;
    admission.check_hello(&answer, other, wall())?;
    stream.write_all(&admission.accept()).await?;
    stream.close().await?;
    Ok(())
}

async fn stream(streams: &mpsc::Sender<oneshot::Sender<SubstreamBox>>) -> Result<SubstreamBox> {
    let (asked, opened) = oneshot::channel();
    streams.send(asked).await.ok().context("disconnected")?;
    Ok(opened.await?)
}

/// A stream of a protocol, as multistream-select negotiates it.
async fn negotiated(
    streams: &mpsc::Sender<oneshot::Sender<SubstreamBox>>,
    protocol: &str,
) -> Result<SubstreamBox> {
    let mut stream = stream(streams).await?;
    let words = [line(MULTISTREAM), line(protocol)].concat();
    stream.write_all(&words).await?;
    stream.flush().await?;
    ensure!(
        read_line(&mut stream).await? == MULTISTREAM,
        "no multistream-select"
    );
    ensure!(
        read_line(&mut stream).await? == protocol,
        "{protocol} is not spoken"
    );
    Ok(stream)
}

fn line(word: &str) -> Vec<u8> {
    let mut line = Vec::new();
    varint(word.len() + 1, &mut line);
    line.extend_from_slice(word.as_bytes());
    line.push(b'\n');
    line
}

async fn read_line(stream: &mut SubstreamBox) -> io::Result<String> {
    let mut len = [0];
    stream.read_exact(&mut len).await?;
    // What the two say to each other is shorter than 128 bytes.
    let mut line = vec![0; usize::from(len[0])];
    stream.read_exact(&mut line).await?;
    line.pop();
    String::from_utf8(line).map_err(io::Error::other)
}

/// Moves bytes for as long as there is anybody to use the streams.
async fn drive(
    mut muxer: StreamMuxerBox,
    mut wanted: mpsc::Receiver<oneshot::Sender<SubstreamBox>>,
    opened: mpsc::Sender<SubstreamBox>,
) {
    let mut asked: Option<oneshot::Sender<SubstreamBox>> = None;
    poll_fn(|cx| {
        loop {
            match muxer.poll_unpin(cx) {
                Poll::Ready(Ok(_)) => continue,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            match muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    // More than the protocol has are dropped.
                    let _ = opened.try_send(stream);
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if asked.is_none() {
                match wanted.poll_recv(cx) {
                    Poll::Ready(Some(ask)) => asked = Some(ask),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            match muxer.poll_outbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    // The caller may have given up.
                    let _ = asked.take().map(|ask| ask.send(stream));
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Takes the streams that the other side opens.
async fn listen(
    mut inbound: mpsc::Receiver<SubstreamBox>,
    ears: Ears,
    told: mpsc::Sender<SyncMessage>,
    opens: watch::Sender<BTreeMap<ChannelName, u64>>,
) {
    // Those that are not read stay open.
    let mut kept = Vec::new();
    while let Some(mut stream) = inbound.recv().await {
        if ears == Ears::Absent {
            kept.push(stream);
            continue;
        }
        let (told, opens) = (told.clone(), opens.clone());
        let (send, back) = oneshot::channel();
        tokio::spawn(async move {
            // Any error is the end of the stream.
            let Ok(protocol) = accept(&mut stream).await else {
                return;
            };
            if protocol != SYNC && ears == Ears::Beside {
                // It stays open for as long as its connection.
                pending::<()>().await;
            } else if protocol != SYNC {
                let mut dropped = [0; 4096];
                while stream.read(&mut dropped).await.is_ok_and(|read| read > 0) {}
            } else if ears == Ears::Shut {
                let _ = send.send(stream);
            } else {
                let _ = hear(&mut stream, &told, &opens).await;
            }
        });
        if ears == Ears::Shut
            && let Ok(Ok(stream)) = timeout(PATIENCE, back).await
        {
            kept.push(stream);
        }
    }
}

/// Agrees to the protocols of the mesh, and to none else.
async fn accept(stream: &mut SubstreamBox) -> io::Result<String> {
    loop {
        let word = read_line(stream).await?;
        let known = word == SYNC || word.starts_with("/meshsub/");
        let answer = if known || word == MULTISTREAM {
            &word
        } else {
            "na"
        };
        stream.write_all(&line(answer)).await?;
        stream.flush().await?;
        if known {
            return Ok(word);
        }
    }
}

async fn hear(
    stream: &mut SubstreamBox,
    told: &mpsc::Sender<SyncMessage>,
    opens: &watch::Sender<BTreeMap<ChannelName, u64>>,
) -> io::Result<()> {
    loop {
        let mut len = [0; 4];
        stream.read_exact(&mut len).await?;
        let mut message = vec![0; usize::try_from(u32::from_be_bytes(len)).unwrap_or_default()];
        stream.read_exact(&mut message).await?;
        if let Ok(message) = SyncMessage::decode(&message.into()) {
            if let SyncMessage::Open(opened) = &message {
                let opened = opened.iter().map(|it| (it.channel.clone(), it.opening));
                opens.send_modify(|openings| openings.extend(opened));
            }
            // A receiver that does not listen misses it.
            let _ = told.try_send(message);
        }
    }
}

const MULTISTREAM: &str = "/multistream/1.0.0";
const SYNC: &str = "/meshcast/sync/1";
const GOSSIP: &str = "/meshsub/1.1.0";

/// Streams of the other side that wait to be looked at; a node has three.
const MOST_STREAMS: usize = 16;

/// Messages that wait to be looked at.
const MOST_HEARD: usize = 64;

/// How long the way in may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time that a node may read nothing before it is given up.
const STUCK: Duration = Duration::from_secs(10);
