//! What is said at the gate.

use meshcast_proto::{Admission, WallTime};

use crate::members::{peer, trust};

pub(crate) fn run(data: &[u8]) {
    let me = Admission::new(peer(0).identity.clone(), trust());
    let now = WallTime::from_unix_millis(1 << 40);
    let proven = peer(1).sender();
    if let Ok(member) = me.check_hello(data, proven, now) {
        assert_eq!(member.sender(), proven, "who is let in has proven its key");
    }
    // Somebody else's hello, whoever shows it.
    assert!(me.check_hello(data, peer(2).sender(), now).is_err());
    let _ = me.check_verdict(data);
}
