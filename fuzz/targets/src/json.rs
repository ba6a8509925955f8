//! JSON that is to be posted.

use meshcast_value::{DecodeLimits, JsonError, Value};
use serde_json::Value as Json;

use crate::memory::peak;

const MEMORY: usize = 256 * 1024;

pub(crate) fn run(data: &[u8]) {
    let limits = DecodeLimits {
        max_memory: MEMORY,
        ..DecodeLimits::default()
    };
    let (peak, read) = peak(|| Value::from_json_text_within(data, &limits));
    assert!(peak <= 2 * MEMORY + 2 * data.len() + 4096, "{peak}");
    // A byte order mark is passed over; serde_json knows none.
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let theirs = serde_json::from_slice::<Json>(data);
    match (&read, &theirs) {
        (Ok(value), Ok(json)) => {
            let mut bytes = Vec::new();
            value
                .encode(&mut bytes)
                .expect("within the limits of a value");
            // serde_json rounds long integers.
            if !text_has_long_digits(data) {
                // As values, since 1e0 is a float to serde_json.
                let ours = value.deserialize::<Json>().map(Value::from_json);
                assert_eq!(ours, Ok(Value::from_json(json.clone())));
            }
        }
        (Err(JsonError::Syntax { .. }), Ok(json)) => panic!("refused {json}: {read:?}"),
        // serde_json ends at 128 levels, rounds what is beyond 64 bits and calls that out of range
        // from 1e309 on.
        (Ok(_), Err(error)) => assert!(
            error.to_string().contains("recursion limit")
                || error.to_string().contains("out of range"),
            "took what serde_json does not: {error}"
        ),
        _ => {}
    }
}

fn text_has_long_digits(data: &[u8]) -> bool {
    data.split(|byte| !byte.is_ascii_digit())
        .any(|digits| digits.len() > 18)
}
