//! As much HTTP as it takes to ask a service.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use super::PATIENCE;

/// Status and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(stream, path, &address.to_string())
}

/// The same at a Unix socket.
pub(crate) fn get_unix(socket: &Path, path: &str) -> io::Result<(u16, String)> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    ask(stream, path, "node")
}

fn ask(mut stream: impl Read + Write, path: &str, host: &str) -> io::Result<(u16, String)> {
    // Version 1.0, so that the body is whatever comes until the end.
    write!(stream, "GET {path} HTTP/1.0\r\nhost: {host}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let parsed = || {
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    };
    parsed().ok_or_else(|| io::Error::other(format!("no answer: {answer:?}")))
}
