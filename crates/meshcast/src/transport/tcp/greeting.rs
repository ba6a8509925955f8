//! Whether somebody begins as members do.
//!
//! The dialling side speaks first, and says the same to everybody: which protocol negotiates and
//! which handshake it proposes. Both come with the first packet, so whoever has not said it is no
//! member, or has a slow way.

use std::{io, net::SocketAddr, time::Duration};

use futures::future::{AbortRegistration, Abortable};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::gate::{Door, Place};

/// The first bytes of an accepted connection.
#[derive(Debug)]
pub(super) enum Greeting {
    /// One that speaks as members do. This is read of it.
    Ours(TcpStream, SocketAddr, &'static [u8]),
    /// One that says something else.
    Foreign(SocketAddr),
    /// One that said nothing in time, hung up, or had to make way. Is counted.
    Nobody,
}

/// Classifies a connection that was just accepted and has [this place](Door::accept).
pub(super) async fn read_greeting(
    mut stream: TcpStream,
    from: SocketAddr,
    door: Door,
    (_place, registration): (Place, AbortRegistration),
    time_limit: Duration,
) -> Greeting {
    match Abortable::new(timeout(time_limit, greets(&mut stream)), registration).await {
        Ok(Ok(Ok(Some(greeting)))) => Greeting::Ours(stream, from, greeting),
        Ok(Ok(Ok(None))) => {
            door.note_foreign();
            Greeting::Foreign(from)
        }
        Ok(_) => {
            door.note_silent();
            Greeting::Nobody
        }
        Err(_made_way) => Greeting::Nobody,
    }
}

/// The greeting that it sends, if it sends one.
async fn greets(stream: &mut TcpStream) -> io::Result<Option<&'static [u8]>> {
    let mut possible = GREETINGS;
    let mut buffer = [0; LONGEST];
    let mut heard = 0;
    loop {
        // Not a byte more than all that are possible have.
        let most = possible
            .iter()
            .flatten()
            .map(|greeting| greeting.len())
            .min();
        let Some(most) = most else {
            return Ok(None);
        };
        let read = stream.read(&mut buffer[heard..most]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        heard += read;
        for greeting in &mut possible {
            *greeting = greeting.filter(|greeting| greeting.starts_with(&buffer[..heard]));
        }
        let said = possible
            .iter()
            .flatten()
            .find(|greeting| greeting.len() == heard);
        if let Some(said) = said {
            return Ok(Some(said));
        }
    }
}

/// What the side that dials begins with: one of these.
const GREETINGS: [Option<&[u8]>; 2] = [Some(TLS), Some(NOISE)];
/// It proposes TLS,
pub(super) const TLS: &[u8] = b"\x13/multistream/1.0.0\n\x0b/tls/1.0.0\n";
/// or noise, as all did before.
pub(super) const NOISE: &[u8] = b"\x13/multistream/1.0.0\n\x07/noise\n";

const LONGEST: usize = TLS.len();

/// The first bytes of the other side's answer.
pub(super) const ANSWER: &[u8] = TLS.split_at(20).0;
