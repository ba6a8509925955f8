//! Numbers and times on a command line, and what is wrong with those that are none.

use std::{fmt::Display, str::FromStr, time::Duration};

/// A whole number that is not 0.
pub(crate) fn at_least_one<T: FromStr + Display + PartialOrd + From<u8>>(
    text: &str,
) -> Result<T, String> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<T>() {
        Ok(number) if number >= T::from(1) => Ok(number),
        Ok(_) => Err("must be at least 1".to_owned()),
        Err(_) if is_whole => Err("is too large".to_owned()),
        Err(_) => Err("must be a whole number".to_owned()),
    }
}

/// `65536`, `64KiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let each: u64 = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        unit => {
            return Err(format!(
                "{unit:?} is no unit of bytes (use B, KiB, MiB or GiB)"
            ));
        }
    };
    let number = number.parse().ok().and_then(|it: u64| it.checked_mul(each));
    number.ok_or_else(|| format!("{text:?} is no number of bytes"))
}

/// `5`, `1.5s`, `200ms`, `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit of time (use ms, s, m or h)")),
    };
    let number: f64 = text[..text.len() - unit.len()]
        .parse()
        .map_err(|_| "no number".to_owned())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

/// The same, of things that take some time.
pub(crate) fn some_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be longer than no time".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_from_one_on_is_told_why() {
        assert_eq!(at_least_one("7"), Ok(7_u64));
        for (text, why) in [
            ("0", "must be at least 1"),
            ("-1", "must be a whole number"),
            ("1.5", "must be a whole number"),
            ("", "must be a whole number"),
            ("65536", "is too large"),
        ] {
            assert_eq!(at_least_one::<u16>(text), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, is) in [("80", 80), ("1KiB", 1024), ("2 MiB", 2 << 20), ("1B", 1)] {
            assert_eq!(bytes(text), Ok(is), "{text}");
        }
        for nonsense in ["", "KiB", "1kb", "1.5MiB", "99999999999GiB"] {
            assert!(bytes(nonsense).is_err(), "{nonsense}");
        }
    }
    #[test]
    fn times_have_units() {
        assert_eq!(duration("5"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for nonsense in ["", "s", "-1", "1d", "1e400", "9999999999999999999999h"] {
            assert!(duration(nonsense).is_err(), "{nonsense}");
        }
    }
}
