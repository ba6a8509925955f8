use futures::{AsyncReadExt as _, AsyncWriteExt as _, FutureExt as _, future};
use meshcast_proto::{MeshKey, NodeName, Region, WallTime};
use proptest::prelude::*;
use rustls::{
    ConnectionTrafficSecrets,
    crypto::cipher::{AeadKey, Iv},
};
use tokio::io::duplex;

use super::{
    record::{Content, HEADER, Keys, MOST, record_len},
    *,
};
use crate::netem::Pipe;

mod strangers;

fn member(mesh: u8, boot: u8) -> (Identity, MeshId) {
    let key = MeshKey::from_entropy([mesh; 48]);
    let entropy = std::array::from_fn(|i| if i < 32 { boot } else { boot + 100 });
    let name = NodeName::new("amber").expect("allowed");
    let region = Region::new("somewhere").expect("allowed");
    let identity = Identity::from_mesh_key(&key, name, region, entropy, WallTime::MIN);
    (identity, key.mesh())
}

fn tls(mesh: u8, boot: u8, aes: bool) -> Tls {
    let (identity, mesh) = member(mesh, boot);
    Tls::with_suites(&identity, mesh, aes).expect("sets up")
}

type Shaken = Result<(Sender, TlsStream<Pipe>), TlsError>;

async fn meet(dialer: &Tls, listener: &Tls, room: usize) -> (Shaken, Shaken) {
    let (near, far) = duplex(room);
    let dialled = async {
        let (sender, mut stream) = dialer.dialled(Pipe(near)).await?;
        stream.sent().await.expect("sends");
        Ok((sender, stream))
    };
    future::join(dialled, listener.accepted(Pipe(far))).await
}

async fn connected(aes: (bool, bool)) -> (TlsStream<Pipe>, TlsStream<Pipe>) {
    let (near, far) = meet(&tls(1, 1, aes.0), &tls(1, 2, aes.1), 1 << 20).await;
    (near.expect("connects").1, far.expect("connects").1)
}

#[tokio::test]
async fn each_learns_the_key_of_the_other() {
    // Less than what one says while the other still speaks would hold up both.
    for room in [16, 100, 1 << 20] {
        let (near, far) = meet(&tls(1, 1, true), &tls(1, 2, true), room).await;
        let (near, far) = (near.expect("connects"), far.expect("connects"));
        assert_eq!(near.0, member(1, 2).0.sender());
        assert_eq!(far.0, member(1, 1).0.sender());
    }
}

#[tokio::test]
async fn what_was_flushed_leaves_without_a_read_if_it_is_flushed_again() {
    let (mut near, mut far) = connected((true, true)).await;
    near.write_all(b"word").await.expect("written");
    for _ in 0..2 {
        near.flush().await.expect("flushed");
    }
    let mut heard = [0; 4];
    far.read_exact(&mut heard).await.expect("it comes");
    assert_eq!(&heard, b"word");
}

#[tokio::test]
async fn aes_is_taken_where_both_have_it() {
    for (aes, suite) in [
        ((true, true), &aws_lc_rs::aead::AES_128_GCM),
        ((true, false), &aws_lc_rs::aead::CHACHA20_POLY1305),
    ] {
        let (near, far) = connected(aes).await;
        assert_eq!((near.algorithm(), far.algorithm()), (suite, suite));
    }
}

#[tokio::test]
async fn who_is_of_another_mesh_fails_before_it_shows_its_key() {
    let (near, far) = meet(&tls(1, 1, true), &tls(2, 2, true), 1 << 20).await;
    assert!(near.expect_err("fails").is_of_another_mesh());
    match far.expect_err("fails") {
        TlsError::Io { error, .. } => assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However much is written at once, whatever fits into the pipe, and however often keys change.
    #[test]
    fn what_is_written_arrives(
        writes in prop::collection::vec(1_usize..70_000, 1..8),
        reads in 1_usize..70_000,
        room in 16_usize..100_000,
        renew in prop::option::of(1_u64..4),
        aes: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let room = room.max(if writes.iter().sum::<usize>() > 10_000 { 500 } else { 16 });
            let (near, far) = meet(&tls(1, 1, aes), &tls(1, 2, aes), room).await;
            let (mut near, mut far) = (near.expect("connects").1, far.expect("connects").1);
            if let Some(records) = renew {
                near = near.renewing_after(records);
            }
            let len = writes.iter().sum::<usize>();
            let sent: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
            let writing = async {
                let mut left = &sent[..];
                for len in writes {
                    let (now, later) = left.split_at(len);
                    near.write_all(now).await.expect("writes");
                    left = later;
                }
                near.close().await.expect("closes");
            };
            let reading = async {
                let (mut got, mut buffer) = (Vec::new(), vec![0; reads]);
                loop {
                    match far.read(&mut buffer).await.expect("reads") {
                        0 => return got,
                        len => got.extend_from_slice(&buffer[..len]),
                    }
                }
            };
            let ((), got) = future::join(writing, reading).await;
            assert!(got == sent);
        });
    }
}

#[tokio::test]
async fn what_is_flushed_leaves_with_the_next_read() {
    let (mut near, mut far) = connected((true, true)).await;
    near.write_all(b"a").await.expect("writes");
    near.flush().await.expect("flushes");
    near.write_all(b"b").await.expect("writes");
    let mut buffer = [0; 9];
    assert_eq!(far.read(&mut buffer).now_or_never().map(Result::ok), None);
    assert!(near.read(&mut buffer).now_or_never().is_none());
    let read = far.read(&mut buffer).now_or_never().expect("there");
    assert_eq!((read.ok(), &buffer[..2]), (Some(2), &b"ab"[..]));
}

#[tokio::test]
async fn a_connection_that_breaks_off_within_a_record_is_broken() {
    let (near, mut far) = connected((true, true)).await;
    // The peer goes away without a word.
    drop(near);
    assert_eq!(far.read(&mut [0; 9]).await.ok(), Some(0));

    let (mut near, mut far) = connected((true, true)).await;
    near.io_mut().0.write_all_now(&[23, 3, 3, 0, 100, 1]).await;
    drop(near);
    let error = far.read(&mut [0; 9]).await.expect_err("breaks");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn what_is_no_record_ends_the_connection() {
    for bytes in [
        // A handshake in the open, another version, one that is too long, one without content,
        // one that nobody sealed.
        &[22, 3, 3, 0, 100][..],
        &[23, 3, 1, 0, 100],
        &[23, 3, 3, 0x41, 1],
        &[23, 3, 3, 0, 16],
        &[&[23, 3, 3, 0, 20][..], &[7; 20]].concat(),
    ] {
        let (mut near, mut far) = connected((true, true)).await;
        near.io_mut().0.write_all_now(bytes).await;
        let error = far.read(&mut [0; 9]).await.expect_err("ends");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bytes:?}");
    }
}

/// To write past the encryption.
trait WriteNow {
    async fn write_all_now(&mut self, bytes: &[u8]);
}

impl WriteNow for tokio::io::DuplexStream {
    async fn write_all_now(&mut self, bytes: &[u8]) {
        tokio::io::AsyncWriteExt::write_all(self, bytes)
            .await
            .expect("writes");
    }
}

fn keys() -> Keys {
    let secrets = ConnectionTrafficSecrets::Chacha20Poly1305 {
        key: AeadKey::from([7; 32]),
        iv: Iv::from([9; 12]),
    };
    Keys::new(0, &secrets).expect("keys")
}

fn sealed(keys: &mut Keys, content: Content, inside: &[u8]) -> Vec<u8> {
    let mut record = [&[0; HEADER][..], inside].concat();
    keys.seal(content, &mut record, 0).expect("seals");
    assert_eq!(record_len(&record), Ok(Some(record.len())));
    record
}

#[test]
fn a_record_with_one_bit_changed_is_none() {
    let record = sealed(&mut keys(), Content::Data, b"said");
    for bit in 0..8 * record.len() {
        let mut changed = record.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            keys().open(&mut changed),
            Err(RecordError::Decrypt),
            "{bit}"
        );
    }
    let mut same = record.clone();
    let inside = HEADER..HEADER + 4;
    assert_eq!(keys().open(&mut same), Ok((Content::Data, inside.clone())));
    assert_eq!(&same[inside], b"said");
}

#[test]
fn a_record_that_comes_again_or_too_early_is_none() {
    let mut tx = keys();
    let [first, second] = [b"a", b"b"].map(|inside| sealed(&mut tx, Content::Data, inside));
    let mut rx = keys();
    assert_eq!(rx.open(&mut second.clone()), Err(RecordError::Decrypt));
    let mut rx = keys();
    assert!(rx.open(&mut first.clone()).is_ok());
    assert_eq!(rx.open(&mut first.clone()), Err(RecordError::Decrypt));
}

#[test]
fn records_hold_up_to_their_size_and_padding_is_left_out() {
    for len in [1, 100, MOST] {
        let mut record = sealed(&mut keys(), Content::Data, &vec![3; len]);
        let inside = HEADER..HEADER + len;
        assert_eq!(keys().open(&mut record), Ok((Content::Data, inside)));
    }
    // As a zero in place of its content, it is all padding.
    let mut padded = sealed(&mut keys(), Content::Data, b"");
    assert!(keys().open(&mut padded).is_ok());
}

#[tokio::test]
async fn nothing_is_read_behind_a_record_that_somebody_replaced() {
    let (mut near, mut far) = connected((true, true)).await;
    near.write_all(b"a").await.expect("writes");
    near.sent().await.expect("is sent");
    let mut taken = vec![0; 100];
    let len = far.io_mut().read(&mut taken).await.expect("it is there");
    taken[len - 1] ^= 1;
    near.io_mut()
        .write_all(&taken[..len])
        .await
        .expect("writes");
    near.write_all(b"b").await.expect("writes");
    near.sent().await.expect("is sent");
    for _ in 0..2 {
        assert!(far.read(&mut [0; 9]).await.is_err());
    }
}
