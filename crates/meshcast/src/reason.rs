//! Reasons of errors, in words.
//!
//! Errors of libp2p are wrapped several times, and many of them show nothing of what they wrap, or
//! nothing at all.

use std::{error::Error, fmt, io, iter};

use libp2p::swarm::DialError;
use serde::{Serialize, Serializer};

/// Why a connection is not admitted, whichever of the two sides found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The two are of different meshes: they have another `MESHCAST_KEY`, or the other side is no
    /// node. A listener sees those who have another key as [`Self::HungUp`]: they cannot read its
    /// answer.
    OtherMesh,
    /// They speak different versions of the protocol.
    Version,
    /// A credential has ended or not begun, by the clock of the other side.
    Clock,
    /// A credential is not believed: of another authority, revoked, or of somebody else.
    Credential,
    /// There is no room for more members.
    Full,
    /// The message is not what it should be.
    Malformed,
    /// It took too long.
    Timeout,
    /// The other side closed the connection and said nothing.
    HungUp,
    /// The connection broke.
    Broke,
    /// The other side is no node of this kind.
    Foreign,
    /// It made way for a newcomer before it had shown to be a member.
    Displaced,
}

impl RefusalKind {
    /// Its name in JSON, in logs and in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherMesh => "other_mesh",
            Self::Version => "version",
            Self::Clock => "clock",
            Self::Credential => "credential",
            Self::Full => "full",
            Self::Malformed => "malformed",
            Self::Timeout => "timeout",
            Self::HungUp => "hung_up",
            Self::Broke => "broke",
            Self::Foreign => "foreign",
            Self::Displaced => "displaced",
        }
    }
}

impl fmt::Display for RefusalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RefusalKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// An error and what it came from, outermost first.
pub(crate) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(error), |error| inner(*error))
}

/// `io::Error` leaves out the error it wraps when asked for its source.
fn inner<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
        Some(Some(wrapped)) => Some(wrapped),
        _ => error.source(),
    }
}

/// The whole of an error: each cause once, and of a dial each address.
pub(crate) fn in_words(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for cause in causes(error) {
        let text = match cause.downcast_ref::<DialError>() {
            Some(DialError::Transport(errors)) => {
                let each = errors
                    .iter()
                    .map(|(address, error)| format!("{address}: {}", in_words(error)));
                each.collect::<Vec<_>>().join("; ")
            }
            _ => cause.to_string(),
        };
        let text = text.trim().trim_end_matches('.');
        // Many repeat what they wrap.
        if !text.is_empty() && !said.iter().any(|before| before.contains(text)) {
            said.push(text.to_owned());
        }
    }
    if said.is_empty() {
        return format!("{error:?}");
    }
    said.join(": ")
}

#[cfg(test)]
mod tests {
    use libp2p::{Multiaddr, TransportError};

    use super::*;

    #[test]
    fn errors_that_show_nothing_of_what_they_wrap_are_told_whole() {
        let inner = || io::Error::new(io::ErrorKind::AddrInUse, "address in use");
        let listen = TransportError::Other(io::Error::other(TransportError::Other(inner())));
        assert_eq!(listen.to_string(), "", "libp2p says more than it did");
        assert_eq!(in_words(&listen), "address in use");
        let at: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().expect("an address");
        let dial = DialError::Transport(vec![(at, TransportError::Other(inner()))]);
        assert_eq!(in_words(&dial), "/ip4/10.0.0.1/tcp/1: address in use");
    }

    #[test]
    fn a_repeated_cause_is_said_once_and_an_empty_one_is_never_all() {
        let repeated = io::Error::other(io::Error::other("broken pipe"));
        assert_eq!(in_words(&repeated), "broken pipe");
        assert_ne!(in_words(&io::Error::other("")), "");
    }
}
