//! The handshake, up to the moment from which records are made here.

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use meshcast_proto::Sender;
use rustls::{
    CertificateError, ConnectionTrafficSecrets, Error as RustlsError, ExtractedSecrets,
    client::UnbufferedClientConnection,
    kernel::KernelConnection,
    pki_types::CertificateDer,
    server::UnbufferedServerConnection,
    unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus},
};

use super::{
    TlsError, holder,
    record::HEADER,
    stream::{Renewal, TlsStream},
};

/// One side of the handshake, as rustls makes it.
pub(super) trait Side {
    /// Which side it is.
    type Data;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;
    fn shown(&self) -> Option<&[CertificateDer<'static>]>;
    fn finish(self) -> Result<(ExtractedSecrets, Box<dyn Renewal>), RustlsError>;
}

/// Makes the handshake with who is at the other end, and says who that is.
///
/// Input is bounded by [`LONGEST_HANDSHAKE`], and handed over record by record, so that nothing
/// behind the handshake is touched. A side that makes a mistake is hung up on without a word.
pub(super) async fn shake<S: Side, T>(
    mut side: S,
    mut io: T,
) -> Result<(Sender, TlsStream<T>), TlsError>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    let mut outgoing = Vec::new();
    let mut incoming = Vec::new();
    // How much of it rustls may see.
    let mut shown = 0;
    let mut heard = false;
    loop {
        let UnbufferedStatus { discard, state } = side.process(&mut incoming[..shown]);
        let next = match state.map_err(|error| TlsError::Tls { error })? {
            ConnectionState::EncodeTlsData(data) => {
                encode(data, &mut outgoing)?;
                Next::Goes
            }
            ConnectionState::TransmitTlsData(sent) => {
                sent.done();
                Next::Goes
            }
            ConnectionState::BlockedHandshake => Next::Waits,
            ConnectionState::WriteTraffic(_) => Next::Done,
            _ => {
                let error = RustlsError::HandshakeNotComplete;
                return Err(TlsError::Tls { error });
            }
        };
        incoming.drain(..discard);
        shown -= discard;
        match next {
            Next::Goes => {}
            Next::Waits => {
                let io_error = |error| TlsError::Io { error, heard };
                io.write_all(&outgoing).await.map_err(io_error)?;
                io.flush().await.map_err(io_error)?;
                outgoing.clear();
                shown = loop {
                    if let Some(end) = end_of_record(&incoming, shown) {
                        break end;
                    }
                    if incoming.len() >= LONGEST_HANDSHAKE {
                        return Err(TlsError::TooLong);
                    }
                    let before = incoming.len();
                    incoming.resize(LONGEST_HANDSHAKE, 0);
                    let read = io.read(&mut incoming[before..]).await;
                    let read = read.map_err(|error| TlsError::Io { error, heard })?;
                    incoming.truncate(before + read);
                    // Before it agrees to TLS there is no end of it, but an error.
                    heard = true;
                    if read == 0 {
                        let error = std::io::ErrorKind::UnexpectedEof.into();
                        return Err(TlsError::Io { error, heard });
                    }
                };
            }
            // A message that is not whole follows, where none may.
            Next::Done if shown > 0 => {
                let error = RustlsError::HandshakeNotComplete;
                return Err(TlsError::Tls { error });
            }
            Next::Done => break,
        }
    }
    let peer = match side.shown() {
        Some([key]) => holder(key),
        _ => Err(CertificateError::BadEncoding.into()),
    };
    let peer = peer.map_err(|error| TlsError::Tls { error })?;
    let (secrets, renewal) = side.finish().map_err(|error| TlsError::Tls { error })?;
    let stream = TlsStream::new(io, &secrets, renewal, outgoing, incoming)?;
    Ok((peer, stream))
}

enum Next {
    Goes,
    Waits,
    Done,
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, outgoing: &mut Vec<u8>) -> Result<(), TlsError> {
    let before = outgoing.len();
    while let Err(EncodeError::InsufficientSize(wanted)) = data.encode(&mut outgoing[before..]) {
        outgoing.resize(before + wanted.required_size, 0);
    }
    Ok(())
}

/// The end of the record that begins here, if it is there as a whole.
fn end_of_record(bytes: &[u8], start: usize) -> Option<usize> {
    let [_, _, _, high, low] = *bytes.get(start..)?.first_chunk::<HEADER>()?;
    let end = start + HEADER + usize::from(u16::from_be_bytes([high, low]));
    (end <= bytes.len()).then_some(end)
}

impl Side for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn shown(&self) -> Option<&[CertificateDer<'static>]> {
        self.peer_certificates()
    }

    fn finish(self) -> Result<(ExtractedSecrets, Box<dyn Renewal>), RustlsError> {
        let (secrets, rest) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Box::new(rest)))
    }
}

impl Side for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn shown(&self) -> Option<&[CertificateDer<'static>]> {
        self.peer_certificates()
    }

    fn finish(self) -> Result<(ExtractedSecrets, Box<dyn Renewal>), RustlsError> {
        let (secrets, rest) = self.dangerous_into_kernel_connection()?;
        Ok((secrets, Box::new(rest)))
    }
}

impl<D: Send> Renewal for KernelConnection<D> {
    fn next_tx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), RustlsError> {
        self.update_tx_secret()
    }

    fn next_rx(&mut self) -> Result<(u64, ConnectionTrafficSecrets), RustlsError> {
        self.update_rx_secret()
    }
}

/// More than a member says in one go before it is known: some 700 bytes, and what follows.
const LONGEST_HANDSHAKE: usize = 4 * 1024;
