//! How far regions are apart.

use std::time::Duration;

/// The round trip between two regions, if both are [known](KNOWN_REGIONS) and not the same.
///
/// Measured in the network of a large provider: Microsoft, *Azure network round-trip latency
/// statistics* (`learn.microsoft.com/azure/networking/azure-network-latency`), the 95th percentile
/// of 30 days up to 30 July 2026, in whole milliseconds. The two directions differ by a few
/// milliseconds at most in nearly all cases; of two figures the higher one stands here. Regions are
/// called by the airports near them, and were taken to be West Europe (`ams`), France Central
/// (`cdg`), Germany West Central (`fra`), Brazil South (`gru`), East US (`iad`), South Africa North
/// (`jnb`), UK South (`lhr`), Japan East (`nrt`), North Central US (`ord`), Southeast Asia (`sin`),
/// West US (`sjc`), Australia East (`syd`) and Canada Central (`yyz`).
///
/// ```
/// use std::time::Duration;
///
/// assert_eq!(meshcast_sim::round_trip("nrt", "fra"), Some(Duration::from_millis(250)));
/// assert_eq!(meshcast_sim::round_trip("fra", "moon"), None);
/// ```
pub fn round_trip(a: &str, b: &str) -> Option<Duration> {
    let place = |region| KNOWN_REGIONS.iter().position(|known| *known == region);
    let (a, b) = (place(a)?, place(b)?);
    let millis = ROUND_TRIPS.get(a.max(b))?.get(a.min(b))?;
    Some(Duration::from_millis(*millis))
}

/// The regions whose distances are known.
pub const KNOWN_REGIONS: [&str; 13] = [
    "ams", "cdg", "fra", "gru", "iad", "jnb", "lhr", "nrt", "ord", "sin", "sjc", "syd", "yyz",
];

/// Milliseconds from each to those before it.
const ROUND_TRIPS: [&[u64]; KNOWN_REGIONS.len()] = [
    &[],
    &[15],
    &[14, 14],
    &[191, 193, 201],
    &[89, 90, 97, 121],
    &[171, 165, 174, 327, 226],
    &[13, 12, 19, 184, 80, 169],
    &[242, 245, 250, 275, 165, 255, 237],
    &[106, 109, 115, 142, 26, 241, 100, 152],
    &[181, 176, 179, 337, 229, 211, 183, 74, 214],
    &[153, 152, 157, 170, 74, 278, 144, 109, 53, 171],
    &[282, 280, 291, 298, 207, 348, 277, 105, 191, 98, 141],
    &[92, 92, 101, 133, 22, 236, 83, 165, 23, 226, 70, 207],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_pairs_are_known_and_the_same_both_ways() {
        for (i, a) in KNOWN_REGIONS.iter().enumerate() {
            assert_eq!(ROUND_TRIPS[i].len(), i, "{a}");
            for b in KNOWN_REGIONS {
                assert_eq!(round_trip(a, b), round_trip(b, a));
                assert_eq!(round_trip(a, b).is_none(), *a == b, "{a} {b}");
            }
        }
        assert!(KNOWN_REGIONS.is_sorted());
    }

    #[test]
    fn no_detour_over_one_region_is_much_faster() {
        let rtt = |a: &str, b: &str| round_trip(a, b).unwrap_or_default().as_secs_f64();
        for a in KNOWN_REGIONS {
            for b in KNOWN_REGIONS {
                let detours = KNOWN_REGIONS.map(|over| rtt(a, over) + rtt(over, b));
                let shortest = detours.into_iter().fold(f64::MAX, f64::min);
                assert!(rtt(a, b) <= 1.25 * shortest, "{a} {b}: a slip of the pen?");
            }
        }
    }
}
