//! Two clocks, both handed in from outside.
//!
//! [`Time`] drives every decision of the protocol; [`WallTime`] is only for what people and
//! certificates talk about. Nothing in this crate reads a clock.

use std::{
    fmt,
    num::NonZeroU64,
    ops::{Add, Sub},
    time::Duration,
};

/// A monotonic point in time: how long the caller's clock has been running.
///
/// The zero is arbitrary (a driver uses its start, a simulator its virtual epoch), so values of
/// different nodes must never be compared. What others tell of may have happened before it. Exact
/// within 292 years of the start, and never beyond them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Nanoseconds since [`BEFORE`] the start of the caller's clock, so that a minute before a node
    /// started is as long ago as any other. Never zero, which makes an `Option` take no more room:
    /// there are dozens of times for each sender on a channel.
    nanos: NonZeroU64,
}

impl Time {
    /// The start of the caller's clock.
    pub const ZERO: Self = Self {
        nanos: NonZeroU64::MIN.saturating_add(BEFORE - 1),
    };

    /// The point `elapsed` after the start of the caller's clock.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self {
            nanos: Self::ZERO.nanos.saturating_add(nanos(elapsed)),
        }
    }

    /// How long the caller's clock had been running; zero before its start.
    pub const fn since_start(self) -> Duration {
        self.saturating_since(Self::ZERO)
    }

    /// The time that passed since `earlier`; zero if `earlier` is later.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos.get().saturating_sub(earlier.nanos.get()))
    }
}

impl Default for Time {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self < Self::ZERO {
            write!(f, "Time(-{:?})", Self::ZERO.saturating_since(*self))
        } else {
            write!(f, "Time({:?})", self.since_start())
        }
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self {
            nanos: self.nanos.saturating_add(nanos(rhs)),
        }
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    /// May lie before the start of the clock.
    fn sub(self, rhs: Duration) -> Self {
        let earlier = self.nanos.get().saturating_sub(nanos(rhs));
        Self {
            nanos: NonZeroU64::new(earlier).unwrap_or(NonZeroU64::MIN),
        }
    }
}

/// How many nanoseconds before the start of the clock can be told.
const BEFORE: u64 = 1 << 63;

/// Of so long a time that it cannot be told, as many as can.
const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 {
        u64::MAX
    } else {
        nanos as u64
    }
}

/// A wall-clock time in milliseconds since the Unix epoch, UTC.
///
/// It may jump and differ between nodes. It is shown to people (`posted_at`) and compared with the
/// validity of credentials; order and repair never depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(u64);

impl WallTime {
    /// The beginning of time: valid since ever.
    pub const MIN: Self = Self(0);
    /// The end of time: valid for ever.
    pub const MAX: Self = Self(u64::MAX);

    /// From milliseconds since the Unix epoch.
    pub const fn from_unix_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn unix_millis(self) -> u64 {
        self.0
    }
}

/// A time that the system cannot tell is the latest that it can, roughly.
#[expect(clippy::disallowed_types, reason = "a conversion reads no clock")]
impl From<WallTime> for std::time::SystemTime {
    fn from(time: WallTime) -> Self {
        let since = Duration::from_millis(time.0);
        let latest = Duration::from_secs(1 << 40);
        Self::UNIX_EPOCH + since.min(latest)
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(millis(rhs)))
    }
}

impl Sub<Duration> for WallTime {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(millis(rhs)))
    }
}

/// RFC 3339 in UTC with milliseconds, `2026-01-31T23:59:59.999Z`.
impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.0 / DAY_MILLIS, self.0 % DAY_MILLIS);
        let (year, month, day) = civil_from_days(days);
        let (seconds, milli) = (of_day / 1000, of_day % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z"
        )
    }
}

/// As it is displayed: RFC 3339, in UTC.
impl serde::Serialize for WallTime {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The proleptic Gregorian date of a day number since 1970-01-01, by counting eras of 400 years
/// from 1 March, so that the leap day is the last of its year (Howard Hinnant, "chrono-compatible
/// low-level date algorithms").
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_types, reason = "a conversion reads no clock")]
    #[test]
    fn wall_time_is_a_time_of_the_system_as_far_as_that_can_tell_it() {
        use std::time::SystemTime;
        let of = |millis| SystemTime::from(WallTime::from_unix_millis(millis));
        let since = |millis| of(millis).duration_since(SystemTime::UNIX_EPOCH).ok();
        for millis in [0, 1, 1_767_225_599_999] {
            assert_eq!(since(millis), Some(Duration::from_millis(millis)));
        }
        assert_eq!(SystemTime::from(WallTime::MIN), SystemTime::UNIX_EPOCH);
        let latest = Duration::from_secs(1 << 40);
        assert_eq!(since(u64::MAX), Some(latest), "no panic");
        assert!(of(u64::MAX) > of(1_767_225_599_999));
    }

    #[test]
    fn wall_time_prints_as_rfc_3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_767_225_599_999, "2025-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(WallTime::from_unix_millis(millis).to_string(), text);
        }
    }

    #[test]
    fn the_end_of_time_prints_and_does_not_overflow() {
        assert!(WallTime::MAX.to_string().ends_with('Z'));
        assert_eq!(WallTime::MAX + Duration::from_secs(1), WallTime::MAX);
    }

    #[test]
    fn time_goes_back_before_the_start_of_the_clock_and_never_overflows() {
        let (hour, second) = (Duration::from_secs(3_600), Duration::from_secs(1));
        let before = Time::from_start(second) - hour;
        assert!(before < Time::ZERO);
        assert_eq!(before.since_start(), Duration::ZERO);
        assert_eq!(before + hour, Time::from_start(second));
        assert_eq!(Time::from_start(second).saturating_since(before), hour);
        assert_eq!(before.saturating_since(Time::ZERO), Duration::ZERO);
        assert_eq!(format!("{before:?}"), "Time(-3599s)");
        assert_eq!(format!("{:?}", Time::from_start(hour)), "Time(3600s)");

        let end = Time::from_start(Duration::MAX);
        assert_eq!(end + Duration::MAX, end);
        let begin = Time::ZERO - Duration::MAX;
        assert_eq!((begin - second, begin + second - second), (begin, begin));
        assert!(begin < Time::ZERO - hour && Time::ZERO + hour < end);
        let years = |time: Duration| time.as_secs() / (365 * 24 * 60 * 60);
        assert_eq!(
            (
                years(end.since_start()),
                years(Time::ZERO.saturating_since(begin))
            ),
            (292, 292)
        );
        assert_eq!(years(end.saturating_since(begin)), 584);
        assert_eq!(size_of::<Option<Time>>(), size_of::<u64>());
    }
}
