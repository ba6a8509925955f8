//! Those who do not belong: they find an address, and knock.
//!
//! Each [`Kind`] is a way to take up a node's time and room without its key. A crowd keeps so many
//! connections open at once and opens another for each that ends, until it has opened as many as it
//! was told.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use clap::ValueEnum;
use libp2p::{
    core::upgrade::{OutboundConnectionUpgrade, UpgradeInfo},
    identity::Keypair,
    noise,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// What a stranger does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Says nothing and stays.
    Idle,
    /// Goes again at once.
    Storm,
    /// Says a kilobyte of nonsense.
    Garbage,
    /// Asks for a page.
    Http,
    /// Says a byte a second of what a member begins with.
    Slow,
    /// Greets, and then says nothing.
    Greeting,
    /// Begins a handshake, and then says nothing.
    Handshake,
    /// Makes a whole handshake, for another mesh.
    WrongKey,
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Idle,
        Self::Storm,
        Self::Garbage,
        Self::Http,
        Self::Slow,
        Self::Greeting,
        Self::Handshake,
        Self::WrongKey,
    ];
}

/// A number of strangers.
#[derive(Debug, Clone, clap::Args)]
pub struct Crowd {
    /// What they do; each connection the next. All by default.
    #[arg(long = "kind", value_enum)]
    pub kinds: Vec<Kind>,
    /// How many connections they open.
    #[arg(long, default_value_t = 10_000)]
    pub connections: u64,
    /// How many of them are open at the same time.
    #[arg(long, default_value_t = 512)]
    pub held: u64,
    /// From how many addresses of loopback they come.
    #[arg(long, default_value_t = 1)]
    pub sources: u16,
}

impl Crowd {
    /// Comes, and goes when all have been there.
    pub async fn knock(&self, at: SocketAddr) -> Visits {
        let next = Arc::new(AtomicU64::new(0));
        let visits = Arc::new(AtomicVisits::default());
        let crowd = (0..self.held).map(|_| {
            let (crowd, next, visits) = (self.clone(), Arc::clone(&next), Arc::clone(&visits));
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= crowd.connections {
                        return;
                    }
                    let outcome = crowd.visit(at, number).await;
                    let count = match outcome {
                        Ok(()) => &visits.done,
                        Err(_) => &visits.failed,
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        for one in crowd.collect::<Vec<_>>() {
            one.await.expect("strangers do not panic");
        }
        Visits {
            done: visits.done.load(Ordering::Relaxed),
            failed: visits.failed.load(Ordering::Relaxed),
        }
    }

    /// One connection, until the node ends it or its time is over. An error means that there was
    /// none.
    async fn visit(&self, at: SocketAddr, number: u64) -> io::Result<()> {
        let kinds = if self.kinds.is_empty() {
            Kind::ALL
        } else {
            &self.kinds
        };
        let kind = kinds[usize::try_from(number).unwrap_or_default() % kinds.len()];
        let source = u16::try_from(number % u64::from(self.sources.max(1))).unwrap_or_default();
        let [high, low] = source.to_be_bytes();
        let socket = TcpSocket::new_v4()?;
        socket.bind((Ipv4Addr::new(127, 0, high, low.max(1)), 0).into())?;
        let stream = timeout(PATIENCE, socket.connect(at)).await??;
        // No port is to be kept for a connection that is over: a million would not fit.
        stream.set_zero_linger()?;
        // However it ends is fine.
        let _ = timeout(STAY, behave(kind, stream)).await;
        Ok(())
    }
}

async fn behave(kind: Kind, mut stream: TcpStream) -> io::Result<()> {
    match kind {
        Kind::Storm => return Ok(()),
        Kind::Idle => {}
        Kind::Garbage => stream.write_all(&[0xa5; 1024]).await?,
        Kind::Http => {
            stream
                .write_all(b"GET / HTTP/1.1\r\nhost: fleet\r\n\r\n")
                .await?
        }
        Kind::Slow => {
            for byte in GREETING {
                stream.write_all(&[*byte]).await?;
                // Unless it is thrown out meanwhile.
                if let Ok(read) = timeout(Duration::from_secs(1), stream.read(&mut [0; 64])).await
                    && read? == 0
                {
                    return Ok(());
                }
            }
        }
        Kind::Greeting => stream.write_all(GREETING).await?,
        Kind::Handshake => {
            // Any 32 bytes are a key.
            let first = [GREETING, b"\x00\x20", &[7; 32]].concat();
            stream.write_all(&first).await?;
        }
        Kind::WrongKey => return shake_hands(stream).await,
    }
    // Until the node hangs up.
    let mut heard = [0; 512];
    while stream.read(&mut heard).await? > 0 {}
    Ok(())
}

/// The handshake of libp2p, bound to another mesh.
async fn shake_hands(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(GREETING).await?;
    let mut answer = [0; GREETING.len()];
    stream.read_exact(&mut answer).await?;
    let noise = noise::Config::new(&Keypair::generate_ed25519()).map_err(io::Error::other)?;
    let noise = noise.with_prologue(b"of another mesh".to_vec());
    let info = noise.protocol_info().next().unwrap_or_default();
    let shaken = noise.upgrade_outbound(Compat(stream), info).await;
    shaken.map(drop).map_err(io::Error::other)
}

/// A stream as libp2p wants it.
struct Compat(TcpStream);

impl futures::AsyncRead for Compat {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        into: &mut [u8],
    ) -> std::task::Poll<io::Result<usize>> {
        let mut buffer = tokio::io::ReadBuf::new(into);
        let read =
            tokio::io::AsyncRead::poll_read(std::pin::Pin::new(&mut self.0), cx, &mut buffer);
        read.map_ok(|()| buffer.filled().len())
    }
}

impl futures::AsyncWrite for Compat {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(std::pin::Pin::new(&mut self.0), cx, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_flush(std::pin::Pin::new(&mut self.0), cx)
    }

    fn poll_close(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        tokio::io::AsyncWrite::poll_shutdown(std::pin::Pin::new(&mut self.0), cx)
    }
}

/// What came of a crowd's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Visits {
    /// Those that were there, however they ended.
    pub done: u64,
    /// Those that were not.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct AtomicVisits {
    done: AtomicU64,
    failed: AtomicU64,
}

/// What a member begins with.
const GREETING: &[u8] = b"\x13/multistream/1.0.0\n\x07/noise\n";

/// How long a stranger waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The time that a stranger stays unless it is thrown out: longer than any node lets it.
const STAY: Duration = Duration::from_secs(30);
