//! One connection's end of gossip: a stream to write, a stream to read.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    iter::Peekable,
    task::{Context, Poll},
};

use super::{
    announcements::{Announcements, Told},
    events::Report,
    judge::Judge,
    queue::Queue,
    rpc::{self, Rpc, Said},
    stream::{Outgoing, ReadError, Reader, Writer},
};
use futures::future::{Ready, ready};
use libp2p::{
    StreamProtocol,
    core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, ConnectionId, Stream, StreamUpgradeError,
        SubstreamProtocol,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};

/// Opens the outbound stream at once and anew when it breaks; reads the inbound stream that the
/// peer opened last.
///
/// Back-pressure needs no code here, as in a session: the swarm holds few reports of a connection
/// before it stops polling this handler.
#[derive(Debug)]
pub(crate) struct Handler {
    connection: ConnectionId,
    judge: Judge,
    announcements: Announcements,
    queue: Queue,
    /// The announcements that the peer was told when it came: none.
    came: Told,
    /// As in [`Gossip::new`](super::Gossip::new), and whether it came to that.
    mute_from: usize,
    is_mute: bool,
    outbound: Outbound,
    /// Reopenings left.
    retries: u32,
    inbound: Option<Reader<Stream>>,
    /// How many streams the peer may still open.
    inbound_left: u32,
    /// What is left of an RPC that was read.
    rpc: Option<Peekable<Rpc>>,
    /// What happened outside of `poll`, one or two.
    reports: VecDeque<Report>,
}

#[derive(Debug)]
enum Outbound {
    /// To be asked for in the next poll.
    Wanted,
    /// Asked for; an event brings the answer.
    Opening,
    /// Negotiated, and not in the queue's list of connections yet.
    Negotiated(Writer<Stream>),
    Open(Writer<Stream>, Told),
    /// Not to come back on this connection.
    Ended,
}

impl Handler {
    pub(super) fn new(
        connection: ConnectionId,
        judge: Judge,
        announcements: Announcements,
        (queue, came): (Queue, Told),
        mute_from: usize,
    ) -> Self {
        Self {
            connection,
            judge,
            announcements,
            queue,
            came,
            mute_from,
            is_mute: false,
            outbound: Outbound::Wanted,
            retries: REOPENINGS,
            inbound: None,
            inbound_left: 1 + REOPENINGS,
            rpc: None,
            reports: VecDeque::new(),
        }
    }

    fn on_outbound_failed(&mut self, error: StreamUpgradeError<Infallible>) {
        match error {
            StreamUpgradeError::NegotiationFailed => {
                self.outbound = Outbound::Ended;
                self.reports.push_back(Report::Unsupported);
            }
            StreamUpgradeError::Timeout => self.lose_outbound(&io::ErrorKind::TimedOut.into()),
            StreamUpgradeError::Io(error) => self.lose_outbound(&error),
            StreamUpgradeError::Apply(never) => match never {},
        }
    }

    /// Gives up the outbound stream, to be reopened if that is still allowed.
    fn lose_outbound(&mut self, error: &io::Error) {
        tracing::debug!(%error, left = self.retries, "the stream of gossip broke");
        self.queue.close(self.connection);
        if self.retries > 0 {
            self.retries -= 1;
            self.outbound = Outbound::Wanted;
        } else {
            self.outbound = Outbound::Ended;
            self.reports.push_back(Report::Broken);
        }
    }

    fn on_inbound(&mut self, stream: Stream) {
        if self.inbound_left == 0 {
            tracing::debug!("a stream of the peer is refused");
            return;
        }
        self.inbound_left -= 1;
        let account = self.queue.account();
        self.inbound = Some(Reader::new(stream, rpc::MAX_LEN, account));
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>) {
        if let Outbound::Negotiated(_) = &self.outbound
            && let Outbound::Negotiated(writer) =
                std::mem::replace(&mut self.outbound, Outbound::Ended)
        {
            self.queue.open(self.connection, cx);
            self.outbound = Outbound::Open(writer, self.came.again());
        }
        let Outbound::Open(writer, told) = &mut self.outbound else {
            return;
        };
        let (queue, announcements) = (&self.queue, &self.announcements);
        let connection = self.connection;
        let before = writer.written();
        let polled = writer.poll(cx, |cx| {
            // One connection at a time says all, so that the order stays.
            let changes = if queue.is_writer(connection) {
                announcements.next(told, rpc::MAX_SUBSCRIPTIONS)
            } else {
                Vec::new()
            };
            if !changes.is_empty() {
                return Some(Outgoing::Subscriptions(changes));
            }
            let (topic, frame) = queue.take(connection, cx)?;
            Some(Outgoing::Frame(topic, frame))
        });
        queue.note(connection, writer.written() != before, writer.is_full());
        if let Err(error) = polled {
            self.lose_outbound(&error);
        }
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        for _ in 0..RPCS_AT_ONCE {
            if let Some(report) = self.next_report() {
                return Poll::Ready(report);
            }
            // Without a stream there is nothing to be woken by: the next one arrives as an event.
            let Some(reader) = &mut self.inbound else {
                return Poll::Pending;
            };
            match reader.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(rpc)) if rpc.is_empty() => return Poll::Ready(Report::Unreadable),
                Poll::Ready(Ok(rpc)) => {
                    self.is_mute |= rpc.len() > self.mute_from;
                    self.rpc = (!self.is_mute).then(|| Rpc::new(rpc).peekable());
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "the peer's stream of gossip ended");
                    self.inbound = None;
                    if let ReadError::TooLong { .. } = error {
                        // Whoever breaks the protocol is not heard again.
                        self.inbound_left = 0;
                        return Poll::Ready(Report::Unreadable);
                    }
                }
            }
        }
        // Others have a turn before more of it is read of which nothing is to be told.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The next part of an RPC. A frame is verified when it is its turn, so that who brings many in
    /// one RPC holds up nobody else.
    fn next_report(&mut self) -> Option<Report> {
        let rpc = self.rpc.as_mut()?;
        let mut changes = Vec::new();
        while let Some(Said::Listens(topic, joins)) =
            rpc.next_if(|said| matches!(said, Said::Listens(..)))
        {
            changes.push((topic, joins));
        }
        if !changes.is_empty() {
            return Some(Report::Listens(changes));
        }
        match rpc.next() {
            Some(Said::Published(topic, data)) => Some(self.judge.judge(topic, data)),
            Some(Said::Listens(..) | Said::Unreadable) => Some(Report::Unreadable),
            None => {
                self.rpc = None;
                None
            }
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.queue.close(self.connection);
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Report;
    type InboundProtocol = Protocol;
    type OutboundProtocol = Protocol;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Protocol> {
        SubstreamProtocol::new(Protocol, ())
    }

    /// As in a session.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Protocol, (), Report>> {
        if let Some(report) = self.reports.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        // Writing comes first: a peer that never stops talking does not keep us from answering.
        self.poll_outbound(cx);
        if matches!(self.outbound, Outbound::Wanted) {
            self.outbound = Outbound::Opening;
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Protocol, ()),
            });
        }
        self.poll_inbound(cx)
            .map(ConnectionHandlerEvent::NotifyBehaviour)
    }

    /// Another connection writes the rest: closing may take its time.
    fn poll_close(&mut self, _: &mut Context<'_>) -> Poll<Option<Report>> {
        self.outbound = Outbound::Ended;
        self.queue.close(self.connection);
        Poll::Ready(None)
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Protocol, Protocol>) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol, ..
            }) => self.outbound = Outbound::Negotiated(Writer::new(protocol)),
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => self.on_inbound(protocol),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                self.on_outbound_failed(error);
            }
            _ => {}
        }
    }
}

/// gossipsub. Its versions differ in what nobody says here: which peers are given what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Protocol;

impl UpgradeInfo for Protocol {
    type Info = StreamProtocol;
    type InfoIter = [StreamProtocol; 4];

    fn protocol_info(&self) -> Self::InfoIter {
        PROTOCOLS
    }
}

impl InboundUpgrade<Stream> for Protocol {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl OutboundUpgrade<Stream> for Protocol {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

/// The first is proposed. With a later version a peer may ask not to be sent what it has, and tell
/// more of itself, which is passed over here.
const PROTOCOLS: [StreamProtocol; 4] = [
    StreamProtocol::new("/meshsub/1.1.0"),
    StreamProtocol::new("/meshsub/1.2.0"),
    StreamProtocol::new("/meshsub/1.3.0"),
    StreamProtocol::new("/meshsub/1.0.0"),
];

/// How often a connection may open its stream anew in its life, as that of a session.
const REOPENINGS: u32 = 3;

/// The number of RPCs that are read in one turn if there is nothing to tell of them.
const RPCS_AT_ONCE: usize = 64;
