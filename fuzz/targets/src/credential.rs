//! The chain by which somebody is a member.

use std::time::Duration;

use meshcast_proto::WallTime;

use crate::members::trust;

pub(crate) fn run(data: &[u8]) {
    let Ok(member) = trust().verify(data) else {
        return;
    };
    for now in [
        WallTime::MIN,
        WallTime::from_unix_millis(1 << 40),
        WallTime::MAX,
    ] {
        let _ = member.check_time(now, Duration::from_secs(600));
        let _ = member.check_time(now, Duration::MAX);
    }
    assert!(format!("{member:?}").len() < 400);
}
