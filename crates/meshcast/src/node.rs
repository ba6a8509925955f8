//! The handle of a node.

use std::{fmt, sync::Arc, time::Duration};

use libp2p::{Multiaddr, PeerId};
use meshcast_proto::{ChannelName, NodeName, Region};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::{
    address::Address,
    channel::{BroadcastChannel, ChannelOptions, Payload, Registry, Since},
    command::{Command, Inspected, View},
    error::{AskError, Closed, OpenError, PingError},
    event::{Events, NodeEvent},
    handover::{Flushed, Shutdown},
    health::{Health, Ready},
    inspect::{ChannelInfo, Counters, MemberInfo, NodeInfo, PeerInfo, Snapshot},
    thread::Joined,
};

/// A running node: one member of a mesh.
///
/// A cheap handle; clones are the same node. Channels do not keep a node running.
///
/// # Its end
/// End a node with [`Self::shutdown`], and wait for that: it alone says what was left behind. When
/// the last clone is dropped the node winds down in the same way, and whoever drops it is held up
/// until that is done, for 2 s at most: then a warning is logged, and what nobody has is lost if
/// the process ends. So a process may return from `main` right after it posted. With nothing to
/// hand over it takes some milliseconds. It cannot dead-lock, be it in a handler, in asynchronous
/// code or on a runtime with one thread: the node's thread waits for none of those. But nothing is
/// waited for
///
/// * by a node that was given a [`runtime`](crate::NodeBuilder::runtime): it lives on there, and
///   ends with it;
/// * if the process ends without a drop: by `std::process::exit`, a signal, or with the node in a
///   `static`.
#[derive(Clone)]
pub struct Node {
    shared: Arc<Shared>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.shared.name)
            .field("region", &self.shared.region)
            .field("peer_id", &format_args!("{}", self.shared.peer_id))
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) peer_id: PeerId,
    pub(crate) name: NodeName,
    pub(crate) region: Region,
    pub(crate) registry: Arc<Registry>,
    /// Closing this is what stops the driver when the last handle is dropped.
    pub(crate) commands: mpsc::Sender<Command>,
    /// Weak, so that event streams end when the driver has stopped.
    pub(crate) events: broadcast::WeakSender<NodeEvent>,
    /// Has something, or loses its sender, when the driver has stopped.
    pub(crate) stopped: watch::Receiver<Option<Shutdown>>,
    /// How many members are connected. Loses its sender when the driver has stopped.
    pub(crate) members: watch::Receiver<usize>,
    /// Where it listens, in a stable order.
    pub(crate) listen_addresses: watch::Receiver<Vec<Multiaddr>>,
    #[cfg(feature = "metrics")]
    pub(crate) metrics_address: Option<std::net::SocketAddr>,
    /// After `commands`, the end of which it waits for. `None` if the node runs on a runtime that
    /// it was given.
    pub(crate) _joined: Option<Joined>,
}

impl Node {
    pub(crate) fn new(shared: Shared) -> Self {
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Its peer id: made at its start, different at the next.
    pub fn peer_id(&self) -> PeerId {
        self.shared.peer_id
    }

    /// Its name.
    pub fn name(&self) -> &NodeName {
        &self.shared.name
    }

    /// Its region.
    pub fn region(&self) -> &Region {
        &self.shared.region
    }

    /// The listen addresses: each address of the machine with the port, if it listens on all of
    /// them. They may change while it runs; those of a node that has stopped are its last.
    ///
    /// [`Address::socket_addr`] has the IP address and port of each.
    pub fn listen_addresses(&self) -> Vec<Address> {
        let addresses = self.shared.listen_addresses.borrow();
        addresses.iter().cloned().map(Address::from).collect()
    }

    /// Opens a channel: a new object that receives from this moment on.
    ///
    /// No clocks are compared, so it may also receive what was posted up to about 0.4 s before:
    /// that much is allowed for the way of the opening to other nodes, since a moment too much is
    /// better than a loss.
    ///
    /// `T` is what it carries: any type serde can write and read, the dynamic
    /// [`Value`](crate::Value), or [`Bytes`](crate::Bytes), which travel as they are.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was opened.
    pub fn channel<T: Payload>(&self, name: &str) -> Result<BroadcastChannel<T>, OpenError> {
        self.channel_since(name, Since::Now)
    }

    /// Opens a channel: a new object that receives from this moment on, and before that what was
    /// posted earlier.
    ///
    /// `since` is how much earlier: [`Since::Ago`] for what was posted within that time,
    /// [`Since::Last`] for so many numbers *of each sender* (a message takes one, a large one
    /// several), [`Since::After`] for what follows on where another stream
    /// [was](crate::Messages::cursor), [`Since::Now`] for nothing, as [`Self::channel`] does. The
    /// object gets of each sender a run of messages without a gap inside that it was not told of,
    /// which goes on with what is posted from now on, in order, none twice. Other objects of this
    /// process count like other nodes. It goes back as far as members keep messages, which is no
    /// promise: each node keeps [`Limits::history_age`](crate::Limits::history_age) and
    /// [`Limits::history_bytes`](crate::Limits::history_bytes) of the channels that it has open. Of
    /// the numbers that [`Since::Last`] asks for, those that nobody keeps any more are told as a
    /// gap ([`GapReason::Expired`](crate::GapReason::Expired)). So are those of the time of
    /// [`Since::Ago`] that this node had and dropped; of what it never had it does not know when it
    /// was posted.
    ///
    /// * If this node has not heard anybody on the channel, since it is not open here or nobody has
    ///   posted, and no object is open on it that wants nothing from before, the members that are
    ///   connected are asked, and those that connect later. Their messages, which may go back a
    ///   moment further than was asked for, are delivered as they come, also to objects that are
    ///   opened on the name meanwhile.
    /// * Otherwise the object gets what this node keeps itself, and before it what the members that
    ///   are connected keep. It is kept here then like anything else, as long as there is room.
    ///
    /// Members that are being dialled or have not told yet what they keep are waited for, senders
    /// that are gone included, and the object hears nothing until it is over: mostly a moment, 5 s
    /// at most. Messages that a member claims to keep and that are not here by then are told as a
    /// gap ([`GapReason::Unfetched`](crate::GapReason::Unfetched)). Of members that have said
    /// nothing by then nothing can be told; the log has how many.
    ///
    /// With [`Since::After`] it is never delivered to other objects of the name, and nothing is
    /// asked for that was read. Of a sender that the cursor does not name the object gets all that
    /// is kept; what follows on it of one that it names and nobody keeps any more is a gap
    /// ([`GapReason::Expired`](crate::GapReason::Expired)).
    ///
    /// # Errors
    /// [`OpenError`]; nothing was opened.
    pub fn channel_since<T: Payload>(
        &self,
        name: &str,
        since: Since,
    ) -> Result<BroadcastChannel<T>, OpenError> {
        self.channel_with(name, ChannelOptions::new().since(since))
    }

    /// Opens a channel: a new object as the options say.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was opened.
    pub fn channel_with<T: Payload>(
        &self,
        name: &str,
        options: ChannelOptions,
    ) -> Result<BroadcastChannel<T>, OpenError> {
        let name = ChannelName::new(name)?;
        let place = self.shared.registry.common().place(&name);
        let cursor = options.since.cursor();
        if cursor.is_some_and(|cursor| !cursor.is_of(place)) {
            return Err(OpenError::ForeignCursor);
        }
        let open = |hub| BroadcastChannel::new(hub, options);
        let channel = self.shared.registry.open(name, open)?;
        // Not under the locks of the registry: a subscriber is code of the user.
        tracing::debug!(node = %self.name(), channel = ?channel.name(), "object opened");
        Ok(channel)
    }

    /// Waits until the node listens, has tried its seeds once, and is either alone or part of the
    /// mesh on every channel that is open here and at a connected member.
    ///
    /// At most about 15 s: 10 until a seed that does not answer counts as tried, and 5 for the
    /// mesh. A node that is not part of it by then is ready all the same; what is posted is kept
    /// for those who come later. Cancel-safe.
    ///
    /// **Ready does not mean that anybody is there.** [`Ready::members`] says how many are, and it
    /// is 0 for the first node of a fleet as well as for one whose seeds are all wrong: how they
    /// are doing is in [`Snapshot::seeds`], and each change is a [`NodeEvent::Seed`] and a line in
    /// the log. To wait for other members, use [`Self::wait_for_members`].
    ///
    /// # Errors
    /// [`AskError`]: the node stopped before, or 1,024 wait already.
    pub async fn ready(&self) -> Result<Ready, AskError> {
        self.ask(Command::Ready).await?
    }

    /// Waits until at least this many members are connected, not counting the node itself; for as
    /// long as it takes, so put a timeout around it. Returns how many there are then. Cancel-safe.
    ///
    /// They may have gone again when this returns, and their channels may not be known yet, as they
    /// are after [`Self::ready`].
    ///
    /// # Errors
    /// [`Closed`] if the node has stopped, or stops before.
    pub async fn wait_for_members(&self, members: usize) -> Result<usize, Closed> {
        let mut count = self.shared.members.clone();
        let enough = count.wait_for(|count| *count >= members).await;
        let enough = enough.map(|count| *count).map_err(|_| Closed)?;
        // The number of a node that has stopped is that of its last moment.
        count.has_changed().map(|_| enough).map_err(|_| Closed)
    }

    /// A snapshot of the node now: all peers, all channels, and all else.
    ///
    /// The node looks through them in slices of 25 µs, between which it goes on, and once for all
    /// who ask at the same time; so it may be asked in a loop, and with thousands of channels an
    /// answer takes some milliseconds and is of no single moment. Everything done before the call
    /// shows in it. [`Self::counters`] and [`Self::info`] cost next to nothing; [`Self::peers`] and
    /// [`Self::channels`] leave out the other. Cancel-safe.
    ///
    /// # Errors
    /// [`AskError`]: the node has stopped, or 1,024 wait already.
    pub async fn inspect(&self) -> Result<Snapshot, AskError> {
        self.look(true, true).await
    }

    /// Whether the node is well, for probes: at most 3 s, after which it counts as one that is not
    /// live. Costs what [`Self::inspect`] costs without peers and channels: each channel is looked
    /// at. Cancel-safe.
    ///
    /// Never an error: a node that has stopped is not live. As routes of a service, here with axum:
    ///
    /// ```no_run
    /// # async fn example(node: meshcast::Node) {
    /// use axum::{Json, Router, http::StatusCode, routing::get};
    /// use meshcast::{Health, Node};
    ///
    /// fn status(is_well: bool) -> StatusCode {
    ///     if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
    /// }
    ///
    /// async fn report(node: Node, is_well: fn(&Health) -> bool) -> (StatusCode, Json<Health>) {
    ///     let health = node.health().await;
    ///     (status(is_well(&health)), Json(health))
    /// }
    ///
    /// let (live, ready) = (node.clone(), node);
    /// let app: Router = Router::new()
    ///     .route("/livez", get(move || report(live.clone(), |it| it.live)))
    ///     .route("/readyz", get(move || report(ready.clone(), |it| it.ready)));
    /// # }
    /// ```
    pub async fn health(&self) -> Health {
        let health = tokio::time::timeout(ANSWER_TIME, self.examine()).await;
        health.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn examine(&self) -> Result<Health, Closed> {
        let view = View {
            behind: true,
            ..View::default()
        };
        let (vitals, behind_by) = match self.ask(|it| Command::Inspect(view, it)).await? {
            Ok(inspected) => (inspected.vitals(), Some(inspected.behind_by)),
            // Nobody is to take a node for one that is not ready since it is looked at much.
            Err(_) => (self.ask(Command::Vitals).await?, None),
        };
        Ok(Health {
            live: true,
            ready: vitals.ready,
            members: vitals.members,
            isolated_since: vitals.isolated_since,
            behind_by,
            seeds: vitals.seeds,
        })
    }

    /// The counters of the node since it started. Cheap. Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`] if the node has stopped.
    pub async fn counters(&self) -> Result<Counters, Closed> {
        self.ask(Command::Counters).await
    }

    /// The node's identity and listen addresses. Cheap. Cancel-safe.
    ///
    /// # Errors
    /// [`Closed`] if the node has stopped.
    pub async fn info(&self) -> Result<NodeInfo, Closed> {
        self.ask(Command::Info).await
    }

    /// The members the node is connected to, by name and then by id; see [`Self::inspect`].
    /// Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Self::inspect`].
    pub async fn peers(&self) -> Result<Vec<PeerInfo>, AskError> {
        Ok(self.look(true, false).await?.peers)
    }

    /// The members of the mesh that this node knows to be there, by name and then by id, without
    /// the node itself: those it is connected to, and those that it is not connected to and sees as
    /// [present](crate::Presence) on a channel by way of others. Cheap. Cancel-safe.
    ///
    /// The latter are those present on a channel that is open here and on which somebody watches,
    /// here or elsewhere. Of a member that is not connected, and on no such channel, nothing is
    /// known: addresses come round, which anybody may make up, but no sign of life. It would take
    /// one of each member at each other one, all the time, whether anybody wants to know or not.
    ///
    /// So whoever wants the whole mesh opens one channel on every node and asks for
    /// [presence](crate::BroadcastChannel::presence) on it where it wants to know. Then all are in
    /// this list, and [changes](crate::Presence::changes) tell who joins, is silent, leaves and is
    /// lost.
    ///
    /// Since when one is connected is in [`PeerInfo::connected_since`], and since when it
    /// has a channel open in [`Present::since`](crate::Present::since).
    ///
    /// # Errors
    /// [`Closed`] if the node has stopped.
    pub async fn members(&self) -> Result<Vec<MemberInfo>, Closed> {
        let mut members = self.ask(Command::Members).await?;
        members.sort_by(|a, b| (&a.name, a.peer_id).cmp(&(&b.name, b.peer_id)));
        Ok(members)
    }

    /// The channels that the node has open or still holds after the last object was closed, by
    /// name; see [`Self::inspect`]. Cancel-safe.
    ///
    /// # Errors
    /// Those of [`Self::inspect`].
    pub async fn channels(&self) -> Result<Vec<ChannelInfo>, AskError> {
        Ok(self.look(false, true).await?.channels)
    }

    /// What [`Self::inspect`] shows, with these parts of it.
    pub(crate) async fn look(&self, peers: bool, channels: bool) -> Result<Snapshot, AskError> {
        let view = View {
            peers,
            channels,
            behind: false,
        };
        let inspected = self.inspected(view).await?;
        // Copied and sorted here, and not where the network is.
        let mut snapshot = Arc::unwrap_or_clone(inspected).snapshot;
        snapshot
            .peers
            .sort_by(|a, b| (&a.name, a.peer_id).cmp(&(&b.name, b.peer_id)));
        snapshot.channels.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(snapshot)
    }

    /// What is known of single messages here.
    #[cfg(feature = "admin")]
    pub(crate) async fn trace(
        &self,
        query: crate::command::TraceQuery,
    ) -> Result<crate::command::Trace, Closed> {
        self.ask(|answer| Command::Trace(query, answer)).await
    }

    #[cfg(feature = "admin")]
    pub(crate) fn clock(&self) -> crate::clock::Clock {
        self.shared.registry.common().clock()
    }

    /// The driver's view of itself, shared with all who ask at the same time.
    pub(crate) async fn inspected(&self, view: View) -> Result<Arc<Inspected>, AskError> {
        self.ask(|answer| Command::Inspect(view, answer)).await?
    }

    /// The address at which the node serves its metrics, if it was
    /// [told to](crate::NodeBuilder::metrics). With the feature `metrics`.
    #[cfg(feature = "metrics")]
    pub fn metrics_address(&self) -> Option<std::net::SocketAddr> {
        self.shared.metrics_address
    }

    /// The events of the node from now on.
    pub fn events(&self) -> Events {
        let receiver = self
            .shared
            .events
            .upgrade()
            .map(|events| events.subscribe());
        // A node that has stopped has no more events.
        Events::new(receiver.unwrap_or_else(|| broadcast::channel(1).1))
    }

    /// Measures the round trip to a connected peer, through its driver and back. Cancel-safe.
    ///
    /// # Errors
    /// [`PingError`].
    pub async fn ping(&self, peer: PeerId) -> Result<Duration, PingError> {
        self.ask(|answer| Command::Ping(peer, answer))
            .await
            .map_err(|Closed| PingError::Closed)?
    }

    /// Waits until what was posted before, on all channels, is with at least one member that has
    /// the channel open: until it has acknowledged it. To wait for more members, ask the
    /// [`Receipt`](crate::Receipt) of a message.
    ///
    /// Messages that nobody wants are not waited for, and [told](Flushed::undelivered) at the end:
    /// no member is connected that has the channel open; nobody is expected, since all seeds are
    /// connected or there are none, and none was lost in the last 5 min that had the channel open
    /// (or, with nobody connected, none at all). As long as somebody is expected, and as long as a
    /// member does not take what it lacks, this waits. The caller limits the time:
    ///
    /// ```no_run
    /// # async fn example(node: meshcast::Node) -> Result<(), Box<dyn std::error::Error>> {
    /// use std::time::Duration;
    ///
    /// match tokio::time::timeout(Duration::from_secs(2), node.flush()).await {
    ///     Ok(flushed) => println!("{}", flushed?),
    ///     Err(_) => println!("not everything is with somebody yet"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Cancel-safe: nothing is undone, and it may be asked again.
    ///
    /// # Errors
    /// [`AskError`]: the node stops before, or 256 wait already.
    pub async fn flush(&self) -> Result<Flushed, AskError> {
        self.ask(Command::Flush).await?
    }

    /// Hands over what was posted, leaves the mesh and stops. Returns when that is done, also if it
    /// was done before or by another clone, and says what was left behind.
    ///
    /// From now on nothing is posted any more, and streams end. For up to 5 s it waits until of
    /// each channel some member has all that is kept of what was posted here, as [`Self::flush`]
    /// does; meanwhile the node accepts, dials (seeds and lost members at once, and again and
    /// again) and answers as before, so that somebody who comes just then gets it. With nobody to
    /// wait for, as for a node without seeds that has met nobody, it returns at once; else once it
    /// is handed over, mostly after some 50 ms. Half a second more may pass until connections are
    /// closed.
    ///
    /// Cancel-safe: once begun it goes on without being waited for. [`Self::abort`] cuts it short.
    pub async fn shutdown(&self) -> Shutdown {
        // Refused only by a driver that has stopped.
        let _ = self.shared.commands.send(Command::Shutdown).await;
        let mut stopped = self.shared.stopped.clone();
        // An error means that the driver is gone without a word.
        let shutdown = stopped.wait_for(Option::is_some).await;
        shutdown
            .ok()
            .and_then(|shutdown| shutdown.clone())
            .unwrap_or_default()
    }

    /// Stops the node as if its process were killed: nothing that is queued leaves any more, and
    /// nobody is told. For tests of what others make of that, and for whoever cannot wait for
    /// [`Self::shutdown`] any longer.
    ///
    /// Cancel-safe, as [`Self::shutdown`] is.
    pub async fn abort(&self) {
        // Refused only by a driver that has stopped.
        let _ = self.shared.commands.send(Command::Abort).await;
        self.stopped().await;
    }

    /// Waits until the node has stopped, for whatever reason. Cancel-safe.
    pub async fn stopped(&self) {
        self.stop_signal().await;
    }

    /// Ready when the node has stopped, without keeping it running.
    pub(crate) fn stop_signal(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut stopped = self.shared.stopped.clone();
        async move {
            // An error means that the driver is gone without a word: stopped as well.
            let _ = stopped.wait_for(Option::is_some).await;
        }
    }

    /// A handle that does not keep the node running.
    pub fn downgrade(&self) -> WeakNode {
        WeakNode(Arc::downgrade(&self.shared))
    }

    async fn ask<A>(
        &self,
        question: impl FnOnce(oneshot::Sender<A>) -> Command,
    ) -> Result<A, Closed> {
        let (sender, answer) = oneshot::channel();
        self.shared
            .commands
            .send(question(sender))
            .await
            .map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }
}

/// A handle that does not keep the node running.
#[derive(Debug, Clone)]
pub struct WeakNode(std::sync::Weak<Shared>);

impl WeakNode {
    /// The node, unless all its handles are gone.
    pub fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(|shared| Node { shared })
    }
}

/// The time that a node may take to report its state. One that is well answers in milliseconds,
/// also under load.
const ANSWER_TIME: Duration = Duration::from_secs(3);

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
