//! Encryption of connections: TLS if the dialling side computes AES, else noise.
//!
//! The dialling side proposes one of them and does not wait for the answer. Both are accepted
//! always. One that does not speak TLS hangs up or says so; then it is dialled again, with noise.

mod again;

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{
    PeerId,
    core::{
        Endpoint,
        upgrade::{
            InboundConnectionUpgrade as _, OutboundConnectionUpgrade as _, UpgradeInfo as _,
        },
    },
    noise,
};
use meshcast_proto::{Identity, MeshId};
use multistream_select::{Negotiated, Version, dialer_select_proto, listener_select_proto};

pub(super) use self::again::{Line, Repeating};
use super::{
    SetupError,
    batching::Batching,
    keypair,
    refusal::refusal_reason,
    tls::{self, Tls, TlsError, TlsStream},
};
use crate::{gate::GateError, ids::peer_id};

/// What a process secures connections with. Clones are the same.
#[derive(Clone)]
pub(crate) struct Secure {
    noise: noise::Config,
    tls: Option<Tls>,
    proposes: Handshake,
}

/// A way to secure a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handshake {
    Tls,
    Noise,
}

impl Default for Handshake {
    /// What costs less on this processor.
    fn default() -> Self {
        match tls::has_aes() {
            true => Self::Tls,
            false => Self::Noise,
        }
    }
}

impl Secure {
    /// Accepts both, and proposes this one.
    pub(crate) fn new(
        identity: &Identity,
        mesh: MeshId,
        proposes: Handshake,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            tls: Some(Tls::new(identity, mesh)?),
            proposes,
            ..Self::with_noise_alone(identity, mesh)?
        })
    }

    /// As nodes did before they spoke TLS.
    pub(crate) fn with_noise_alone(identity: &Identity, mesh: MeshId) -> Result<Self, SetupError> {
        let prologue = mesh.derive("meshcast v1 noise prologue");
        let noise = noise::Config::new(&keypair(identity)?)?.with_prologue(prologue.to_vec());
        Ok(Self {
            noise,
            tls: None,
            proposes: Handshake::Noise,
        })
    }

    /// Whether a dial may have to be repeated.
    pub(super) fn may_repeat(&self) -> bool {
        self.proposes == Handshake::Tls
    }

    /// Secures a connection, or, if the other side does not speak the one handshake, another with
    /// the other.
    pub(super) async fn secure<T>(
        self,
        io: T,
        again: Option<impl Future<Output = Result<T, impl Error + Send + Sync + 'static>>>,
        role: Endpoint,
    ) -> Result<(PeerId, Secured<T>), NotSecured>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if role.is_listener() {
            return self.accepted(io).await;
        }
        let Some(tls) = self.tls.as_ref().filter(|_| self.may_repeat()) else {
            return self.dialled_with_noise(io).await;
        };
        let proposed = dialer_select_proto(io, [tls::NAME], Version::V1Lazy).await;
        let (_, io) = proposed.map_err(NotSecured::new)?;
        match (tls.dialled(io).await, again) {
            (Ok((sender, stream)), _) => Ok((peer_id(sender), Secured::Tls(stream))),
            (Err(error), Some(again)) if is_unheard_of(&error) => {
                let io = again.await.map_err(NotSecured::new)?;
                self.dialled_with_noise(io).await
            }
            (Err(error), _) => Err(NotSecured::new(error)),
        }
    }

    async fn accepted<T>(self, io: T) -> Result<(PeerId, Secured<T>), NotSecured>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let noise = noise_name(&self.noise);
        let known = [Some(noise), self.tls.as_ref().map(|_| tls::NAME)];
        let chosen = listener_select_proto(io, known.into_iter().flatten()).await;
        let (chosen, io) = chosen.map_err(NotSecured::new)?;
        match self.tls {
            Some(tls) if chosen == tls::NAME => {
                let (sender, stream) = tls.accepted(io).await.map_err(NotSecured::new)?;
                Ok((peer_id(sender), Secured::Tls(stream)))
            }
            _ => {
                let shaken = self.noise.upgrade_inbound(Batching::new(io), noise).await;
                let (peer, stream) = shaken.map_err(NotSecured::new)?;
                Ok((peer, Secured::Noise(stream)))
            }
        }
    }

    async fn dialled_with_noise<T>(self, io: T) -> Result<(PeerId, Secured<T>), NotSecured>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let noise = noise_name(&self.noise);
        // The proposal leaves with the first message.
        let proposed = dialer_select_proto(io, [noise], Version::V1Lazy).await;
        let (_, io) = proposed.map_err(NotSecured::new)?;
        let shaken = self.noise.upgrade_outbound(Batching::new(io), noise).await;
        let (peer, stream) = shaken.map_err(NotSecured::new)?;
        Ok((peer, Secured::Noise(stream)))
    }
}

fn noise_name(noise: &noise::Config) -> &'static str {
    noise.protocol_info().next().unwrap_or("/noise")
}

/// Whether the other side may be one that does not know TLS: it said nothing of it, and either
/// hung up or named what it does not speak.
fn is_unheard_of(error: &TlsError) -> bool {
    let reason = refusal_reason(error);
    matches!(error, TlsError::Io { heard: false, .. })
        && matches!(reason, Some(GateError::HungUp | GateError::NoNoise))
}

/// A connection that is secured.
pub(crate) enum Secured<T> {
    Noise(noise::Output<Batching<Negotiated<T>>>),
    Tls(TlsStream<Negotiated<T>>),
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Noise(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Noise(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Noise(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Noise(stream) => Pin::new(stream).poll_close(cx),
            Self::Tls(stream) => Pin::new(stream).poll_close(cx),
        }
    }
}

/// Carries an error through libp2p's `Either`, which shows the source of the error in it but not
/// the error.
#[derive(Debug)]
pub(crate) struct NotSecured(Box<dyn Error + Send + Sync>);

impl NotSecured {
    pub(super) fn new(error: impl Error + Send + Sync + 'static) -> Self {
        Self(Box::new(error))
    }
}

impl fmt::Display for NotSecured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not secured")
    }
}

impl Error for NotSecured {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[cfg(test)]
mod tests;
