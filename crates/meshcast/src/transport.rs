//! The transport: TCP, secured and multiplexed, with the gate at its end.
//!
//! The key of a connection is the boot key of the process, so PeerId and [`Sender`] are two
//! spellings of one key.

mod batching;
mod closing;
mod doorway;
mod tcp;
mod traffic;

use std::{error::Error, fmt, io, time::Duration};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId, Transport,
    core::{
        ConnectedPoint, Endpoint,
        muxing::StreamMuxerBox,
        transport::{
            Boxed,
            map_err::MapErr,
            timeout::{TransportTimeout, TransportTimeoutError},
            upgrade::Version,
        },
    },
    identity::{self, Keypair},
    noise, yamux,
};
use meshcast_proto::{Identity, MeshId, Payer, Sender};

use self::{
    batching::Batching,
    closing::Closing,
    doorway::Doorway,
    tcp::{Tcp, socket_addr},
};
pub(crate) use self::{
    tcp::{Turned, multiaddr},
    traffic::Traffic,
};
use crate::{
    gate::{Gate, GateError},
    netem::{HostLinks, Shaping},
};

/// What the Swarm takes: connections of admitted members.
pub(crate) type Secured = Boxed<(PeerId, StreamMuxerBox)>;

/// TCP with the gate.
pub(crate) fn tcp(gate: &Gate) -> Result<Secured, SetupError> {
    secured(impatient(bare_tcp(gate)), gate)
}

/// TCP over made-up links, with the gate.
pub(crate) fn shaped_tcp(gate: &Gate, here: HostLinks) -> Result<Secured, SetupError> {
    secured(impatient(Shaping::new(bare_tcp(gate), here)), gate)
}

fn bare_tcp(gate: &Gate) -> Tcp {
    Tcp::new(gate.door().clone(), gate.timeouts().greeting)
}

/// Nobody there is not somebody who takes too long for the admission, which is a timeout as well.
fn impatient<T>(base: T) -> Impatient<T>
where
    T: Transport<Error = io::Error>,
{
    let timed = TransportTimeout::with_outgoing_timeout(base, CONNECT_TIMEOUT);
    timed.map_err(|error| match error {
        TransportTimeoutError::Timeout => {
            let words = "no answer to the call for a connection";
            SocketError(io::Error::new(io::ErrorKind::TimedOut, words))
        }
        TransportTimeoutError::TimerError(error) | TransportTimeoutError::Other(error) => {
            SocketError(error)
        }
    })
}

/// A transport whose dials end after [`CONNECT_TIMEOUT`].
type Impatient<T> =
    MapErr<TransportTimeout<T>, fn(TransportTimeoutError<io::Error>) -> SocketError>;

/// How long a host may take to answer at all: ten times round the world. The system would ask again
/// ever more rarely; a new dial asks at once.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Secures and multiplexes any transport of bytes, and puts the gate at its end.
///
/// The noise handshake is bound to the mesh, so strangers fail in it, before there is a stream to
/// talk on.
pub(crate) fn secured<T>(base: T, gate: &Gate) -> Result<Secured, SetupError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let (gate, door) = (gate.clone(), gate.door().clone());
    let timeout = gate.timeouts().connection;
    let noise = handshake(gate.admission().identity(), gate.admission().mesh())?;
    let gated = base
        .map(|io, _| Batching::new(io))
        // Lazy: the dialer begins the handshake without waiting for the answer to its one proposal.
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        .and_then(move |(peer, muxer), point| async move {
            let (door, traffic) = (gate.door().clone(), gate.traffic().clone());
            if let ConnectedPoint::Listener {
                local_addr,
                send_back_addr,
            } = &point
                && let (Some(here), Some(there)) =
                    (socket_addr(local_addr), socket_addr(send_back_addr))
            {
                door.secured(&(here, there));
            }
            let passed = gate.pass(peer, muxer, role(&point)).await;
            let (peer, muxer) = passed.map_err(NotAdmitted)?;
            if let Some(member) = socket_addr(point.get_remote_address()) {
                door.remember(member.ip());
            }
            let muxer = Closing::new(traffic.watch(peer, muxer));
            Ok::<_, NotAdmitted>((peer, StreamMuxerBox::new(muxer)))
        })
        .boxed();
    // Boxed before as well, so that the timeout has an error type that `refusal_reason` can name.
    let timed = TransportTimeout::new(gated, timeout);
    Ok(Doorway::new(timed.boxed(), door).boxed())
}

/// The handshake of a process, bound to its mesh.
pub(crate) fn handshake(identity: &Identity, mesh: MeshId) -> Result<noise::Config, SetupError> {
    let prologue = mesh.derive("meshcast v1 noise prologue");
    Ok(noise::Config::new(&keypair(identity)?)?.with_prologue(prologue.to_vec()))
}

/// The key pair of a process in the form libp2p wants it.
pub(crate) fn keypair(identity: &Identity) -> Result<Keypair, SetupError> {
    Ok(Keypair::ed25519_from_bytes(identity.boot().secret_seed())?)
}

/// The PeerId of a sender.
pub(crate) fn peer_id(sender: Sender) -> PeerId {
    let bytes = [&[IDENTITY_HASH, INLINE_LEN], &KEY_PREFIX[..], sender.key()].concat();
    PeerId::from_bytes(&bytes).expect("36 bytes are an identity multihash, whatever the key")
}

/// The sender with this PeerId; `None` if its key is not an Ed25519 key (and then it is none of
/// ours).
pub(crate) fn sender(peer: &PeerId) -> Option<Sender> {
    let hash = peer.as_ref();
    let key = hash.digest().strip_prefix(&KEY_PREFIX)?.try_into().ok()?;
    (hash.code() == u64::from(IDENTITY_HASH)).then_some(Sender::new(key))
}

/// Who is charged for what a peer does.
pub(crate) fn payer(peer: &PeerId) -> Payer {
    // All have such a key; if one had not, this node would pay.
    sender(peer).map_or(Payer::Ourselves, Payer::from)
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

/// Multihash code: the "hash" is the thing itself.
const IDENTITY_HASH: u8 = 0;
/// What precedes an Ed25519 key in a PeerId: protobuf field 1 (type) is 1, field 2 (key) has 32
/// bytes.
const KEY_PREFIX: [u8; 4] = [8, 1, 18, 32];
const INLINE_LEN: u8 = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_ids_and_senders_are_the_same_keys() {
        let pair = Keypair::generate_ed25519();
        let key = pair.public().try_into_ed25519().expect("is one").to_bytes();
        let peer = pair.public().to_peer_id();
        assert_eq!(sender(&peer), Some(Sender::new(key)));
        assert_eq!(peer_id(Sender::new(key)), peer);
    }

    #[test]
    fn no_sender_is_found_where_no_key_is() {
        assert_eq!(sender(&PeerId::random()), None);
    }
}
