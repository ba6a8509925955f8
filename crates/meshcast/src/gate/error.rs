//! Why a connection did not come to be, by name.

use std::io;

use meshcast_proto::{AdmissionError, Reason};

use crate::reason::RefusalKind;

/// Why a connection was not admitted. It is dropped in any case, and both sides have a name for
/// why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum GateError {
    /// The other side does not let us in, and says why.
    #[error("refused by the other side: {0}")]
    Refused(Reason),
    /// We do not let the other side in; it was told why, if it would listen.
    #[error("rejected: {0}")]
    Reject(Reason),
    /// It took too long: the other side stalls.
    #[error("did not finish the handshake in time")]
    Timeout,
    /// The other side closed the connection at the gate without giving a reason.
    #[error("closed the connection at the gate without a reason")]
    Closed,
    /// The other side closed the connection while it was being secured. A dialer from another mesh
    /// does so, who cannot read our answer; so does one that lost patience, or that a port was
    /// mapped to.
    #[error("closed the connection during the handshake")]
    HungUp,
    /// The connection failed while it was being secured, for a reason that the system gives.
    #[error("the connection broke during the handshake: {0}")]
    Broke(io::ErrorKind),
    /// The other side's first bytes are not those of libp2p: a service of another kind.
    #[error("speaks something that is not libp2p")]
    Foreign,
    /// The other side speaks libp2p, and not the encryption that all of us do.
    #[error("speaks libp2p, but not its noise handshake")]
    NoNoise,
    /// The answer of the other side does not decrypt with what only members of this mesh know. A
    /// node of another mesh gives that answer, and whoever is no node of any.
    #[error("wrong MESHCAST_KEY, or that is not a meshcast node")]
    OtherMesh,
    /// The handshake is not what it should be, or proves no key.
    #[error("the handshake is malformed or proves no key")]
    Handshake,
    /// It had to make way for a newcomer before it had shown to be a member.
    #[error("made way for another before it had shown to be a member")]
    Displaced,
}

impl GateError {
    /// Whether the other side closed the connection and said nothing.
    pub(crate) const fn is_hung_up(self) -> bool {
        matches!(self, Self::Closed | Self::HungUp)
    }

    /// The kind of trouble, whichever side found it.
    pub(crate) const fn kind(&self) -> RefusalKind {
        match self {
            Self::OtherMesh => RefusalKind::OtherMesh,
            Self::Refused(reason) | Self::Reject(reason) => match reason {
                Reason::OtherMesh => RefusalKind::OtherMesh,
                Reason::Version { .. } => RefusalKind::Version,
                Reason::Expired | Reason::NotYetValid => RefusalKind::Clock,
                Reason::UnknownAuthority
                | Reason::BadSignature
                | Reason::KeyMismatch
                | Reason::Revoked => RefusalKind::Credential,
                Reason::Full => RefusalKind::Full,
                _ => RefusalKind::Malformed,
            },
            Self::Timeout => RefusalKind::Timeout,
            Self::Closed | Self::HungUp => RefusalKind::HungUp,
            Self::Broke(_) => RefusalKind::Broke,
            Self::Foreign | Self::NoNoise => RefusalKind::Foreign,
            Self::Handshake => RefusalKind::Malformed,
            Self::Displaced => RefusalKind::Displaced,
        }
    }
}

impl From<AdmissionError> for GateError {
    fn from(error: AdmissionError) -> Self {
        match error {
            AdmissionError::Refused(reason) => Self::Refused(reason),
            AdmissionError::Reject(reason) => Self::Reject(reason),
            _ => Self::Closed,
        }
    }
}
