//! The view of those who do not know the mesh, and what they can say.

use std::{
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll},
};

use rustls::client::danger::HandshakeSignatureValid as Valid;

use super::*;

/// A program that speaks TLS and would take anything for a good answer, and writes down what it is
/// shown and what was signed.
#[derive(Debug, Default)]
struct Curious {
    raw_keys: bool,
    shown: Mutex<Vec<Vec<u8>>>,
    signed: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl Curious {
    fn new(raw_keys: bool) -> Arc<Self> {
        Arc::new(Self {
            raw_keys,
            ..Self::default()
        })
    }

    fn client(self: &Arc<Self>) -> UnbufferedClientConnection {
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("a version")
            .dangerous()
            .with_custom_certificate_verifier(self.clone());
        let mut config = match self.raw_keys {
            true => config.with_client_cert_resolver(Arc::new(
                AlwaysResolvesClientRawPublicKeys::new(key_of_elsewhere()),
            )),
            false => config.with_no_client_auth(),
        };
        config.enable_secret_extraction = true;
        let name = ServerName::try_from("example.org").expect("a name");
        UnbufferedClientConnection::new(Arc::new(config), name).expect("sets up")
    }

    fn server(self: &Arc<Self>) -> UnbufferedServerConnection {
        let key = AlwaysResolvesServerRawPublicKeys::new(key_of_elsewhere());
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider(true)))
            .with_protocol_versions(&[&TLS13])
            .expect("a version")
            .with_client_cert_verifier(self.clone())
            .with_cert_resolver(Arc::new(key));
        config.enable_secret_extraction = true;
        UnbufferedServerConnection::new(Arc::new(config)).expect("sets up")
    }

    fn note_key(&self, shown: &CertificateDer<'_>) {
        self.shown.lock().expect("alone").push(shown.to_vec());
    }

    fn note_signed(
        &self,
        said: &[u8],
        signed: &DigitallySignedStruct,
    ) -> Result<Valid, RustlsError> {
        let pair = (said.to_vec(), signed.signature().to_vec());
        self.signed.lock().expect("alone").push(pair);
        Ok(Valid::assertion())
    }

    fn shown(&self) -> Vec<Vec<u8>> {
        self.shown.lock().expect("alone").clone()
    }
}

/// A key of a process of another mesh.
fn key_of_elsewhere() -> Arc<CertifiedKey> {
    let (identity, mesh) = member(9, 9);
    let shown = CertificateDer::from(public_key_info(identity.sender()));
    let bound = Bound {
        binding: Binding::new(mesh),
        identity,
    };
    Arc::new(CertifiedKey::new(vec![shown], Arc::new(bound)))
}

impl ServerCertVerifier for Curious {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        self.note_key(shown);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<Valid, RustlsError> {
        unreachable!("no such version is offered")
    }

    fn verify_tls13_signature(
        &self,
        said: &[u8],
        _: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<Valid, RustlsError> {
        self.note_signed(said, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.raw_keys
    }
}

impl ClientCertVerifier for Curious {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, RustlsError> {
        self.note_key(shown);
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<Valid, RustlsError> {
        unreachable!("no such version is offered")
    }

    fn verify_tls13_signature(
        &self,
        said: &[u8],
        _: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<Valid, RustlsError> {
        self.note_signed(said, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        self.raw_keys
    }
}

#[tokio::test]
async fn who_dials_without_the_mesh_is_shown_the_key_of_this_start_and_nothing_else() {
    let curious = Curious::new(true);
    let (near, far) = duplex(1 << 20);
    let listener = tls(1, 1, true);
    let accepted = async {
        // Its end goes with the error.
        listener.accepted(Pipe(far)).await.map(drop)
    };
    let dialled = async {
        let met = shake(curious.client(), Pipe(near)).await;
        let (_, mut stream) = met.expect("it believes anything");
        stream.read_to_end(&mut Vec::new()).await
    };
    let (heard, there) = future::join(dialled, accepted).await;
    assert!(there.expect_err("fails").is_of_another_mesh());
    // No alert either.
    assert_eq!(heard.ok(), Some(0));

    let (identity, mesh) = member(1, 1);
    let sender = identity.sender();
    assert_eq!(curious.shown(), [public_key_info(sender)]);
    let signed = curious.signed.lock().expect("alone").clone();
    let [(said, signature)] = &signed[..] else {
        panic!("{signed:?}");
    };
    // It is right for those who know the mesh, and for nobody else.
    assert!(Binding::new(mesh).is_signed(sender, said, signature));
    assert!(!Binding::new(member(2, 1).1).is_signed(sender, said, signature));
    let algorithm = &aws_lc_rs::signature::ED25519;
    let plain = aws_lc_rs::signature::UnparsedPublicKey::new(algorithm, sender.key());
    assert!(plain.verify(said, signature).is_err());
}

#[tokio::test]
async fn a_client_that_wants_certificates_is_shown_nothing() {
    let curious = Curious::new(false);
    let (near, far) = duplex(1 << 20);
    let listener = tls(1, 1, true);
    let accepted = async { listener.accepted(Pipe(far)).await.map(drop) };
    let (here, there) = future::join(shake(curious.client(), Pipe(near)), accepted).await;
    assert!(here.is_err() && there.is_err());
    assert!(curious.shown().is_empty());
}

#[tokio::test]
async fn who_is_dialled_and_does_not_know_the_mesh_is_shown_no_key() {
    let curious = Curious::new(true);
    let (near, far) = duplex(1 << 20);
    let dialer = tls(1, 1, true);
    let dialled = async { dialer.dialled(Pipe(near)).await.map(drop) };
    let (here, there) = future::join(dialled, shake(curious.server(), Pipe(far))).await;
    assert!(here.expect_err("fails").is_of_another_mesh());
    assert!(
        matches!(there, Err(TlsError::Io { heard: true, .. })),
        "{there:?}"
    );
    assert!(curious.shown().is_empty());
}

/// Bytes that somebody sends, all at once; what it hears is kept.
#[derive(Debug)]
struct Says {
    words: io::Cursor<Vec<u8>>,
    heard: Vec<u8>,
}

fn says(words: Vec<u8>) -> Says {
    Says {
        words: io::Cursor::new(words),
        heard: Vec::new(),
    }
}

impl AsyncRead for Says {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(io::Read::read(&mut self.words, into))
    }
}

impl AsyncWrite for Says {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.heard.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What comes of a handshake in which this is said.
fn after(words: Vec<u8>, dialled: bool) -> (Result<(), TlsError>, Says) {
    let mut says = says(words);
    let here = tls(1, 3, true);
    let outcome = match dialled {
        true => here
            .dialled(&mut says)
            .now_or_never()
            .map(|met| met.map(drop)),
        false => here
            .accepted(&mut says)
            .now_or_never()
            .map(|met| met.map(drop)),
    };
    // Either everything is there or the end is.
    (outcome.expect("does not wait"), says)
}

/// The first bytes of a member, and the answer.
fn beginning() -> [Vec<u8>; 2] {
    let (_, dialer) = after(Vec::new(), true);
    let (_, listener) = after(dialer.heard.clone(), false);
    [dialer.heard, listener.heard]
}

#[test]
fn a_member_says_little_before_the_other_is_known() {
    let [first, answer] = beginning();
    assert!((100..400).contains(&first.len()), "{}", first.len());
    assert!((300..700).contains(&answer.len()), "{}", answer.len());
    let (identity, mesh) = member(1, 3);
    for secret in [
        &identity.sender().key()[..],
        mesh.as_bytes(),
        b"amber",
        b"somewhere",
    ] {
        for words in [&first, &answer] {
            assert!(!words.windows(secret.len()).any(|some| some == secret));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// All that is looked at before somebody is known: whatever it is, it ends with an error.
    #[test]
    fn whatever_a_stranger_says_is_an_error(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
        more in prop::collection::vec(any::<u8>(), 0..64),
        dialled: bool,
    ) {
        let [first, answer] = beginning();
        let mut words = if dialled { answer } else { first };
        for (at, byte) in changes {
            let at = at.index(words.len());
            words[at] = byte;
        }
        if let Some(cut) = cut {
            words.truncate(cut.index(words.len()));
        }
        words.extend(more);
        assert!(after(words, dialled).0.is_err());
    }

    #[test]
    fn noise_is_an_error(words in prop::collection::vec(any::<u8>(), 0..9000), dialled: bool) {
        assert!(after(words, dialled).0.is_err());
    }
}

#[test]
fn a_stranger_is_read_no_further_than_a_member_would_go() {
    for header in [[22, 3, 1, 0x3f, 0xff], [22, 3, 1, 0xff, 0xff]] {
        let (outcome, says) = after([&header[..], &vec![0; 1 << 20]].concat(), false);
        assert!(matches!(outcome, Err(TlsError::TooLong)), "{outcome:?}");
        assert_eq!(says.words.position(), 4096);
        assert!(says.heard.is_empty());
    }
}
