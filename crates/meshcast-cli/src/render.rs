//! How things look to people.

mod table;

use std::time::{Duration, SystemTime};

pub(crate) use self::table::{Colour, Palette, Table};

/// The sign for what is not known.
pub(crate) const UNKNOWN: &str = "-";

/// Text from elsewhere, safe to print: one line, and no control over the terminal or the direction
/// of writing.
pub(crate) fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let steers = matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}',
        );
        if c.is_control() || steers {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A text in lines of at most so many characters, unless a word has more; none if it is empty.
pub(crate) fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|_| !text.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The name of a channel; quoted if it would not be seen.
pub(crate) fn channel(name: &str) -> String {
    if name.trim().is_empty() {
        format!("{name:?}")
    } else {
        text(name)
    }
}

/// A name within a sentence: whatever it is, one sees where it begins and ends.
pub(crate) fn quoted(name: &str) -> String {
    text(&format!("\"{name}\""))
}

/// A posted value on one line: a string as it is, all else as JSON.
pub(crate) fn value(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(string) => text(string),
        other => text(&other.to_string()),
    }
}

/// The end of a peer's id: all begin alike.
pub(crate) fn short(peer_id: &str) -> String {
    match peer_id.char_indices().nth_back(7) {
        Some((start, _)) if start > 0 => format!("…{}", &peer_id[start..]),
        _ => peer_id.to_owned(),
    }
}

pub(crate) fn rtt(micros: Option<u64>) -> String {
    let Some(micros) = micros else {
        return UNKNOWN.into();
    };
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let millis = micros as f64 / 1000.0;
    match micros {
        ..10_000 => format!("{millis:.2} ms"),
        10_000..100_000 => format!("{millis:.1} ms"),
        _ => format!("{millis:.0} ms"),
    }
}

pub(crate) fn bytes(bytes: usize) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let unit = (bytes.max(1).ilog2() / 10).min(3);
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let amount = bytes as f64 / f64::from(1_u32 << (10 * unit));
    match unit {
        0 => format!("{bytes} B"),
        unit => format!("{amount:.1} {}", UNITS[unit as usize]),
    }
}

/// How long it is since a time of the admin socket.
pub(crate) fn since(time: &str, now: SystemTime) -> String {
    let Some(then) = unix_time(time) else {
        return UNKNOWN.into();
    };
    let now = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let seconds = now.saturating_sub(then).as_secs();
    match seconds {
        ..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// The time of day, UTC, of a time of the admin socket.
pub(crate) fn clock(time: &str) -> &str {
    time.split_once('T')
        .map_or(UNKNOWN, |(_, clock)| clock.trim_end_matches('Z'))
}

/// Parses what the admin socket writes: `2026-01-31T23:59:59.999Z`.
pub(crate) fn unix_time(time: &str) -> Option<Duration> {
    let (date, clock) = time.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let of_day = Duration::try_from_secs_f64(hour * 3_600.0 + minute * 60.0 + second).ok()?;
    Some(Duration::from_secs(days.checked_sub(719_468)? * 86_400) + of_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_steer_the_terminal() {
        assert_eq!(text("a\x1b[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\nc\\u{202e}d");
        assert_eq!(text("grüße 日本 🌍"), "grüße 日本 🌍");
    }

    #[test]
    fn channels_that_would_not_be_seen_are_quoted() {
        assert_eq!(channel(""), "\"\"");
        assert_eq!(channel(" "), "\" \"");
        assert_eq!(channel("earth"), "earth");
    }

    #[test]
    fn values_take_one_line() {
        assert_eq!(value(&serde_json::json!("hi\nthere")), "hi\\nthere");
        assert_eq!(
            value(&serde_json::json!({"a": [1, null]})),
            r#"{"a":[1,null]}"#
        );
    }

    #[test]
    fn ids_show_their_end() {
        assert_eq!(short("12D3KooWAbCdEfGhIjKl"), "…EfGhIjKl");
        assert_eq!(short("12345678"), "12345678");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(rtt(None), "-");
        assert_eq!(rtt(Some(312)), "0.31 ms");
        assert_eq!(rtt(Some(87_432)), "87.4 ms");
        assert_eq!(rtt(Some(1_250_000)), "1250 ms");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
    }

    #[test]
    fn times_of_the_admin_socket_are_understood() {
        for (time, millis) in [
            ("1970-01-01T00:00:00.000Z", 0),
            ("2000-02-29T00:00:00.000Z", 951_782_400_000),
            ("2025-12-31T23:59:59.999Z", 1_767_225_599_999),
        ] {
            let parsed = unix_time(time).expect(time);
            assert_eq!(
                parsed.as_secs_f64(),
                Duration::from_millis(millis).as_secs_f64(),
                "{time}"
            );
        }
        for nonsense in [
            "",
            "now",
            "2026-13-01T00:00:00Z",
            "2026-01-01",
            "2026-01-01T00:00:-1Z",
        ] {
            assert_eq!(unix_time(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn ages_are_told_in_two_units() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(2 * 86_400);
        assert_eq!(since("1970-01-02T23:59:59.000Z", now), "1s");
        assert_eq!(since("1970-01-02T23:50:55.000Z", now), "9m05s");
        assert_eq!(since("1970-01-02T00:00:00.000Z", now), "1d00h");
        assert_eq!(
            since("1971-01-01T00:00:00.000Z", now),
            "0s",
            "their clock is ahead"
        );
        assert_eq!(since("soon", now), "-");
        assert_eq!(clock("1970-01-02T23:50:55.000Z"), "23:50:55.000");
    }
}
