//! What members say to each other.

use bytes::Bytes;
use meshcast_proto::SyncMessage;

pub(crate) fn run(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    let (peak, read) = crate::memory::peak(|| SyncMessage::decode(&bytes));
    assert!(peak <= MOST, "{} bytes took {peak}", data.len());
    let Ok(message) = read else { return };
    let again = Bytes::from(message.encode());
    assert_eq!(
        SyncMessage::decode(&again).as_ref(),
        Ok(&message),
        "what was read is written so that it is read"
    );
}

/// The codec believes lengths up to 512 KiB, and what may not be named twice stands in a set
/// meanwhile.
const MOST: usize = 1 << 20;
