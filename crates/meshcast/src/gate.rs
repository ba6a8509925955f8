//! The gate: nobody is a peer before he has shown that he is a member.
//!
//! It stands between the transport and the Swarm
//! ([`Transport::and_then`](libp2p::Transport::and_then)). On the first stream of every connection,
//! dialer and listener exchange the messages of [`Admission`]; the Swarm hears of the connection
//! only if both sides are content. So no behaviour has to know about strangers, and a stranger gets
//! no byte of any other protocol.
//!
//! The cost of strangers is bounded: the [`Door`] limits how many may be on the way; a connection
//! at the gate holds one stream, one message of at most 2 KiB and what was sent beyond it, 128 KiB
//! at most, behind which it is not read; a second stream ends it, and the clock runs
//! ([`Timeouts`]).
//!
//! May use: `clock`, `ids` and `traffic`.
//! Must not: know how a connection is secured, or what members talk about behind it.

mod admitted;
mod door;
mod error;
mod talk;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use libp2p::{
    PeerId,
    core::{Endpoint, muxing::StreamMuxer},
};
use meshcast_proto::{Admission, Budget, Identity, Member, Reason, Sender, Trust, WallTime};

use self::talk::Talk;
pub(crate) use self::{
    admitted::{Admitted, Caller, Ticket},
    door::{Door, Place},
    error::GateError,
};
use crate::{ids::sender, traffic::Traffic};

/// Admits members. Cheap to clone: clones are the same gate.
#[derive(Clone)]
pub(crate) struct Gate(Arc<Inner>);

struct Inner {
    admission: Admission,
    clock: Clock,
    timeouts: Timeouts,
    admitted: Admitted,
    door: Door,
    traffic: Traffic,
    budget: Budget,
}

/// Tells the time that the validity of credentials is compared with.
pub(crate) type Clock = Arc<dyn Fn() -> WallTime + Send + Sync>;

/// How long strangers may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    /// Until the first bytes are there: they come with what opens the connection, so this is for a
    /// lost packet or two.
    pub(crate) greeting: Duration,
    /// For the messages at the gate: two round trips and four signatures in a healthy network. Long
    /// enough for round trips of a second and a lost packet; short enough that a stalled peer does
    /// not hold its place among the pending connections for long.
    pub(crate) gate: Duration,
    /// For everything from there to the end of the admission; for who dials, from the TCP handshake
    /// on.
    pub(crate) connection: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(5),
            gate: Duration::from_secs(5),
            connection: Duration::from_secs(10),
        }
    }
}

impl Gate {
    /// A gate that shows this identity and lets in whom this trust lets in, up to `room` members at
    /// the same time, which are charged for what their connections hold.
    pub(crate) fn new(
        identity: Identity,
        trust: Trust,
        clock: Clock,
        room: usize,
        budget: Budget,
    ) -> Self {
        let admission = Admission::new(identity, trust);
        Self::with(admission, clock, Timeouts::default(), room, budget)
    }

    /// A gate with other terms than usual.
    pub(crate) fn with(
        admission: Admission,
        clock: Clock,
        timeouts: Timeouts,
        room: usize,
        budget: Budget,
    ) -> Self {
        Self(Arc::new(Inner {
            admission,
            clock,
            timeouts,
            admitted: Admitted::new(room),
            door: Door::default(),
            traffic: Traffic::default(),
            budget,
        }))
    }

    /// The members inside: those the Swarm reports as connected, and for moments also those on the
    /// way there.
    pub(crate) fn admitted(&self) -> &Admitted {
        &self.0.admitted
    }

    /// Who is on the way here.
    pub(crate) fn door(&self) -> &Door {
        &self.0.door
    }

    /// What passes between this node and those inside.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    /// The budget for what connections hold.
    pub(crate) fn budget(&self) -> &Budget {
        &self.0.budget
    }

    /// The credentials that this side shows and asks for.
    pub(crate) fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// How long strangers may take.
    pub(crate) fn timeouts(&self) -> Timeouts {
        self.0.timeouts
    }

    /// Takes a new connection through the gate, as dialer or listener.
    ///
    /// `peer` must be who the transport has proven the other side to be; `caller` says
    /// from where it comes.
    pub(crate) async fn pass<M>(
        self,
        peer: PeerId,
        muxer: M,
        role: Endpoint,
        caller: Caller,
    ) -> Result<(M, Ticket), GateError>
    where
        M: StreamMuxer + Unpin,
        M::Substream: Unpin,
    {
        let mut talk = Talk::new(muxer, role);
        let error = match self.admit(peer, &mut talk, caller).await {
            Ok(ticket) => return Ok((talk.into_muxer(), ticket)),
            Err(error) => error,
        };
        if let GateError::Reject(reason) = error {
            let refusal = self.admission().refusal(reason);
            // The rejection stands whether or not the other side gets to know the reason.
            let _ = tokio::time::timeout(LINGER, talk.refuse(&refusal)).await;
        }
        Err(error)
    }

    async fn admit<M>(
        &self,
        peer: PeerId,
        talk: &mut Talk<M>,
        caller: Caller,
    ) -> Result<Ticket, GateError>
    where
        M: StreamMuxer + Unpin,
        M::Substream: Unpin,
    {
        // All of our keys are Ed25519, so another kind is in nobody's credential.
        let proven = sender(&peer).ok_or(GateError::Reject(Reason::KeyMismatch))?;
        self.admission()
            .check_key(proven)
            .map_err(GateError::Reject)?;
        let timeout = self.timeouts().gate;
        let conversation = self.converse(peer, proven, talk, caller);
        match tokio::time::timeout(timeout, conversation).await {
            Ok(result) => result,
            Err(_elapsed) => Err(GateError::Timeout),
        }
    }

    async fn converse<M>(
        &self,
        peer: PeerId,
        proven: Sender,
        talk: &mut Talk<M>,
        caller: Caller,
    ) -> Result<Ticket, GateError>
    where
        M: StreamMuxer + Unpin,
        M::Substream: Unpin,
    {
        let mut buffer = [0; Admission::MAX_LEN];
        let hello = self.admission().hello(proven);
        talk.begin().await?;
        if talk.role().is_dialer() {
            talk.send(&hello).await?;
        }
        let member = self.check(proven, talk.receive(&mut buffer).await?)?;
        // Its place is taken before it is told that it is in.
        let ticket = self
            .admitted()
            .admit(peer, member, caller)
            .map_err(GateError::Reject)?;
        // From here on the other side is a member. As soon as it has our answer it may be through,
        // and open streams for its Swarm.
        talk.allow_streams();
        match talk.role() {
            Endpoint::Dialer => talk.send(&self.admission().accept()).await?,
            Endpoint::Listener => {
                talk.send(&hello).await?;
                self.admission()
                    .check_verdict(talk.receive(&mut buffer).await?)?;
            }
        }
        talk.close().await?;
        Ok(ticket)
    }

    fn check(&self, proven: Sender, hello: &[u8]) -> Result<Member, GateError> {
        let now = (self.0.clock)();
        Ok(self.admission().check_hello(hello, proven, now)?)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("sender", &self.admission().identity().sender())
            .field("timeouts", &self.timeouts())
            .field("admitted", self.admitted())
            .finish_non_exhaustive()
    }
}

/// How long a refusal may take to be read. A closed socket would discard it on its way; the other
/// side hangs up as soon as it has it, so only strangers use up the time.
const LINGER: Duration = Duration::from_secs(1);
