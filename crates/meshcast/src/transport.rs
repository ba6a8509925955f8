//! The transport: TCP, secured and multiplexed, with the gate at its end.
//!
//! May use: `gate`, at its end, and `netem`, at its beginning.
//! Must not: know what passes on the streams, or who dials and when.

mod batching;
mod closing;
mod doorway;
#[cfg(feature = "testing")]
mod memory;
mod mux;
mod refusal;
mod secure;
mod tcp;
mod timeout;
mod tls;

use std::{error::Error, fmt, io, time::Duration};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId, Transport,
    core::{
        ConnectedPoint, Endpoint,
        muxing::StreamMuxerBox,
        transport::{Boxed, map_err::MapErr},
    },
    identity::{self, Keypair},
    noise,
};
use meshcast_proto::Identity;
use multistream_select::{Negotiated, Version, dialer_select_proto, listener_select_proto};

#[cfg(feature = "testing")]
use self::memory::Memory;
#[cfg(feature = "testing")]
pub(crate) use self::memory::{MemoryHost, MemoryNetwork};
use self::{
    closing::Closing,
    doorway::Doorway,
    mux::{FreeRooms, Muxer},
    secure::{Line, NotSecured, Repeating},
    tcp::{Tcp, socket_addr},
    timeout::WithTimeout,
};
pub(crate) use self::{
    refusal::refusal_reason,
    secure::{Handshake, Secure},
    tcp::{Turned, multiaddr},
};
use crate::{
    gate::{Caller, Gate, GateError},
    ids::payer,
    netem::{HostLinks, Shaping},
};

/// What the Swarm takes: connections of admitted members.
pub(crate) type Secured = Boxed<(PeerId, StreamMuxerBox)>;

/// TCP with the gate.
pub(crate) fn tcp(gate: &Gate, proposes: Handshake) -> Result<Secured, SetupError> {
    let secure = secure(gate, proposes)?;
    Ok(secured(with_timeouts(bare_tcp(gate)), gate, secure))
}

/// TCP over made-up links, with the gate.
pub(crate) fn shaped_tcp(
    gate: &Gate,
    here: HostLinks,
    proposes: Handshake,
) -> Result<Secured, SetupError> {
    let secure = secure(gate, proposes)?;
    let shaped = Shaping::new(bare_tcp(gate), here);
    Ok(secured(with_timeouts(shaped), gate, secure))
}

/// Connections within this process over made-up links, with the gate. Its dials cannot be repeated,
/// so they propose noise.
#[cfg(feature = "testing")]
pub(crate) fn memory(
    gate: &Gate,
    host: MemoryHost,
    here: HostLinks,
) -> Result<Secured, SetupError> {
    let secure = secure(gate, Handshake::Noise)?;
    let shaped = Shaping::new(Memory::new(host), here);
    Ok(secured(with_timeouts(shaped), gate, secure))
}

fn secure(gate: &Gate, proposes: Handshake) -> Result<Secure, SetupError> {
    let admission = gate.admission();
    Secure::new(admission.identity(), admission.mesh(), proposes)
}

fn bare_tcp(gate: &Gate) -> Tcp {
    Tcp::new(gate.door().clone(), gate.timeouts().greeting)
}

/// Nobody there is not somebody who takes too long for the admission, which is a timeout as well.
fn with_timeouts<T>(base: T) -> DialsInTime<T>
where
    T: Transport<Error = io::Error> + Unpin,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let timed = WithTimeout::with_dials(base, CONNECT_TIMEOUT, || {
        let words = "no answer to the call for a connection";
        io::Error::new(io::ErrorKind::TimedOut, words)
    });
    timed.map_err(SocketError)
}

/// A transport whose dials end after [`CONNECT_TIMEOUT`].
type DialsInTime<T> = MapErr<WithTimeout<T>, fn(io::Error) -> SocketError>;

/// How long a host may take to answer at all: ten times round the world. The system would ask again
/// ever more rarely; a new dial asks at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Secures and multiplexes any transport of bytes, and puts the gate at its end.
///
/// The handshake is bound to the mesh, so strangers fail in it, before there is a stream to talk
/// on.
pub(crate) fn secured<T>(base: T, gate: &Gate, secure: Secure) -> Secured
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let (gate, door, rooms) = (gate.clone(), gate.door().clone(), FreeRooms::default());
    let timeout = gate.timeouts().connection;
    let gated = ungated(base, secure)
        .and_then(move |(peer, muxer), point| async move {
            let (door, traffic) = (gate.door().clone(), gate.traffic().clone());
            let admitted = gate.admitted().clone();
            if let ConnectedPoint::Listener {
                local_addr,
                send_back_addr,
            } = &point
                && let (Some(here), Some(there)) =
                    (socket_addr(local_addr), socket_addr(send_back_addr))
            {
                door.secured(&(here, there));
            }
            let remote = socket_addr(point.get_remote_address());
            let caller = Caller {
                ip: remote.map(|remote| remote.ip()),
                is_seed: match &point {
                    ConnectedPoint::Dialer { address, .. } => gate.admitted().is_seed(address),
                    ConnectedPoint::Listener { .. } => false,
                },
            };
            let (unread, budget) = (muxer.unread().clone(), gate.budget().clone());
            let passed = gate.pass(peer, muxer, role(&point), caller).await;
            let (muxer, ticket) = passed.map_err(NotAdmitted)?;
            unread.admit(budget.account(payer(&peer)), rooms.of(peer));
            if let Some(member) = remote {
                door.remember(member.ip());
            }
            let member = admitted.get(&peer);
            let region = member.as_ref().map(|member| &member.credential().region);
            let muxer = Closing::new(traffic.watch(peer, region, muxer), ticket);
            Ok::<_, NotAdmitted>((peer, StreamMuxerBox::new(muxer)))
        })
        .boxed();
    let timed = WithTimeout::new(gated, timeout, || io::Error::other(GateError::Timeout));
    Doorway::new(timed.boxed(), door).boxed()
}

/// Secures and multiplexes any transport of bytes.
pub(crate) fn ungated<T>(
    base: T,
    secure: Secure,
) -> impl Transport<
    Output = (
        PeerId,
        Muxer<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    ),
    Error: Send + Sync,
    Dial: Send,
    ListenerUpgrade: Send,
> + Send
+ Unpin
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let repeating = Repeating::new(base, secure.may_repeat());
    repeating.and_then(move |Line { io, again }, point| async move {
        let (peer, io) = secure.secure(io, again, role(&point)).await?;
        let muxer = multiplex(io, role(&point)).await?;
        Ok::<_, NotSecured>((peer, muxer))
    })
}

/// Many streams over one that is secured. The dialling side does not wait for the answer to its one
/// proposal.
async fn multiplex<T>(io: T, role: Endpoint) -> Result<Muxer<Negotiated<T>>, NotSecured>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let negotiated = match role {
        Endpoint::Dialer => dialer_select_proto(io, [mux::NAME], Version::V1Lazy).await,
        Endpoint::Listener => listener_select_proto(io, [mux::NAME]).await,
    };
    let (_, io) = negotiated.map_err(NotSecured::new)?;
    Ok(Muxer::new(io, role))
}

/// The key pair of a process in the form libp2p wants it.
pub(crate) fn keypair(identity: &Identity) -> Result<Keypair, SetupError> {
    Ok(Keypair::ed25519_from_bytes(identity.boot().secret_seed())?)
}

/// Why there is no transport. Not expected: every seed is a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SetupError {
    /// The boot key is no key for libp2p.
    #[error("unusable boot key: {0}")]
    Key(#[from] identity::DecodingError),
    /// The boot key cannot sign the key of the handshake.
    #[error("cannot set up the handshake: {0}")]
    Noise(#[from] noise::Error),
    /// TLS does not take what it is given.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// What the system says of a socket, as the source of an error, for the same reason as
/// [`NotAdmitted`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SocketError(#[source] io::Error);

/// Carries a [`GateError`] through libp2p's `Either`, which shows the source of the error in it but
/// not the error.
#[derive(Debug)]
struct NotAdmitted(GateError);

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not admitted")
    }
}

impl Error for NotAdmitted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// Who speaks first. Two sides that dial each other at the same moment (hole punching) agree on it
/// beforehand.
fn role(point: &ConnectedPoint) -> Endpoint {
    match point {
        ConnectedPoint::Dialer { role_override, .. } => *role_override,
        ConnectedPoint::Listener { .. } => Endpoint::Listener,
    }
}
