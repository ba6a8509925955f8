//! Who meets whom, and how they talk then.

use futures::{AsyncReadExt as _, AsyncWriteExt as _, future};
use meshcast_proto::{MeshKey, NodeName, Region, WallTime};
use tokio::io::duplex;

use super::*;
use crate::netem::Pipe;

fn identity(boot: u8) -> (Identity, MeshId) {
    let key = MeshKey::from_entropy([1; 48]);
    let entropy = std::array::from_fn(|i| if i < 32 { boot } else { boot + 100 });
    let name = NodeName::new("amber").expect("allowed");
    let region = Region::new("somewhere").expect("allowed");
    let identity = Identity::from_mesh_key(&key, name, region, entropy, WallTime::MIN);
    (identity, key.mesh())
}

fn proposing(boot: u8, proposes: Handshake) -> Secure {
    let (identity, mesh) = identity(boot);
    Secure::new(&identity, mesh, proposes).expect("sets up")
}

fn with_noise_alone(boot: u8) -> Secure {
    let (identity, mesh) = identity(boot);
    Secure::with_noise_alone(&identity, mesh).expect("sets up")
}

/// One that does not speak TLS: says so, or hangs up on what it does not know.
#[derive(Clone, Copy)]
enum Old {
    SaysSo,
    HangsUp,
}

/// Lets 1 dial 2, says whom either met, and has them exchange a word.
async fn meet(dialer: Secure, listener: Secure, old: Old) -> Handshake {
    let dialer_proposes = dialer.proposes;
    let [(near, far), (again, far_again)] = [(); 2].map(|()| duplex(1 << 16));
    let again = async { Ok::<_, io::Error>(Pipe(again)) };
    let here = async {
        let met = dialer
            .secure(Pipe(near), Some(again), Endpoint::Dialer)
            .await;
        let (peer, mut stream) = met.expect("meets");
        assert_eq!(peer, peer_id(identity(2).0.sender()));
        stream.write_all(b"hello").await.expect("writes");
        stream.flush().await.expect("flushes");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.expect("reads");
        assert_eq!(&answer, b"there");
        match stream {
            Secured::Tls(_) => Handshake::Tls,
            Secured::Noise(_) => Handshake::Noise,
        }
    };
    let there = async {
        let none = || None::<future::Ready<io::Result<Pipe>>>;
        let hangs_up = listener.tls.is_none() && matches!(old, Old::HangsUp);
        let first = match hangs_up && dialer_proposes == Handshake::Tls {
            true => {
                drop(far);
                None
            }
            false => {
                let met = listener
                    .clone()
                    .secure(Pipe(far), none(), Endpoint::Listener);
                met.await.ok()
            }
        };
        let (peer, mut stream) = match first {
            Some(met) => met,
            None => {
                let met = listener.secure(Pipe(far_again), none(), Endpoint::Listener);
                met.await.expect("meets at the second try")
            }
        };
        assert_eq!(peer, peer_id(identity(1).0.sender()));
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.expect("reads");
        assert_eq!(&heard, b"hello");
        stream.write_all(b"there").await.expect("writes");
        stream.flush().await.expect("flushes");
        // Flushed bytes leave with the next read.
        let _ = stream.read(&mut [0]).await;
    };
    let met = future::join(here, there);
    let met = tokio::time::timeout(std::time::Duration::from_secs(60), met).await;
    met.expect("in time").0
}

#[tokio::test]
async fn who_dials_chooses_and_both_are_accepted() {
    for old in [Old::SaysSo, Old::HangsUp] {
        for (dialer, listener, how) in [
            (
                proposing(1, Handshake::Tls),
                proposing(2, Handshake::Tls),
                Handshake::Tls,
            ),
            (
                proposing(1, Handshake::Tls),
                proposing(2, Handshake::Noise),
                Handshake::Tls,
            ),
            (
                proposing(1, Handshake::Noise),
                proposing(2, Handshake::Tls),
                Handshake::Noise,
            ),
            (
                proposing(1, Handshake::Noise),
                proposing(2, Handshake::Noise),
                Handshake::Noise,
            ),
            // With nodes from before there was TLS.
            (
                proposing(1, Handshake::Tls),
                with_noise_alone(2),
                Handshake::Noise,
            ),
            (
                with_noise_alone(1),
                proposing(2, Handshake::Tls),
                Handshake::Noise,
            ),
        ] {
            assert_eq!(meet(dialer, listener, old).await, how);
        }
    }
}

/// A side that answered TLS is not asked for anything else.
#[tokio::test]
async fn who_speaks_tls_and_fails_is_not_dialled_again() {
    let (near, far) = duplex(1 << 16);
    let again = async { panic!("dialled again") as io::Result<Pipe> };
    let stranger = {
        let (identity, _) = identity(2);
        let elsewhere = MeshId::new([3; 16]);
        Secure::new(&identity, elsewhere, Handshake::Tls).expect("sets up")
    };
    let none = None::<future::Ready<io::Result<Pipe>>>;
    let (here, there) = future::join(
        proposing(1, Handshake::Tls).secure(Pipe(near), Some(again), Endpoint::Dialer),
        stranger.secure(Pipe(far), none, Endpoint::Listener),
    )
    .await;
    let reason = |met: Result<_, NotSecured>| {
        let error = met.map(drop).expect_err("strangers");
        refusal_reason(&error)
    };
    assert_eq!(reason(here), Some(GateError::OtherMesh));
    assert_eq!(reason(there), Some(GateError::HungUp));
}
