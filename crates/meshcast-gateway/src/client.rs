//! One client: what it says, and what becomes of it.

use std::{collections::HashMap, time::Duration};

use axum::{
    extract::ws::{CloseFrame, Message, WebSocket, close_code},
    http::request::Parts,
};
use futures::{
    FutureExt, Sink, SinkExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{FuturesUnordered, SplitSink},
};
use meshcast::{
    AckError, BroadcastChannel, ChannelOptions, Cursor, EncodedValue, Node, OpenError, PostError,
    Receipt, Since,
};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, interval_at, sleep_until, timeout, timeout_at},
};

use crate::{
    Access, Gateway,
    deliver::deliver,
    frames::{Post, Refusal, Said, Tell, VERSION},
    names::OfClient,
};

/// A client that is connected.
pub(crate) struct Client<'a> {
    gateway: &'a Gateway,
    request: &'a Parts,
    channels: HashMap<u32, Open>,
    /// New names that it may bring.
    names: OfClient,
    /// What carries messages of channels to the client.
    deliveries: JoinSet<()>,
    /// Posts that no other member is known to have yet.
    posted: FuturesUnordered<BoxFuture<'static, Tell>>,
}

/// A channel that a client has open.
struct Open {
    channel: BroadcastChannel<EncodedValue>,
    access: Access,
    delivery: Option<AbortHandle>,
}

/// How it ended.
enum End {
    /// It is gone, or nothing can be sent to it.
    Gone,
    /// It is told why.
    Closed(u16, &'static str),
}

impl<'a> Client<'a> {
    pub(crate) fn new(gateway: &'a Gateway, request: &'a Parts) -> Self {
        Self {
            gateway,
            request,
            channels: HashMap::new(),
            names: OfClient::new(gateway.max_channels),
            deliveries: JoinSet::new(),
            posted: FuturesUnordered::new(),
        }
    }

    /// Serves it until it is gone.
    pub(crate) async fn run(mut self, socket: WebSocket) {
        let (sink, mut said) = socket.split();
        let (frames, outgoing) = mpsc::channel(OUTGOING);
        let writer = tokio::spawn(write(sink, outgoing));
        let end = self.serve(&mut said, &frames).await;
        self.deliveries.shutdown().await;
        if let End::Closed(code, reason) = end {
            let frame = CloseFrame {
                code,
                reason: reason.into(),
            };
            let _ = frames.send(Message::Close(Some(frame))).await;
        }
        drop(frames);
        let _ = writer.await;
    }

    async fn serve(
        &mut self,
        said: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin),
        frames: &mpsc::Sender<Message>,
    ) -> End {
        let stopped = self.gateway.node.clone();
        let mut stopped = std::pin::pin!(async move { stopped.stopped().await });
        let mut alive = interval_at(Instant::now() + ALIVE, ALIVE);
        let mut heard = Instant::now();
        if tell(frames, &self.hello()).await.is_err() {
            return End::Gone;
        }
        loop {
            let may_post = self.posted.len() < POSTED;
            tokio::select! {
                frame = said.next(), if may_post => {
                    let answer = match frame {
                        None | Some(Err(_) | Ok(Message::Close(_))) => return End::Gone,
                        Some(Ok(Message::Text(text))) => match Said::read(&text) {
                            None => return End::Closed(close_code::PROTOCOL, "unreadable"),
                            Some(Said::Open { channel, name, last, ago, after }) => {
                                self.open(channel, &name, (last, ago, after), frames)
                            }
                            Some(Said::Close { channel }) => {
                                self.close(channel);
                                None
                            }
                            Some(Said::Alive) => None,
                        },
                        Some(Ok(Message::Binary(frame))) => match Post::read(&frame) {
                            None => return End::Closed(close_code::PROTOCOL, "unreadable"),
                            Some(post) => self.post(post).await,
                        },
                        Some(Ok(_)) => None,
                    };
                    if let Some(answer) = answer && tell(frames, &answer).await.is_err() {
                        return End::Gone;
                    }
                    // It was not listened to while there was no room for what it posted.
                    heard = Instant::now();
                }
                Some(posted) = self.posted.next() => {
                    if tell(frames, &posted).await.is_err() {
                        return End::Gone;
                    }
                }
                _ = alive.tick() => {
                    if may_post && heard.elapsed() > SILENT {
                        return End::Closed(close_code::POLICY, "silent");
                    }
                    if tell(frames, &Tell::Alive).await.is_err() {
                        return End::Gone;
                    }
                }
                () = &mut stopped => return End::Closed(close_code::AWAY, "the node has stopped"),
            }
        }
    }

    fn hello(&self) -> Tell {
        let node: &Node = &self.gateway.node;
        Tell::Hello {
            version: VERSION,
            peer_id: node.peer_id().to_string(),
            name: node.name().to_string(),
            region: node.region().to_string(),
            max_message_bytes: self.gateway.max_message_bytes,
            max_channels: self.gateway.max_channels,
        }
    }

    /// Opens a channel for it. Notices about it come before the first message.
    fn open(
        &mut self,
        channel: u32,
        name: &str,
        (last, ago, after): (Option<u32>, Option<u32>, Option<String>),
        frames: &mpsc::Sender<Message>,
    ) -> Option<Tell> {
        // The number belongs to the one it has open.
        self.close(channel);
        let refused = |reason| Some(Tell::Refused { channel, reason });
        if self.channels.len() >= self.gateway.max_channels {
            return refused(Refusal::TooMany);
        }
        let access = self.gateway.access(self.request, name);
        if !access.read && !access.post {
            return refused(Refusal::Forbidden);
        }
        let looks_back = after.is_none() && (last.is_some() || ago.is_some());
        let since = match (after, last, ago) {
            // Who only posts hears nothing, from whenever.
            _ if !access.read => Since::Now,
            (Some(after), ..) => match after.parse::<Cursor>() {
                Ok(cursor) => Since::After(cursor),
                Err(_) => return refused(Refusal::Cursor),
            },
            (None, Some(last), _) => Since::Last(last.into()),
            (None, None, Some(ago)) => Since::Ago(Duration::from_millis(ago.into())),
            (None, None, None) => Since::Now,
        };
        let options = ChannelOptions::new().since(since);
        let node = &self.gateway.node;
        let object = match node.channel_with::<EncodedValue>(name, options) {
            Ok(object) => object,
            Err(OpenError::Name(_)) => return refused(Refusal::Name),
            Err(OpenError::ForeignCursor) => return refused(Refusal::Cursor),
            Err(_) => return refused(Refusal::Unavailable),
        };
        // Of names that are only listened to nothing is left.
        if access.post && !self.gateway.names.enter(name, &mut self.names) {
            return refused(Refusal::TooMany);
        }
        let mut messages = access.read.then(|| object.messages().marked());
        // Its next message follows on this; if it looks back, on nothing yet.
        let begins = messages.as_mut().filter(|_| !looks_back);
        let opened = Tell::Opened {
            channel,
            read: access.read,
            post: access.post,
            cursor: begins.map(|messages| messages.cursor().to_string()),
        };
        let delivery = messages.map(|messages| {
            let (opened, frames) = (opened.written(), frames.clone());
            self.deliveries.spawn(async move {
                if frames.send(Message::Text(opened.into())).await.is_ok() {
                    deliver(channel, messages, &frames).await;
                }
            })
        });
        let says_itself = delivery.is_some();
        let open = Open {
            channel: object,
            access,
            delivery,
        };
        self.channels.insert(channel, open);
        (!says_itself).then_some(opened)
    }

    fn close(&mut self, channel: u32) {
        if let Some(open) = self.channels.remove(&channel) {
            open.channel.close();
            if let Some(delivery) = open.delivery {
                delivery.abort();
            }
        }
        // Those that have ended are let go of.
        while self.deliveries.try_join_next().is_some() {}
    }

    /// Posts for it; if there is no room, nothing else that it says is read meanwhile.
    async fn post(&mut self, post: Post) -> Option<Tell> {
        let (channel, number) = (post.channel, post.number);
        let unposted = |reason| {
            Some(Tell::Unposted {
                channel,
                number,
                reason,
            })
        };
        let Some(open) = self.channels.get(&channel) else {
            return unposted(Refusal::Closed);
        };
        if !open.access.post {
            return unposted(Refusal::Forbidden);
        }
        let value = EncodedValue::new(post.value);
        match open.channel.post_message_wait(&value).await {
            Ok(receipt) => {
                self.posted.push(safe(receipt, channel, number).boxed());
                None
            }
            Err(PostError::TooLarge { .. }) => unposted(Refusal::TooLarge),
            Err(_) => unposted(Refusal::Unavailable),
        }
    }
}

/// Waits until another member has the post, so that it outlives this process; or for so long that
/// nobody seems to be there. If the node has stopped before, the page keeps it and posts it
/// elsewhere.
async fn safe(receipt: Receipt, channel: u32, number: u32) -> Tell {
    let end = Instant::now() + ALONE;
    match timeout_at(end, receipt.acked(1)).await {
        Ok(Err(AckError::Closed)) => {
            return Tell::Unposted {
                channel,
                number,
                reason: Refusal::Unavailable,
            };
        }
        // Not known, as where nobody is there.
        Ok(Err(_)) => sleep_until(end).await,
        Ok(Ok(_)) | Err(_) => {}
    }
    Tell::Posted {
        channel,
        number,
        seq: receipt.seq(),
    }
}

async fn tell(frames: &mpsc::Sender<Message>, tell: &Tell) -> Result<(), End> {
    let frame = Message::Text(tell.written().into());
    frames.send(frame).await.map_err(|_| End::Gone)
}

/// Sends what is to be sent. A client that does not take it for so long is gone.
async fn write(mut sink: SplitSink<WebSocket, Message>, mut outgoing: mpsc::Receiver<Message>) {
    while let Some(frame) = outgoing.recv().await {
        if !send(&mut sink, frame).await {
            return;
        }
    }
    let _ = timeout(SILENT, sink.close()).await;
}

async fn send(sink: &mut (impl Sink<Message> + Unpin), frame: Message) -> bool {
    matches!(timeout(SILENT, sink.send(frame)).await, Ok(Ok(())))
}

/// Frames on their way to a client, each at most a message: the rest waits in its channels.
const OUTGOING: usize = 16;
/// Posts of a client that nobody else is known to have: more are not read.
const POSTED: usize = 256;
/// How long a post waits for another member to have it.
const ALONE: Duration = Duration::from_secs(2);
/// The interval at which a client is told that the service is there. It answers, and does not count
/// time by itself: a page in the background does so once a minute at most.
const ALIVE: Duration = Duration::from_secs(10);
/// A client that says nothing for so long is gone.
const SILENT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use meshcast::MeshKey;

    use super::*;

    async fn node() -> Node {
        let key = MeshKey::random().expect("entropy");
        let builder = Node::builder().key(key).listen("127.0.0.1:0");
        builder.spawn().await.expect("a node")
    }

    #[tokio::test]
    async fn a_post_that_nobody_has_when_the_node_stops_is_not_posted() {
        let node = node().await;
        let channel = node.channel::<EncodedValue>("room").expect("a channel");
        let value = EncodedValue::new([0].to_vec());
        let receipt = channel.post_message(&value).expect("room");
        node.shutdown().await;
        let told = safe(receipt, 1, 2).await;
        let unposted = Tell::Unposted {
            channel: 1,
            number: 2,
            reason: Refusal::Unavailable,
        };
        assert_eq!(told, unposted);
    }

    // Paused, time passes as soon as nothing else happens here.
    #[tokio::test(start_paused = true)]
    async fn a_post_of_which_nothing_can_be_asked_waits_as_long_as_one_that_nobody_has() {
        let node = node().await;
        let channel = node.channel::<EncodedValue>("room").expect("a channel");
        let value = EncodedValue::new([0].to_vec());
        let receipt = channel.post_message(&value).expect("room");
        let mut waiting = Vec::new();
        loop {
            let mut acked = Box::pin({
                let receipt = receipt.clone();
                async move { receipt.acked(1).await }
            });
            match futures::poll!(&mut acked) {
                std::task::Poll::Ready(Err(AckError::TooMany { .. })) => break,
                std::task::Poll::Ready(acked) => panic!("{acked:?}"),
                std::task::Poll::Pending => waiting.push(acked),
            }
        }
        let began = Instant::now();
        let told = safe(receipt, 1, 2).await;
        assert!(matches!(told, Tell::Posted { .. }), "{told:?}");
        assert!(began.elapsed() >= ALONE, "after {:?}", began.elapsed());
    }

    #[tokio::test]
    async fn a_client_that_is_cut_off_right_after_a_channel_is_open_knows_where_to_go_on() {
        let gateway = Gateway::new(node().await, |_, _| Access::ALL);
        let request = axum::http::Request::new(()).into_parts().0;
        let mut client = Client::new(&gateway, &request);
        let (frames, mut told) = mpsc::channel(16);
        let mut opened = async |from| {
            assert_eq!(client.open(1, "room", from, &frames), None);
            loop {
                let Some(Message::Text(text)) = told.recv().await else {
                    panic!("no notice")
                };
                let told: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                // The channel before may have told more.
                if told["type"] == "opened" {
                    return told["cursor"].as_str().map(ToOwned::to_owned);
                }
            }
        };
        let begins = opened((None, None, None)).await.expect("a cursor");
        begins.parse::<Cursor>().expect("one that is read again");
        assert_eq!(
            opened((None, None, Some(begins.clone()))).await,
            Some(begins)
        );
        assert_eq!(opened((Some(5), None, None)).await, None, "it looks back");
    }

    #[tokio::test]
    async fn a_client_brings_no_more_new_names_than_it_may() {
        let gateway = Gateway::new(node().await, |_, name| match name {
            "news" => Access::READ,
            _ => Access::ALL,
        });
        let gateway = gateway.max_channels(2);
        let request = axum::http::Request::new(()).into_parts().0;
        let mut client = Client::new(&gateway, &request);
        let (frames, _told) = mpsc::channel(1024);
        let mut open = |name: &str| client.open(1, name, (None, None, None), &frames);
        let refused = |told| {
            let reason = Refusal::TooMany;
            assert_eq!(told, Some(Tell::Refused { channel: 1, reason }));
        };
        for name in 0..8 {
            assert_eq!(open(&format!("room:{name}")), None);
        }
        refused(open("room:8"));
        // If it is known, or does not post, nothing is new.
        assert_eq!(open("room:3"), None);
        assert_eq!(open("news"), None);
    }
}
