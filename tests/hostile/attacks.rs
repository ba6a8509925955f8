//! What hostile members say.

mod asked;
mod held;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use meshcast::{Bytes, MeshKey, Multiaddr};
use meshcast_proto::{
    Budget, ChannelName, Format, Holding, MemberAddresses, Opened, Opens, PresenceOutput,
    PresenceRecord, PresenceTracker, Sender, Seq, SyncMessage, Time, Trust,
};
use tokio::{net::TcpListener, time::sleep};

use super::{
    Assault, Attack,
    wire::{Ears, Wire, identity, wall},
};

/// The channel that honest members use.
pub(crate) const CALM: &str = "calm";

/// The channel whose values are read as what they are.
pub(crate) const VALUES: &str = "values";

/// Who posts with a hole.
pub(crate) const PHANTOM: &str = "phantom";

/// Plays a role until the other side ends it, which is the error.
pub(super) async fn play(
    assault: Assault,
    wire: &mut Wire,
    at: &Multiaddr,
    key: &MeshKey,
) -> Result<()> {
    match assault.attack {
        Attack::Nobody | Attack::Places => idle(wire).await,
        Attack::Opens => opens(wire, assault.logs).await,
        Attack::Topics => topics(wire).await,
        Attack::Beyond => beyond(wire).await,
        Attack::Holder => holder(wire, at, key).await,
        Attack::Bombs => bombs(wire).await,
        Attack::Addresses => addresses(wire).await,
        Attack::Pings => pings(wire).await,
        Attack::Empty | Attack::Garbage => empty(wire).await,
        Attack::Invented => invented(wire, assault.logs).await,
        Attack::Impossible => impossible(wire).await,
        Attack::Ghosts => ghosts(wire, key).await,
        Attack::Moods => moods(wire, key).await,
        Attack::Deaf => deaf(wire, at, key).await,
        Attack::Windows => held::windows(wire).await,
        Attack::Crumbs => held::crumbs(wire).await,
        Attack::Questions => asked::questions(wire, key).await,
    }
}

/// A silent peer counts as dead.
async fn idle(wire: &mut Wire) -> Result<()> {
    loop {
        wire.say(&SyncMessage::KEEP_ALIVE).await?;
        sleep(Duration::from_secs(1)).await;
    }
}

async fn opens(wire: &mut Wire, logs: usize) -> Result<()> {
    let calm = channel(CALM)?;
    invent(wire, &calm, logs).await?;
    // In one message, which nobody reads, and in as many.
    wire.say(&SyncMessage::Open(vec![
        opened(&calm);
        SyncMessage::MAX_CHANNELS
    ]))
    .await?;
    loop {
        wire.say(&SyncMessage::Open(vec![opened(&calm)])).await?;
    }
}

async fn topics(wire: &mut Wire) -> Result<()> {
    // As many in the right form as anybody may have, in messages of a quarter each.
    let topic = |n: usize| format!("{n:032x}").into_bytes();
    for first in (0..MOST_TOPICS).step_by(MOST_TOPICS / 4) {
        let topics = (first..first + MOST_TOPICS / 4).map(topic);
        wire.subscribe(&topics.collect::<Vec<_>>()).await?;
    }
    for n in 0_u64.. {
        // Three are as much as a node reads at once.
        let topics = [0, 1, 2].map(|k| {
            let mut name = vec![b'a'; 1_000_000];
            name[..8].copy_from_slice(&(n * 3 + k).to_be_bytes().map(|byte| byte % 64 + 32));
            name
        });
        wire.subscribe(&topics).await?;
        wire.say(&SyncMessage::KEEP_ALIVE).await?;
    }
    Ok(())
}

async fn beyond(wire: &mut Wire) -> Result<()> {
    let calm = channel(CALM)?;
    wire.say(&SyncMessage::Open(vec![opened(&calm)])).await?;
    let mut known = BTreeMap::new();
    loop {
        learn(wire, &mut known);
        let logs = known.values().map(|holding: &Holding| Holding {
            oldest: Seq::FIRST,
            next: FAR_AWAY,
            due: None,
            hops: 1,
            lowest: None,
            ..*holding
        });
        wire.tell(&calm, logs.collect()).await?;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn holder(wire: &mut Wire, at: &Multiaddr, key: &MeshKey) -> Result<()> {
    let calm = channel(CALM)?;
    let mut known = BTreeMap::new();
    // Somebody who posts 1 to 3 and 5, and says that the fourth is lost, as it may.
    let mut poster = Wire::open(at, key, identity(key, PHANTOM)?, Ears::Open).await?;
    let phantom = poster.sender();
    for first in [1, 2, 3, 5] {
        let first = Seq::new(first).context("over zero")?;
        let frame = poster.frame(&calm, first, Format::Raw, &[b"phantom"])?;
        poster.publish(&frame).await?;
    }
    poster.say(&SyncMessage::Open(vec![opened(&calm)])).await?;
    known.insert(phantom, holding(phantom));
    wire.say(&SyncMessage::Open(vec![opened(&calm)])).await?;
    loop {
        learn(wire, &mut known);
        let logs = known.values().map(|holding| Holding {
            oldest: Seq::FIRST,
            next: if holding.sender == phantom {
                SIXTH
            } else {
                holding.next
            },
            due: None,
            hops: 1,
            lowest: None,
            ..*holding
        });
        wire.tell(&calm, logs.collect()).await?;
        let lost = Holding {
            oldest: FIFTH,
            next: SIXTH,
            hops: 0,
            ..holding(phantom)
        };
        poster.tell(&calm, vec![lost]).await?;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn bombs(wire: &mut Wire) -> Result<()> {
    let values = channel(VALUES)?;
    let bombs = [doubling(11, 10), strings(), maps()];
    let mut next = Seq::FIRST;
    loop {
        for bomb in &bombs {
            let frame = wire.frame(&values, next, Format::Value, &[bomb])?;
            wire.publish(&frame).await?;
            next = next.next();
        }
        wire.say(&SyncMessage::KEEP_ALIVE).await?;
        sleep(Duration::from_millis(20)).await;
    }
}

async fn addresses(wire: &mut Wire) -> Result<()> {
    // They take connections, and nobody is behind them.
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpListener::bind("127.0.0.1:0").await?);
    }
    let ports = silent
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()));
    let ports = ports.collect::<std::io::Result<Vec<_>>>()?;
    for round in 0_usize.. {
        let members = (0..SyncMessage::MAX_MEMBERS).map(|n| {
            let n = round * SyncMessage::MAX_MEMBERS + n;
            let address: Result<Multiaddr, _> =
                format!("/ip4/127.0.0.1/tcp/{}", ports[n % ports.len()]).parse();
            Ok(MemberAddresses {
                sender: nobody(n),
                addresses: vec![address?.to_vec()],
            })
        });
        let members = members.collect::<Result<Vec<_>>>()?;
        wire.say(&SyncMessage::Members(members)).await?;
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn pings(wire: &mut Wire) -> Result<()> {
    for n in 1.. {
        wire.say(&SyncMessage::Ping(n)).await?;
    }
    Ok(())
}

async fn empty(wire: &mut Wire) -> Result<()> {
    loop {
        wire.say_bytes(&[]).await?;
    }
}

async fn invented(wire: &mut Wire, logs: usize) -> Result<()> {
    let calm = channel(CALM)?;
    invent(wire, &calm, logs).await?;
    for first in (0..logs).step_by(SyncMessage::MAX_CHANNELS) {
        let last = (first + SyncMessage::MAX_CHANNELS).min(logs);
        let names = (first..last).map(|n| channel(&format!("{n:0>200}")));
        let names = names.collect::<Result<Vec<_>>>()?;
        wire.say(&SyncMessage::Open(names.iter().map(opened).collect()))
            .await?;
    }
    idle(wire).await
}

async fn impossible(wire: &mut Wire) -> Result<()> {
    let calm = channel(CALM)?;
    wire.say(&SyncMessage::Open(vec![opened(&calm)])).await?;
    loop {
        let claim = Holding {
            next: FAR_AWAY,
            ..holding(wire.other)
        };
        wire.tell(&calm, vec![claim]).await?;
        sleep(Duration::from_millis(200)).await;
    }
}

/// Somebody who is present on the channel, as its own tracker sees it.
struct Somebody {
    tracker: PresenceTracker,
    other: Sender,
    now: Duration,
}

impl Somebody {
    fn new(wire: &Wire, key: &MeshKey, name: &str) -> Result<Self> {
        let (who, trust) = (identity(key, name)?, Trust::from(key));
        let me = Arc::new(trust.verify(who.chain().as_bytes())?);
        let (other, now) = (wire.other, Duration::from_secs(1));
        let mut tracker = PresenceTracker::new(who, me, trust, Budget::default());
        tracker.handle_peer_up(other, Time::from_start(now));
        Ok(Self {
            tracker,
            other,
            now,
        })
    }

    /// The addresses that it tells as its own.
    fn says(&mut self, state: Vec<u8>) -> Result<Vec<SyncMessage>> {
        // Late enough that it may.
        self.now += Duration::from_secs(1);
        let opens = Opens {
            is_present: true,
            since: wall(),
            peers: vec![self.other],
        };
        let (calm, now) = (channel(CALM)?, Time::from_start(self.now));
        let state = Some(Bytes::from(state));
        self.tracker.handle_own(&calm, true, state, opens, now);
        Ok(self.told())
    }

    fn told(&mut self) -> Vec<SyncMessage> {
        let outputs = std::iter::from_fn(|| self.tracker.poll_output());
        let told = outputs.filter_map(|output| match output {
            PresenceOutput::Send(_, message) => Some(message),
            _ => None,
        });
        told.collect()
    }
}

async fn ghosts(wire: &mut Wire, key: &MeshKey) -> Result<()> {
    wire.say(&SyncMessage::Open(vec![opened(&channel(CALM)?)]))
        .await?;
    let mut ghost = Somebody::new(wire, key, "ghost")?;
    let mut replayed = ghost.says(b"here".to_vec())?;
    ghost.tracker.handle_leaving(Time::from_start(ghost.now));
    replayed.extend(ghost.told());
    replayed.extend(replayed.clone());
    for message in &replayed {
        wire.say(message).await?;
    }
    for n in 0_u64.. {
        let mut nobody = Somebody::new(wire, key, "nobody")?;
        for message in nobody.says(n.to_le_bytes().to_vec())? {
            // The signature is the last of it.
            let mut bytes = message.encode();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            wire.say_bytes(&bytes).await?;
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn moods(wire: &mut Wire, key: &MeshKey) -> Result<()> {
    wire.say(&SyncMessage::Open(vec![opened(&channel(CALM)?)]))
        .await?;
    let mut moody = Somebody::new(wire, key, "moody")?;
    for n in 0_u64.. {
        let state = n.to_le_bytes().repeat(PresenceRecord::MAX_STATE_LEN / 8);
        for message in moody.says(state)? {
            wire.say(&message).await?;
        }
    }
    Ok(())
}

async fn deaf(wire: &mut Wire, at: &Multiaddr, key: &MeshKey) -> Result<()> {
    let values = channel(VALUES)?;
    let topic = wire.topic(&values);
    wire.subscribe(&[topic.into_bytes()]).await?;
    let mut poster = Wire::open(at, key, identity(key, "deaf-poster")?, Ears::Open).await?;
    let mut next = Seq::FIRST;
    loop {
        let frame = poster.frame(&values, next, Format::Raw, &[&LONG])?;
        poster.publish(&frame).await?;
        next = next.next();
        wire.say(&SyncMessage::KEEP_ALIVE).await?;
        poster.say(&SyncMessage::KEEP_ALIVE).await?;
    }
}

/// Most of what fits one frame.
static LONG: [u8; 240_000] = [7; 240_000];

/// Tells of so many senders that there never were.
async fn invent(wire: &mut Wire, on: &ChannelName, logs: usize) -> Result<()> {
    for first in (0..logs).step_by(SyncMessage::MAX_LOGS) {
        let last = (first + SyncMessage::MAX_LOGS).min(logs);
        let some = (first..last).map(|n| holding(nobody(n)));
        wire.tell(on, some.collect()).await?;
    }
    Ok(())
}

/// The posters, and how far they are, as the other side tells.
fn learn(wire: &mut Wire, known: &mut BTreeMap<Sender, Holding>) {
    let (us, other) = (wire.sender(), wire.other);
    for message in wire.take_heard() {
        let SyncMessage::Have(holdings) = message else {
            continue;
        };
        let logs = holdings
            .into_iter()
            .filter(|of| of.channel.as_str() == CALM);
        for holding in logs.flat_map(|of| of.logs) {
            if holding.sender != us && holding.sender != other {
                known.insert(holding.sender, holding);
            }
        }
    }
}

fn channel(name: &str) -> Result<ChannelName> {
    Ok(ChannelName::new(name)?)
}

fn opened(channel: &ChannelName) -> Opened {
    Opened {
        channel: channel.clone(),
        opening: 1,
        since: Duration::ZERO,
        last: 0,
    }
}

fn holding(sender: Sender) -> Holding {
    Holding {
        sender,
        oldest: Seq::FIRST,
        next: Seq::FIRST.next(),
        due: Some(Seq::FIRST),
        begin: Seq::FIRST,
        hops: 1,
        lowest: None,
    }
}

/// A sender that there never was.
fn nobody(n: usize) -> Sender {
    let mut key = [0xee; 32];
    key[..8].copy_from_slice(&n.to_be_bytes());
    Sender::new(key)
}

/// Arrays of `width` elements each of which is the array before: `width` to the power of `levels`
/// elements.
fn doubling(levels: u8, width: usize) -> Vec<u8> {
    let mut bytes = vec![tag::ARRAY];
    for level in 0..levels {
        bytes.push(tag::ARRAY);
        let element: &[u8] = if level == 0 {
            &[tag::NULL]
        } else {
            &[tag::REF, level]
        };
        bytes.extend(element.repeat(width));
        bytes.push(tag::END);
    }
    bytes.push(tag::END);
    bytes
}

/// An array of empty strings, and many that are the same.
fn strings() -> Vec<u8> {
    let strings = [
        vec![tag::ARRAY],
        [tag::STR, 0].repeat(8_000),
        vec![tag::END],
    ]
    .concat();
    [
        vec![tag::ARRAY],
        strings,
        [tag::REF, 1].repeat(8_000),
        vec![tag::END],
    ]
    .concat()
}

/// Many maps without an entry, which JSON has to say in words.
fn maps() -> Vec<u8> {
    [
        vec![tag::ARRAY],
        [tag::MAP, tag::END].repeat(90_000),
        vec![tag::END],
    ]
    .concat()
}

/// As in the payload format.
mod tag {
    pub(super) const END: u8 = 0x00;
    pub(super) const NULL: u8 = 0x02;
    pub(super) const STR: u8 = 0x09;
    pub(super) const REF: u8 = 0x0d;
    pub(super) const ARRAY: u8 = 0x11;
    pub(super) const MAP: u8 = 0x12;
}

/// How many topics a node takes of one member.
const MOST_TOPICS: usize = 16_384;

/// Where nobody ever gets.
const FAR_AWAY: Seq = match Seq::new(1 << 60) {
    Some(seq) => seq,
    None => Seq::FIRST,
};

/// Those that the phantom has, and will have, behind what is lost.
const FIFTH: Seq = match Seq::new(5) {
    Some(seq) => seq,
    None => Seq::FIRST,
};
const SIXTH: Seq = match Seq::new(6) {
    Some(seq) => seq,
    None => Seq::FIRST,
};
