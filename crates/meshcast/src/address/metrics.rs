//! The address of metrics.

use std::{
    convert::Infallible,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// The address at which a node serves its metrics: an IP address and a port, or as text a port
/// alone, which is one of the loopback interface. Nothing else than what is written out is listened
/// on.
///
/// ```
/// use meshcast::metrics::MetricsAddress;
///
/// let address: MetricsAddress = "9464".parse()?;
/// assert_eq!(address.to_string(), "127.0.0.1:9464");
/// let address: MetricsAddress = "[::]:9464".parse()?; // all of the machine
/// # Ok::<(), meshcast::metrics::MetricsAddressError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MetricsAddress(SocketAddr);

/// A text that says nowhere to serve metrics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is neither a port nor an IP address and a port, such as 127.0.0.1:9464")]
pub struct MetricsAddressError {
    /// The text.
    pub text: String,
}

impl MetricsAddress {
    /// The address and the port.
    pub const fn socket_addr(&self) -> SocketAddr {
        self.0
    }
}

impl FromStr for MetricsAddress {
    type Err = MetricsAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let port = text.parse::<u16>().ok();
        let address = port.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let address = address.or_else(|| text.parse().ok());
        address.map(Self).ok_or_else(|| MetricsAddressError {
            text: text.to_owned(),
        })
    }
}

impl From<SocketAddr> for MetricsAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address)
    }
}

impl TryFrom<&str> for MetricsAddress {
    type Error = MetricsAddressError;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Infallible> for MetricsAddressError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for MetricsAddress {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for MetricsAddress {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Port(u16),
            Text(String),
        }
        match Form::deserialize(from)? {
            Form::Port(port) => Ok(Self((Ipv4Addr::LOCALHOST, port).into())),
            Form::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_one_of_loopback_and_all_else_must_be_written_out() {
        for (text, address) in [
            ("9464", "127.0.0.1:9464"),
            (" 0 ", "127.0.0.1:0"),
            ("0.0.0.0:9464", "0.0.0.0:9464"),
            ("[::1]:9464", "[::1]:9464"),
        ] {
            let parsed: MetricsAddress = text.parse().expect(text);
            assert_eq!(parsed.to_string(), address);
        }
        for text in [
            "",
            ":9464",
            "localhost:9464",
            "65536",
            "::1",
            "0.0.0.0",
            "-1",
        ] {
            let error = text.parse::<MetricsAddress>().expect_err(text);
            assert_eq!(error.text, text);
        }
    }
}
