//! Addresses as people write them.

use std::{
    convert::Infallible,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use libp2p::{Multiaddr, multiaddr::Protocol};
use serde::{Deserialize, Serialize};

/// An address of a member, in any of the usual forms: a [`SocketAddr`], a [`Multiaddr`], or text
/// such as `192.0.2.1:4001`, `[2001:db8::1]:4001`, `mesh.example:4001`, `/ip4/192.0.2.1/tcp/4001`,
/// `/dns/mesh.example/tcp/4001`.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(Multiaddr);

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address: write host:port or /dns/host/tcp/port")]
pub struct AddressError {
    /// The text.
    pub text: String,
}

impl Address {
    /// The IP address and port; `None` if it has a name instead, or is no TCP address.
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        let mut parts = self.0.iter();
        let ip: IpAddr = match parts.next()? {
            Protocol::Ip4(ip) => ip.into(),
            Protocol::Ip6(ip) => ip.into(),
            _ => return None,
        };
        match (parts.next(), parts.next()) {
            (Some(Protocol::Tcp(port)), None) => Some(SocketAddr::new(ip, port)),
            _ => None,
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let parsed = if text.starts_with('/') {
            text.parse().ok()
        } else {
            name_and_port(text)
        };
        parsed.map(Self).ok_or_else(|| AddressError {
            text: text.to_owned(),
        })
    }
}

/// `None` if it is not a name as DNS has them, and a port.
fn name_and_port(text: &str) -> Option<Multiaddr> {
    let (name, port) = text.rsplit_once(':')?;
    let is_label = |label: &str| {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.len() <= 63 && label.chars().all(letters)
    };
    // A dot at the end says that the name is complete.
    let labels = name.strip_suffix('.').unwrap_or(name);
    // A last label of digits alone is an address that somebody mistyped.
    let is_name = name.len() <= 254
        && labels.split('.').all(is_label)
        && !labels
            .rsplit('.')
            .next()?
            .chars()
            .all(|c| c.is_ascii_digit());
    let port = port.parse().ok()?;
    is_name.then(|| {
        Multiaddr::empty()
            .with(Protocol::Dns(name.into()))
            .with(Protocol::Tcp(port))
    })
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        let ip = Multiaddr::from(address.ip());
        Self(ip.with(Protocol::Tcp(address.port())))
    }
}

impl From<Multiaddr> for Address {
    fn from(address: Multiaddr) -> Self {
        Self(address)
    }
}

impl TryFrom<&str> for Address {
    type Error = AddressError;

    fn try_from(text: &str) -> Result<Self, AddressError> {
        text.parse()
    }
}

/// For what is an address whatever it holds, such as a [`SocketAddr`].
impl From<Infallible> for AddressError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<Address> for Multiaddr {
    fn from(Address(address): Address) -> Self {
        address
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// As libp2p writes it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
