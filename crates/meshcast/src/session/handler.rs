//! One connection's end of a session: a stream to write, a stream to read.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use libp2p::{
    StreamProtocol,
    core::upgrade::ReadyUpgrade,
    swarm::{
        ConnectionHandler, ConnectionHandlerEvent, Stream, StreamUpgradeError, SubstreamProtocol,
        handler::{
            ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
        },
    },
};
use meshcast_proto::Account;

use super::{
    CloseReason, SessionConfig,
    queue::{Outbox, queue},
    read_gate::ReadGate,
    stream::{ReadError, Reader, Writer},
};

/// Named with a version: one that changes what a stream carries is another protocol.
pub(super) const PROTOCOL: StreamProtocol = StreamProtocol::new("/meshcast/sync/1");

/// How often a connection may open its stream anew. A stream breaks alone, with its connection
/// whole, only when one of the two ends drops it, so a break that comes back is no accident; the
/// connection goes, and the next dial starts clean.
pub(super) const REOPENINGS: u32 = 3;

/// Streams that one end opens on a connection, the first one included. Further streams of a peer
/// are dropped.
const STREAMS: u32 = 1 + REOPENINGS;

/// What a handler tells its behaviour.
#[derive(Debug)]
pub(crate) enum Report {
    /// The outbound stream is negotiated and reads from this queue.
    Opened(Outbox),
    /// A message, on the inbound stream of this number: 1 for the first of the connection.
    Message { stream: u32, bytes: Bytes },
    /// The queue refused a message and now has room.
    Writable,
    /// The outbound stream is gone, and the queue with it.
    Closed(CloseReason),
}

/// Opens the outbound stream at once and anew when it breaks; reads the inbound stream that the
/// peer opened last.
///
/// Back-pressure needs no code here. A message read is a report, and the swarm holds few reports of
/// a connection (8 by default) before it stops polling this handler. Nothing is read then, the
/// window of the stream is not renewed, and the peer's writes wait until its own queue is full.
#[derive(Debug)]
pub(crate) struct Handler {
    config: SessionConfig,
    /// Messages that wait for the peer are charged to it.
    account: Account,
    read_gate: Arc<ReadGate>,
    outbound: Outbound,
    /// Reopenings left.
    retries: u32,
    inbound: Inbound,
    /// How many streams the peer has opened.
    inbound_opened: u32,
    /// What happened outside of `poll`. The connection polls after every event, so this holds one
    /// or two.
    reports: VecDeque<Report>,
}

#[derive(Debug)]
enum Outbound {
    /// To be asked for in the next poll.
    Wanted,
    /// Asked for; an event brings the answer.
    Opening,
    Open(Box<Writer<Stream>>),
    /// Not to come back on this connection.
    Ended,
}

#[derive(Debug)]
enum Inbound {
    /// It is for the peer to open it.
    Awaited,
    Open(Box<Reader<Stream>>),
    /// The peer broke the protocol: its streams are dropped as they come.
    Refused,
}

impl Handler {
    pub(super) fn new(config: SessionConfig, account: Account, read_gate: Arc<ReadGate>) -> Self {
        Self {
            config,
            account,
            read_gate,
            outbound: Outbound::Wanted,
            retries: REOPENINGS,
            inbound: Inbound::Awaited,
            inbound_opened: 0,
            reports: VecDeque::new(),
        }
    }

    fn on_outbound(&mut self, stream: Stream) {
        // An answer to a request made before the peer broke the protocol comes too late.
        if matches!(self.outbound, Outbound::Opening) {
            let (outbox, intake) = queue(&self.config, self.account.clone());
            self.outbound = Outbound::Open(Box::new(Writer::new(stream, intake)));
            self.reports.push_back(Report::Opened(outbox));
        }
    }

    fn on_outbound_failed(&mut self, error: StreamUpgradeError<Infallible>) {
        if !matches!(self.outbound, Outbound::Opening) {
            return;
        }
        let error = match error {
            StreamUpgradeError::NegotiationFailed => {
                self.outbound = Outbound::Ended;
                self.reports
                    .push_back(Report::Closed(CloseReason::Unsupported));
                return;
            }
            StreamUpgradeError::Timeout => io::ErrorKind::TimedOut.into(),
            StreamUpgradeError::Io(error) => error,
            StreamUpgradeError::Apply(never) => match never {},
        };
        let reason = self.lose_outbound(&error);
        self.reports.push_back(Report::Closed(reason));
    }

    fn on_inbound(&mut self, stream: Stream) {
        if matches!(self.inbound, Inbound::Refused) || self.inbound_opened == STREAMS {
            tracing::debug!(
                opened = self.inbound_opened,
                "a stream of the peer is refused"
            );
            return;
        }
        self.inbound_opened += 1;
        // The peer opens another one only after it has given up the last, with whatever that still
        // holds.
        let reader = Reader::new(stream, self.inbound_opened, self.config.max_message());
        self.inbound = Inbound::Open(Box::new(reader));
    }

    /// Gives up the outbound stream, to be reopened if that is still allowed.
    fn lose_outbound(&mut self, error: &io::Error) -> CloseReason {
        if self.retries == 0 {
            tracing::debug!(%error, "the stream broke for the last time");
            self.outbound = Outbound::Ended;
            return CloseReason::Broken;
        }
        tracing::debug!(%error, left = self.retries, "the stream broke and is opened anew");
        self.retries -= 1;
        self.outbound = Outbound::Wanted;
        CloseReason::Reset
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        // In the other states it is an event that goes on, and the connection polls after each.
        let Outbound::Open(writer) = &mut self.outbound else {
            return Poll::Pending;
        };
        match ready!(writer.poll(cx)) {
            Ok(()) => Poll::Ready(Report::Writable),
            // A report makes the connection poll again, which asks for the next stream.
            Err(error) => Poll::Ready(Report::Closed(self.lose_outbound(&error))),
        }
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        // Without a stream there is nothing to be woken by: the next one arrives as an event.
        let Inbound::Open(reader) = &mut self.inbound else {
            return Poll::Pending;
        };
        if !self.read_gate.is_open(cx) {
            return Poll::Pending;
        }
        match ready!(reader.poll(cx)) {
            Ok(bytes) => {
                self.read_gate.pass();
                Poll::Ready(Report::Message {
                    stream: reader.number(),
                    bytes,
                })
            }
            Err(ReadError::Oversized(oversized)) => {
                // Whoever breaks the protocol is not asked again.
                self.inbound = Inbound::Refused;
                self.outbound = Outbound::Ended;
                Poll::Ready(Report::Closed(CloseReason::Oversized(oversized)))
            }
            Err(ReadError::Io(error)) => {
                let cut = reader.is_inside_message();
                tracing::debug!(%error, cut, "the peer's stream ended");
                self.inbound = Inbound::Awaited;
                Poll::Pending
            }
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Report;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ())
    }

    /// Members stay connected whether they have something to say or not; who is to go is for the
    /// driver to decide, not for a timer over silence. An open stream keeps the connection by
    /// itself, and this answer also keeps it while a broken one is opened anew.
    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if let Some(report) = self.reports.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        if matches!(self.outbound, Outbound::Wanted) {
            self.outbound = Outbound::Opening;
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(ReadyUpgrade::new(PROTOCOL), ()),
            });
        }
        // Writing comes first: a peer that never stops talking does not keep us from answering.
        if let Poll::Ready(report) = self.poll_outbound(cx) {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report));
        }
        self.poll_inbound(cx)
            .map(ConnectionHandlerEvent::NotifyBehaviour)
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol, ..
            }) => {
                self.on_outbound(protocol);
            }
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => {
                self.on_inbound(protocol);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                self.on_outbound_failed(error)
            }
            _ => {}
        }
    }
}
