//! The nodes that a page shows, and how they are asked: those of this process directly, others by
//! their admin sockets.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::{StreamExt, future::join_all, stream::BoxStream};
use hyper::body::Bytes;
use meshcast::{
    BroadcastChannel, ChannelOptions, Message, OpenError, PostError, RecvError, Snapshot, Value,
    WeakNode,
    admin::schema::{
        self, ChannelReport, Line, NodeReport, PeerReport, Posted, Present, Problem, code,
    },
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};

use super::{
    picture::{Asked, Look, Picture},
    present,
    tail::{Arrived, Heard, What},
};
use crate::{
    client::{Client, channel_query},
    exit::Failure,
    faults::{self, PATH, Request, Status},
    locate, render,
    survey::Up,
};

/// What a page is about.
#[derive(Debug, Clone)]
pub(crate) enum Scene {
    /// The nodes of a `meshcast up`, in this process.
    Up {
        current: watch::Receiver<Arc<Current>>,
        asked: mpsc::Sender<faults::Asked>,
    },
    /// The nodes of this machine. Those that a `meshcast up` runs can be broken.
    Machine,
}

/// What a `meshcast up` runs now.
#[derive(Debug, Default)]
pub(crate) struct Current {
    pub(crate) status: Option<Status>,
    /// By name, with where its service is. Those that are down are not there.
    pub(crate) nodes: BTreeMap<String, (WeakNode, String)>,
}

/// How a node is asked.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Here(WeakNode),
    Socket(Client),
}

/// Nodes by name: how each is asked, if it runs, and where its service is.
type Sources = BTreeMap<String, (Option<Source>, Option<String>)>;

impl Scene {
    /// Asks all, at once. A `meshcast up` that does not answer in time is as it was at the `last`
    /// look: that it is busy has mended nothing.
    pub(super) async fn picture(&self, at: Duration, last: Option<&Status>) -> Picture {
        let (sources, up, not_asked) = self.sources(last).await;
        let why_not = match up {
            Up::None => None,
            _ => up.why_not(),
        };
        let faults = match up {
            Up::Says(status) => Some(status),
            _ => None,
        };
        let looks = sources.into_iter().map(|(name, (source, url))| async move {
            let look = source.as_ref().map(Source::look);
            let look = match look {
                Some(look) => timeout(ANSWER, look).await.ok().flatten(),
                None => None,
            };
            (name, Asked { look, url })
        });
        Picture {
            at,
            nodes: join_all(looks).await.into_iter().collect(),
            faults,
            why_not,
            not_asked,
        }
    }

    /// The node of a name, if it runs here.
    pub(super) async fn source(&self, name: &str) -> Option<Source> {
        match self {
            Self::Up { current, .. } => {
                let current = Arc::clone(&current.borrow());
                let (node, _) = current.nodes.get(name)?;
                Some(Source::Here(node.clone()))
            }
            Self::Machine => {
                let live = locate::live().await.ok()?;
                let client = live.into_iter().find(|client| client.name() == name)?;
                client.is_ours().await.then_some(Source::Socket(client))
            }
        }
    }

    /// Does what `meshcast fault` does.
    pub(super) async fn fault(&self, request: Request) -> Result<Status, Problem> {
        match self {
            Self::Up { asked, .. } => {
                let (sender, answer) = oneshot::channel();
                asked.send((request, sender)).await.map_err(|_| stopped())?;
                answer.await.map_err(|_| stopped())?
            }
            Self::Machine => {
                let up = locate::up(None).await.map_err(problem)?;
                let body = serde_json::to_vec(&request)
                    .map_err(|error| problem(Failure::failed(error)))?;
                up.post(PATH, Bytes::from(body)).await.map_err(problem)
            }
        }
    }

    async fn sources(&self, last: Option<&Status>) -> (Sources, Up, Vec<String>) {
        match self {
            Self::Up { current, .. } => {
                let current = Arc::clone(&current.borrow());
                let nodes = current.nodes.iter().map(|(name, (node, url))| {
                    (
                        name.clone(),
                        (Some(Source::Here(node.clone())), Some(url.clone())),
                    )
                });
                let mut nodes: BTreeMap<_, _> = nodes.collect();
                for node in current.status.iter().flat_map(|status| &status.nodes) {
                    nodes.entry(node.name.clone()).or_default();
                }
                let up = current.status.clone().map_or(Up::None, Up::Says);
                (nodes, up, Vec::new())
            }
            Self::Machine => {
                let mut live = locate::live().await.unwrap_or_default();
                // Those of other users are none of ours.
                let ours = join_all(live.iter().map(Client::is_ours)).await;
                let mut ours = ours.into_iter();
                live.retain(|_| ours.next().unwrap_or_default());
                let beyond = live.split_off(live.len().min(NODES));
                let nodes = live.into_iter().map(|client| {
                    (
                        client.name().to_owned(),
                        (Some(Source::Socket(client)), None),
                    )
                });
                let mut nodes: BTreeMap<_, _> = nodes.collect();
                let up = or_as_it_was(Up::ask(ANSWER).await, last);
                for node in up.status().iter().flat_map(|status| &status.nodes) {
                    nodes.entry(node.name.clone()).or_default();
                }
                let beyond = beyond.iter().map(|client| client.name().to_owned());
                (nodes, up, beyond.collect())
            }
        }
    }
}

fn or_as_it_was(up: Up, last: Option<&Status>) -> Up {
    match (up, last) {
        (Up::Silent, Some(last)) => Up::Says(last.clone()),
        (up, _) => up,
    }
}

impl Source {
    /// The node's report of itself; `None` if it gives none.
    async fn look(&self) -> Option<Look> {
        let (node, peers, channels) = match self {
            Self::Here(node) => {
                let snapshot: Snapshot = node.upgrade()?.inspect().await.ok()?;
                (
                    NodeReport::from(&snapshot),
                    PeerReport::from(&snapshot),
                    ChannelReport::from(&snapshot),
                )
            }
            Self::Socket(client) => {
                let asked = tokio::join!(
                    client.get::<NodeReport>("/v1/node"),
                    client.get::<PeerReport>("/v1/peers"),
                    client.get::<ChannelReport>("/v1/channels"),
                );
                (asked.0.ok()?, asked.1.ok()?, asked.2.ok()?)
            }
        };
        Some(Look {
            node,
            peers: peers.peers,
            unlinked: peers.unlinked,
            channels: channels.channels,
        })
    }

    /// Posts a JSON text.
    pub(super) async fn post(&self, channel: &str, json: &str) -> Result<(), Problem> {
        let node = match self {
            Self::Here(node) => node.upgrade().ok_or_else(stopped)?,
            Self::Socket(client) => {
                let path = format!("/v1/messages?{}", channel_query(channel));
                let posted = client.post::<Posted>(&path, Bytes::from(json.to_owned()));
                return posted.await.map(drop).map_err(problem);
            }
        };
        let bad = |code: &str, error: &dyn std::fmt::Display| Problem {
            code: code.into(),
            message: error.to_string(),
        };
        let value = Value::from_json_text(json).map_err(|error| bad(code::BAD_JSON, &error))?;
        let object: BroadcastChannel<Value> = node
            .channel(channel)
            .map_err(|error| bad(open_code(&error), &error))?;
        object
            .post_message(&value)
            .map(drop)
            .map_err(|error| bad(post_code(&error), &error))
    }

    /// Who is present on a channel, again whenever that changes; `None` if that cannot be watched.
    pub(super) async fn present(&self, channel: &str) -> Option<BoxStream<'static, Vec<Present>>> {
        match self {
            Self::Here(node) => {
                let object = observed(node, channel)?;
                let presence = object.presence::<Value>();
                let lists = presence.changes().map(move |_| {
                    let _open_while_it_is_watched = &object;
                    let members = presence.members();
                    members.iter().map(Present::from).collect()
                });
                Some(lists.boxed())
            }
            Self::Socket(client) => {
                let query = channel_query(channel);
                let path = format!("/v1/presence?{query}&watch=1&observer=1");
                let lines = client.follow(&path).await.ok()?;
                let start = (lines, BTreeMap::new());
                let lists = futures::stream::unfold(start, async |(mut lines, mut members)| {
                    let line = lines.next().await?;
                    if let Ok(line) = serde_json::from_str(&line) {
                        present::apply(&mut members, line);
                    }
                    Some((members.values().cloned().collect(), (lines, members)))
                });
                Some(lists.boxed())
            }
        }
    }

    /// Each message or gap that a channel hears there from now on, with what makes a text of it.
    pub(super) async fn follow(&self, channel: &str) -> Option<BoxStream<'static, Item>> {
        match self {
            Self::Here(node) => {
                let object = observed(node, channel)?;
                let messages = object.messages().map(move |item| {
                    let _open_while_it_is_followed = &object;
                    Item::from(item)
                });
                Some(messages.boxed())
            }
            Self::Socket(client) => {
                let path = format!("/v1/messages?{}&observer=1", channel_query(channel));
                let lines = client.follow(&path).await.ok()?;
                let items = futures::stream::unfold(lines, |mut lines| async move {
                    let line = lines.next().await?;
                    Some((serde_json::from_str(&line).ok().map(Item::from_line), lines))
                });
                Some(items.filter_map(async |item| item).boxed())
            }
        }
    }
}

/// Opens a channel only to look, so that no page takes it for what others do: a channel that is
/// open for nobody but pages is not followed any more, and is closed.
fn observed(node: &WeakNode, channel: &str) -> Option<BroadcastChannel<Value>> {
    let options = ChannelOptions::new().observer(true);
    node.upgrade()?.channel_with(channel, options).ok()
}

/// Something heard.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) heard: Heard,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Value(Value),
    Json(serde_json::Value),
    Text(String),
}

impl Item {
    /// The beginning of it, for people.
    pub(super) fn text(&self) -> String {
        let text = match &self.content {
            Content::Value(value) => match value.to_json_within(PREVIEW_MEMORY) {
                Ok(json) => render::value(&json),
                Err(_) => "a large value".into(),
            },
            Content::Json(json) => render::value(json),
            Content::Text(text) => text.clone(),
        };
        match text.char_indices().nth(PREVIEW) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text,
        }
    }

    fn from_line(line: Line) -> Self {
        let heard = |sender, name, region, seq, what| Heard {
            sender,
            name,
            region,
            seq,
            what,
        };
        match line {
            Line::Message(it) => {
                let received = it.received_at.as_deref().and_then(millis);
                let arrived = Arrived {
                    posted_ms: millis(&it.posted_at).unwrap_or_default(),
                    received_ms: received,
                    way: it.via,
                };
                let what = What::Message(arrived);
                Self {
                    heard: heard(it.sender, it.name, it.region, it.seq, what),
                    content: Content::Json(it.data),
                }
            }
            Line::Gap { gap } => Self {
                heard: heard(
                    gap.sender,
                    gap.name,
                    gap.region,
                    gap.from,
                    What::Gap(gap.to),
                ),
                content: Content::Text(gap.reason),
            },
            Line::Undecodable { undecodable: it } => Self {
                heard: heard(it.sender, it.name, String::new(), it.seq, What::Undecodable),
                content: Content::Text(it.error),
            },
        }
    }
}

impl From<Result<Message<Value>, RecvError>> for Item {
    fn from(item: Result<Message<Value>, RecvError>) -> Self {
        let heard =
            |sender: &dyn ToString, name: &dyn ToString, region: &dyn ToString, seq, what| Heard {
                sender: sender.to_string(),
                name: name.to_string(),
                region: region.to_string(),
                seq,
                what,
            };
        match item {
            Ok(it) => {
                let what = What::Message(Arrived {
                    posted_ms: it.posted_at().unix_millis(),
                    received_ms: Some(it.received_at().unix_millis()),
                    way: Some(it.via().as_str().to_owned()),
                });
                Self {
                    heard: heard(&it.sender(), it.name(), it.region(), it.seq(), what),
                    content: Content::Value(it.data),
                }
            }
            Err(RecvError::Gap(gap)) => {
                let (first, last) = gap.missed().into_inner();
                Self {
                    heard: heard(
                        &gap.sender(),
                        gap.name(),
                        gap.region(),
                        first,
                        What::Gap(last),
                    ),
                    content: Content::Text(gap.reason().to_string()),
                }
            }
            Err(RecvError::Decode(it)) => Self {
                heard: heard(
                    &it.sender(),
                    it.name(),
                    it.region(),
                    it.seq(),
                    What::Undecodable,
                ),
                content: Content::Text(it.reason().to_string()),
            },
            Err(other) => Self {
                heard: heard(&"", &"", &"", 0, What::Undecodable),
                content: Content::Text(other.to_string()),
            },
        }
    }
}

/// Milliseconds since 1970 of a time of the admin socket.
fn millis(time: &str) -> Option<u64> {
    let since = render::unix_time(time)?;
    u64::try_from(since.as_millis()).ok()
}

/// Milliseconds since 1970, by this machine's clock.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}

/// As the admin socket tells it.
const fn open_code(error: &OpenError) -> &'static str {
    match error {
        OpenError::TooManyChannels { .. } | OpenError::TooManyNames { .. } => code::FULL,
        OpenError::Closed => code::STOPPED,
        _ => code::BAD_CHANNEL,
    }
}

/// As the admin socket tells it.
const fn post_code(error: &PostError) -> &'static str {
    match error {
        PostError::Closed => code::STOPPED,
        PostError::TooLarge { .. } => code::TOO_LARGE,
        PostError::Encode(_) => code::UNENCODABLE,
        _ => code::FULL,
    }
}

fn stopped() -> Problem {
    Problem {
        code: code::STOPPED.into(),
        message: "the node is stopping".into(),
    }
}

fn problem(failure: Failure) -> schema::Problem {
    Problem {
        code: failure.code.into_owned(),
        message: failure.message,
    }
}

/// A node that is well answers in a millisecond; on a machine that is not, it takes longer.
const ANSWER: Duration = Duration::from_secs(3);
/// More run on no machine; each takes three questions a round.
const NODES: usize = 200;
/// What a row of a page has room for, in characters.
const PREVIEW: usize = 300;
/// What writing it may take.
const PREVIEW_MEMORY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use meshcast::{Limits, Node};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_meshcast_up_that_is_busy_keeps_its_last_status() {
        let directory = tempfile::tempdir().expect("writable");
        let path = directory.path().join("fra-1.up");
        let _busy = tokio::net::UnixListener::bind(&path).expect("free");
        let cuts = serde_json::json!({"schema": "faults/v1", "nodes": [], "around": [],
            "cuts": [{"from": "fra", "to": "iad"}]});
        let last: Status = serde_json::from_value(cuts).expect("a status");
        let asked = Up::of(&Client::new(path), ANSWER).await;
        let up = or_as_it_was(asked, Some(&last));
        assert_eq!(up.status(), Some(&last));
        // One that has ended runs nothing.
        assert_eq!(or_as_it_was(Up::None, Some(&last)).status(), None);
    }

    #[tokio::test]
    async fn what_cannot_be_posted_is_told_by_what_is_wrong_with_it() {
        let limits = Limits {
            max_message_bytes: 8,
            ..Limits::default()
        };
        let node = Node::builder().limits(limits).spawn().await.expect("runs");
        let source = Source::Here(node.downgrade());
        let code = async |json: &str| source.post("earth", json).await.map_err(|it| it.code);
        assert_eq!(code("1").await, Ok(()));
        let long = format!("{:?}", "x".repeat(100));
        assert_eq!(code(&long).await, Err(code::TOO_LARGE.to_owned()));
        assert_eq!(code("{").await, Err(code::BAD_JSON.to_owned()));
        node.shutdown().await;
        assert_eq!(code("1").await, Err(code::STOPPED.to_owned()));
    }
}
