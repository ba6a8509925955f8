//! The name of why a connection did not come to be, out of what went wrong with it.

use std::{error::Error, io};

use libp2p::{
    core::upgrade::{NegotiationError, ProtocolError},
    noise,
    swarm::{DialError, ListenError},
};
use meshcast_proto::Reason;

use super::tls::TlsError;
use crate::{gate::GateError, reason::causes};

/// Finds the reason in an error of the Swarm (`DialError`, `ListenError`), of the transport, or in
/// anything they are wrapped in.
///
/// `None` if it has nothing to do with admission, as when nobody listens at an address. Of the
/// addresses of one dial, the first with a reason counts.
pub(crate) fn refusal_reason(error: &(dyn Error + 'static)) -> Option<GateError> {
    causes(error).find_map(reason_of)
}

fn reason_of(error: &(dyn Error + 'static)) -> Option<GateError> {
    if let Some(error) = error.downcast_ref::<GateError>() {
        return Some(*error);
    }
    if let Some(error) = error.downcast_ref::<noise::Error>() {
        return Some(of_noise(error));
    }
    if let Some(error) = error.downcast_ref::<TlsError>() {
        return Some(of_tls(error));
    }
    if let Some(error) = error.downcast_ref::<ProtocolError>() {
        return Some(of_negotiation(error));
    }
    match error.downcast_ref::<NegotiationError>() {
        Some(NegotiationError::ProtocolError(error)) => return Some(of_negotiation(error)),
        Some(NegotiationError::Failed) => return Some(GateError::NoNoise),
        None => {}
    }
    match error.downcast_ref::<DialError>() {
        Some(DialError::LocalPeerId { .. }) => return Some(GateError::Reject(Reason::OwnKey)),
        Some(DialError::Transport(errors)) => {
            return errors.iter().find_map(|(_, error)| refusal_reason(error));
        }
        _ => {}
    }
    match error.downcast_ref::<ListenError>() {
        Some(ListenError::LocalPeerId { .. }) => Some(GateError::Reject(Reason::OwnKey)),
        _ => None,
    }
}

fn of_noise(error: &noise::Error) -> GateError {
    match error {
        // The lazy negotiation of the protocol fails within the first read of the handshake, so
        // look inside first. With another prologue (another mesh) the first authenticated message
        // does not decrypt.
        noise::Error::Io(io) => refusal_reason(io).unwrap_or_else(|| match io.kind() {
            io::ErrorKind::InvalidData => GateError::OtherMesh,
            _ => of_io(io),
        }),
        noise::Error::Noise(_) => GateError::OtherMesh,
        _ => GateError::Handshake,
    }
}

fn of_tls(error: &TlsError) -> GateError {
    match error {
        TlsError::Io { error, .. } => refusal_reason(error).unwrap_or_else(|| of_io(error)),
        error if error.is_of_another_mesh() => GateError::OtherMesh,
        _ => GateError::Handshake,
    }
}

fn of_negotiation(error: &ProtocolError) -> GateError {
    match error {
        ProtocolError::IoError(io) => refusal_reason(io).unwrap_or_else(|| of_io(io)),
        _ => GateError::Handshake,
    }
}

fn of_io(error: &io::Error) -> GateError {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof, WriteZero};
    match error.kind() {
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof | WriteZero => {
            GateError::HungUp
        }
        other => GateError::Broke(other),
    }
}
