//! Frames, as gossip brings them.

use std::time::Duration;

use bytes::Bytes;
use meshcast_proto::{Frame, FrameId, Verifier, WallTime};

use crate::members::trust;

pub(crate) fn run(data: &[u8]) {
    let _ = FrameId::of(data);
    let bytes = Bytes::copy_from_slice(data);
    let Ok(frame) = Frame::decode(bytes.clone()) else {
        return;
    };
    assert_eq!(frame.bytes(), &bytes, "a frame is its bytes");
    assert_eq!(frame.id(), FrameId::of(data));
    let mut next = Some(frame.seqs().first());
    for (seq, record) in frame.records() {
        assert_eq!(Some(seq), next, "records follow each other");
        next = seq.checked_add(1);
        assert!(record.payload.len() <= data.len());
    }
    assert_eq!(
        frame.records().count() as u64,
        frame.seqs().len(),
        "as many records as numbers"
    );
    let mut verifier = Verifier::new(trust(), Duration::from_secs(600));
    let alone = verifier.verify(&frame, WallTime::MIN).is_ok();
    let mut verifier = Verifier::new(trust(), Duration::from_secs(600));
    let together = verifier.verify_all(&[frame.clone(), frame], WallTime::MIN);
    assert!(together.iter().all(|verdict| verdict.is_ok() == alone));
}
