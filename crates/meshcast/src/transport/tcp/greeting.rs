//! Whether somebody begins as members do.
//!
//! Who dials speaks first, and says the same to everybody: which protocol negotiates and what it
//! proposes. Both come with the first packet, so whoever has not said it is no member, or has a
//! slow way.

use std::{io, net::SocketAddr, time::Duration};

use futures::future::{AbortRegistration, Abortable};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::gate::{Door, Place};

/// How somebody begins to speak who was accepted.
#[derive(Debug)]
pub(super) enum Greeting {
    /// One that speaks as members do. [`GREETING`] is read of it.
    Ours(TcpStream, SocketAddr),
    /// One that says something else.
    Foreign(SocketAddr),
    /// One that said nothing in time, hung up, or had to make way. Is counted.
    Nobody,
}

/// What there is to know of one who was just accepted and has [this place](Door::accept).
pub(super) async fn read_greeting(
    mut stream: TcpStream,
    from: SocketAddr,
    door: Door,
    (_place, registration): (Place, AbortRegistration),
    patience: Duration,
) -> Greeting {
    match Abortable::new(timeout(patience, greets(&mut stream)), registration).await {
        Ok(Ok(Ok(true))) => Greeting::Ours(stream, from),
        Ok(Ok(Ok(false))) => {
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

async fn greets(stream: &mut TcpStream) -> io::Result<bool> {
    let mut left = GREETING;
    let mut buffer = [0; GREETING.len()];
    while !left.is_empty() {
        // Not a byte more than there is room for.
        let read = stream.read(&mut buffer[..left.len()]).await?;
        match left.strip_prefix(&buffer[..read]) {
            _ if read == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Some(rest) => left = rest,
            None => return Ok(false),
        }
    }
    Ok(true)
}

/// What the side that dials begins with.
pub(super) const GREETING: &[u8] = b"\x13/multistream/1.0.0\n\x07/noise\n";

/// What the other side's answer begins with.
pub(super) const ANSWER: &[u8] = GREETING.split_at(20).0;
