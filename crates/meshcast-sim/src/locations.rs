//! Where regions are.

/// Where a region is, to show it on a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// The city it is in or near.
    pub city: &'static str,
    /// Degrees north of the equator.
    pub latitude: f32,
    /// Degrees east of Greenwich.
    pub longitude: f32,
}

/// The location of a region, if its name is one that clouds use: that of an airport (`fra`, as at
/// Fly), one of AWS (`eu-central-1`), of Google (`europe-west3`; Deno Deploy puts `gcp-` before it)
/// or of Azure (`germanywestcentral`).
///
/// To the nearest city, in whole tenths of a degree: for maps, not for distances.
///
/// ```
/// use meshcast_sim::location;
///
/// assert_eq!(location("nrt").map(|it| it.city), Some("Tokyo"));
/// assert_eq!(location("gcp-asia-northeast1"), location("nrt"));
/// assert_eq!(location("moon"), None);
/// ```
pub fn location(region: &str) -> Option<Location> {
    let region = region.strip_prefix("gcp-").unwrap_or(region);
    let is_there = |names: &str| names.split(' ').any(|name| name == region);
    let found = LOCATIONS.iter().find(|(.., names)| is_there(names));
    found.map(|(city, latitude, longitude, _)| Location {
        city,
        latitude: *latitude,
        longitude: *longitude,
    })
}

/// City, latitude, longitude, and the regions there.
#[rustfmt::skip]
const LOCATIONS: [(&str, f32, f32, &str); 51] = [
    ("Amsterdam", 52.4, 4.9, "ams europe-west4 westeurope"),
    ("Atlanta", 33.7, -84.4, "atl"),
    ("Bahrain", 26.1, 50.6, "bah me-south-1"),
    ("Bogotá", 4.7, -74.1, "bog"),
    ("Boston", 42.4, -71.1, "bos"),
    ("Brussels", 50.5, 3.8, "bru europe-west1"),
    ("Bucharest", 44.4, 26.1, "otp"),
    ("Buenos Aires", -34.6, -58.4, "eze"),
    ("Calgary", 51.0, -114.1, "yyc ca-west-1"),
    ("Cape Town", -33.9, 18.4, "cpt af-south-1 southafricawest"),
    ("Chicago", 41.9, -87.6, "ord northcentralus"),
    ("Columbus", 40.0, -83.0, "cmh us-east-2 us-east5"),
    ("Dallas", 32.8, -96.8, "dfw us-south1 southcentralus"),
    ("Delhi", 28.6, 77.2, "del asia-south2"),
    ("Denver", 39.7, -105.0, "den westcentralus"),
    ("Doha", 25.3, 51.5, "doh me-central1 qatarcentral"),
    ("Dubai", 25.2, 55.3, "dxb me-central-1 uaenorth"),
    ("Dublin", 53.3, -6.3, "dub eu-west-1 northeurope"),
    ("Frankfurt", 50.1, 8.7, "fra eu-central-1 europe-west3 germanywestcentral"),
    ("Hong Kong", 22.3, 114.2, "hkg ap-east-1 asia-east2 eastasia"),
    ("Iowa", 41.3, -95.9, "dsm us-central1 centralus"),
    ("Jakarta", -6.2, 106.8, "cgk ap-southeast-3 asia-southeast2"),
    ("Johannesburg", -26.2, 28.0, "jnb africa-south1 southafricanorth"),
    ("London", 51.5, -0.1, "lhr eu-west-2 europe-west2 uksouth"),
    ("Los Angeles", 34.1, -118.2, "lax us-west2"),
    ("Madrid", 40.4, -3.7, "mad eu-south-2 europe-southwest1 spaincentral"),
    ("Melbourne", -37.8, 145.0, "mel ap-southeast-4 australia-southeast2 australiasoutheast"),
    ("Miami", 25.8, -80.2, "mia"),
    ("Milan", 45.5, 9.2, "mxp eu-south-1 europe-west8 italynorth"),
    ("Montreal", 45.5, -73.6, "yul ca-central-1 northamerica-northeast1 canadaeast"),
    ("Mumbai", 19.1, 72.9, "bom ap-south-1 asia-south1 centralindia"),
    ("Osaka", 34.7, 135.5, "kix ap-northeast-3 asia-northeast2 japanwest"),
    ("Oregon", 45.6, -121.2, "pdx us-west-2 us-west1"),
    ("Paris", 48.9, 2.4, "cdg eu-west-3 europe-west9 francecentral"),
    ("Phoenix", 33.4, -112.1, "phx westus3"),
    ("Querétaro", 20.6, -100.4, "qro mx-central-1 northamerica-south1 mexicocentral"),
    ("Salt Lake City", 40.8, -111.9, "slc us-west3"),
    ("San José, California", 37.3, -121.9, "sjc us-west-1 westus"),
    ("Santiago", -33.4, -70.7, "scl southamerica-west1 chilecentral"),
    ("São Paulo", -23.5, -46.6, "gru sa-east-1 southamerica-east1 brazilsouth"),
    ("Seattle", 47.6, -122.3, "sea westus2"),
    ("Seoul", 37.6, 127.0, "icn ap-northeast-2 asia-northeast3 koreacentral"),
    ("Singapore", 1.4, 103.8, "sin ap-southeast-1 asia-southeast1 southeastasia"),
    ("Stockholm", 59.3, 18.1, "arn eu-north-1 europe-north2 swedencentral"),
    ("Sydney", -33.9, 151.2, "syd ap-southeast-2 australia-southeast1 australiaeast"),
    ("Tel Aviv", 32.1, 34.8, "tlv il-central-1 me-west1 israelcentral"),
    ("Tokyo", 35.7, 139.7, "nrt ap-northeast-1 asia-northeast1 japaneast"),
    ("Toronto", 43.7, -79.4, "yyz northamerica-northeast2 canadacentral"),
    ("Virginia", 39.0, -77.5, "iad us-east-1 us-east4 eastus eastus2"),
    ("Warsaw", 52.2, 21.0, "waw europe-central2 polandcentral"),
    ("Zurich", 47.4, 8.5, "zrh eu-central-2 europe-west6 switzerlandnorth"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::KNOWN_REGIONS;

    #[test]
    fn each_region_with_known_round_trips_is_on_the_map() {
        for region in KNOWN_REGIONS {
            assert!(location(region).is_some(), "{region}");
        }
    }

    #[test]
    fn each_name_is_one_place_on_earth() {
        let mut names = BTreeSet::new();
        for (city, latitude, longitude, regions) in LOCATIONS {
            assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0, "{city}");
            for region in regions.split(' ') {
                assert!(names.insert(region), "{region} is in two places");
            }
        }
    }
}
