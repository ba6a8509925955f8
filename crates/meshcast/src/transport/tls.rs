//! TLS 1.3 between members, with the keys that they have and bound to the mesh.
//!
//! There are no certificates: each side shows its boot key as it is (RFC 7250), and signs the
//! handshake with it as processes of the mesh do ([`Binding`]). So who does not know the mesh fails
//! in the handshake, as with noise, and nothing has to be parsed of a stranger but what TLS itself
//! consists of.
//!
//! rustls makes the handshake. The records after it are made here, where the bytes are: it would
//! copy each twice more.

mod handshake;
mod record;
mod stream;
#[cfg(test)]
mod tests;

use std::{fmt, io, net::Ipv4Addr, sync::Arc};

use futures::{AsyncRead, AsyncWrite};
use meshcast_proto::{Binding, Identity, MeshId, Sender};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error as RustlsError,
    ServerConfig, SignatureAlgorithm, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption, UnbufferedClientConnection,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs as crypto},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage, UnbufferedServerConnection,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::{CertifiedKey, Signer, SigningKey},
    version::TLS13,
};

pub(super) use self::stream::TlsStream;
use self::{handshake::shake, record::RecordError};

/// What a process needs for the handshake. Clones are the same.
#[derive(Clone)]
pub(super) struct Tls {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Shows the key of this process to those of the same mesh.
    pub(super) fn new(identity: &Identity, mesh: MeshId) -> Result<Self, RustlsError> {
        Self::with_suites(identity, mesh, has_aes())
    }

    /// The same, as a processor with or without AES does it.
    fn with_suites(identity: &Identity, mesh: MeshId, aes: bool) -> Result<Self, RustlsError> {
        let bound = Arc::new(Bound {
            binding: Binding::new(mesh),
            identity: identity.clone(),
        });
        let shown = CertificateDer::from(public_key_info(identity.sender()));
        let key = Arc::new(CertifiedKey::new(vec![shown], bound.clone()));
        let provider = Arc::new(provider(aes));

        let mut client = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(bound.clone())
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                key.clone(),
            )));
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        client.enable_secret_extraction = true;

        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(bound)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.enable_secret_extraction = true;
        // The dialling side has AES, or would not have chosen TLS. If this side has not, it matters
        // more.
        server.ignore_client_order = true;
        Ok(Self {
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }

    /// The handshake of the side that dialled.
    pub(super) async fn dialled<T>(&self, io: T) -> Result<(Sender, TlsStream<T>), TlsError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        // It is neither sent nor compared with anything.
        let nobody = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let connection = UnbufferedClientConnection::new(self.client.clone(), nobody)
            .map_err(|error| TlsError::Tls { error })?;
        shake(connection, io).await
    }

    /// The handshake of the side that was dialled.
    pub(super) async fn accepted<T>(&self, io: T) -> Result<(Sender, TlsStream<T>), TlsError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let connection = UnbufferedServerConnection::new(self.server.clone())
            .map_err(|error| TlsError::Tls { error })?;
        shake(connection, io).await
    }
}

/// The name in protocol negotiation: that of all of libp2p.
pub(super) const NAME: &str = "/tls/1.0.0";

/// Whether this processor computes AES-GCM: then it takes a fraction of what ChaCha20-Poly1305
/// does, and else a multiple.
pub(super) fn has_aes() -> bool {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")))]
    return false;
}

fn provider(aes: bool) -> CryptoProvider {
    let mut suites = vec![
        crypto::cipher_suite::TLS13_AES_128_GCM_SHA256,
        crypto::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    if !aes {
        suites.reverse();
    }
    CryptoProvider {
        cipher_suites: suites,
        // As in noise.
        kx_groups: vec![crypto::kx_group::X25519],
        ..crypto::default_provider()
    }
}

/// Why a handshake did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The connection broke.
    #[error("the connection broke during the TLS handshake")]
    Io {
        /// How.
        #[source]
        error: io::Error,
        /// Whether the other side had agreed to TLS by then.
        heard: bool,
    },
    /// The message is not right.
    #[error("the TLS handshake failed")]
    Tls {
        /// In which way.
        #[source]
        error: RustlsError,
    },
    /// It is longer than that of a member.
    #[error("the TLS handshake is too long")]
    TooLong,
    /// The agreed parameters cannot be used.
    #[error("the TLS handshake agreed on keys that cannot be used")]
    Keys(#[from] RecordError),
}

impl TlsError {
    /// Whether the other side does not know the mesh.
    pub(crate) fn is_of_another_mesh(&self) -> bool {
        let Self::Tls { error } = self else {
            return false;
        };
        *error == RustlsError::InvalidCertificate(CertificateError::BadSignature)
    }
}

/// A process that signs handshakes, and checks those of others.
#[derive(Debug)]
struct Bound {
    binding: Binding,
    identity: Identity,
}

impl Bound {
    fn check(
        &self,
        said: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        let is_signed = signed.scheme == SignatureScheme::ED25519
            && self
                .binding
                .is_signed(holder(shown)?, said, signed.signature());
        match is_signed {
            true => Ok(HandshakeSignatureValid::assertion()),
            false => Err(CertificateError::BadSignature.into()),
        }
    }
}

impl SigningKey for Bound {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let signer = || {
            Box::new(Self {
                binding: self.binding.clone(),
                identity: self.identity.clone(),
            })
        };
        offered
            .contains(&SignatureScheme::ED25519)
            .then(|| signer() as _)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Bound {
    fn sign(&self, said: &[u8]) -> Result<Vec<u8>, RustlsError> {
        Ok(self.binding.sign(&self.identity, said).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

impl ServerCertVerifier for Bound {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        only_key(shown, others).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        said: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.check(said, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Bound {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, RustlsError> {
        only_key(shown, others).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        said: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.check(said, shown, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}

fn only_key(
    shown: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
) -> Result<Sender, RustlsError> {
    match others {
        [] => holder(shown),
        _ => Err(CertificateError::BadEncoding.into()),
    }
}

/// Whose key is shown.
fn holder(shown: &CertificateDer<'_>) -> Result<Sender, RustlsError> {
    let key = shown.strip_prefix(&KEY_INFO[..]);
    let key = key.and_then(|key| key.try_into().ok());
    key.map(Sender::new)
        .ok_or_else(|| CertificateError::BadEncoding.into())
}

/// A key as TLS wants it shown.
fn public_key_info(sender: Sender) -> Vec<u8> {
    [&KEY_INFO[..], sender.key()].concat()
}

/// The bytes before an Ed25519 key in a `SubjectPublicKeyInfo`: which kind of key it is, and that
/// it is a string of 256 bits (RFC 8410).
const KEY_INFO: [u8; 12] = [0x30, 42, 0x30, 5, 0x06, 3, 0x2b, 0x65, 0x70, 0x03, 33, 0];
