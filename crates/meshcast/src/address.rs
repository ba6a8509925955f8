//! Addresses: what one is good for, whoever told it, and how people write them.
//!
//! May use: nothing of the crate.
//! Must not: dial, listen or look up anything.

#[cfg(feature = "metrics")]
mod metrics;
mod written;

use libp2p::{Multiaddr, multiaddr::Protocol};

#[cfg(feature = "metrics")]
pub use self::metrics::{MetricsAddress, MetricsAddressError};
pub use self::written::{Address, AddressError};

/// From where an address leads to the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reach {
    /// From the same machine.
    Machine,
    /// From the same network segment. Cloud providers have their metadata services there.
    Segment,
    /// From wherever there is a way to it.
    Beyond,
}

pub(crate) fn reach(address: &Multiaddr) -> Reach {
    let is_link_local = address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_link_local(),
        Protocol::Ip6(ip) => ip.is_unicast_link_local(),
        _ => false,
    });
    if is_loopback(address) {
        Reach::Machine
    } else if is_link_local {
        Reach::Segment
    } else {
        Reach::Beyond
    }
}

/// Whether an address is reached only on this machine.
pub(crate) fn is_loopback(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_loopback(),
        Protocol::Ip6(ip) => ip.is_loopback(),
        Protocol::Memory(_) => true,
        _ => false,
    })
}

/// The seed that stands for the nodes of this user on this machine.
#[cfg(feature = "admin")]
pub(crate) fn local_seed() -> Multiaddr {
    Multiaddr::empty().with(Protocol::Unix("meshcast".into()))
}

/// Whether it is [`local_seed`]. The user cannot give such a one.
#[cfg(feature = "admin")]
pub(crate) fn is_local_seed(address: &Multiaddr) -> bool {
    matches!(address.iter().next(), Some(Protocol::Unix(_)))
}

/// Whether it has the form of an address that members listen on: one host, and a TCP port.
pub(crate) fn is_listener(address: &Multiaddr) -> bool {
    let parts: Vec<_> = address.iter().collect();
    let (host, port) = match parts[..] {
        [Protocol::Ip4(ip), Protocol::Tcp(port)] => {
            let several = ip.is_multicast() || ip.is_broadcast();
            (!ip.is_unspecified() && !several, port)
        }
        [Protocol::Ip6(ip), Protocol::Tcp(port)] => {
            (!ip.is_unspecified() && !ip.is_multicast(), port)
        }
        _ => return false,
    };
    host && port != 0
}

/// What of its addresses a node tells to whom this reach leads. An advertised address replaces the
/// listen addresses, which others cannot reach then; but on its own machine they can.
pub(crate) fn told<'a>(
    advertised: &'a [Multiaddr],
    listening: impl Iterator<Item = &'a Multiaddr>,
    near: Reach,
) -> impl Iterator<Item = &'a Multiaddr> {
    let stays = |it: &&Multiaddr| advertised.is_empty() || reach(it) == Reach::Machine;
    let all = advertised.iter().chain(listening.filter(stays));
    all.filter(move |address| reach(address) >= near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_advertised_takes_the_place_of_what_others_cannot_reach() {
        let public = [parse("/ip4/192.0.2.1/tcp/4001")];
        let (own, inside) = (
            parse("/ip4/127.0.0.1/tcp/1"),
            parse("/ip4/172.17.0.2/tcp/1"),
        );
        let listening = [own.clone(), inside.clone()];
        let told = |advertised, near| -> Vec<Multiaddr> {
            told(advertised, listening.iter(), near).cloned().collect()
        };
        assert_eq!(told(&public, Reach::Beyond), public);
        assert_eq!(
            told(&public, Reach::Machine),
            [public[0].clone(), own.clone()]
        );
        assert_eq!(told(&[], Reach::Beyond), std::slice::from_ref(&inside));
        assert_eq!(told(&[], Reach::Machine), [own, inside]);
    }

    fn parse(address: &str) -> Multiaddr {
        address.parse().expect("an address")
    }

    #[test]
    fn addresses_of_one_machine_or_segment_are_told_from_others() {
        for (address, expected) in [
            ("/ip4/127.0.0.2/tcp/1", Reach::Machine),
            ("/ip6/::1/tcp/1", Reach::Machine),
            ("/ip4/169.254.169.254/tcp/80", Reach::Segment),
            ("/ip6/fe80::1/tcp/1", Reach::Segment),
            ("/ip4/10.0.0.1/tcp/1", Reach::Beyond),
            ("/ip6/2001:db8::1/tcp/1", Reach::Beyond),
        ] {
            assert_eq!(reach(&parse(address)), expected, "{address}");
        }
    }

    #[test]
    fn only_one_host_and_a_port_is_where_a_member_listens() {
        for address in ["/ip4/192.0.2.1/tcp/4001", "/ip6/2001:db8::1/tcp/1"] {
            assert!(is_listener(&parse(address)), "{address}");
        }
        for address in [
            "/ip4/192.0.2.1/tcp/0",
            "/ip4/0.0.0.0/tcp/4001",
            "/ip6/::/tcp/4001",
            "/ip4/255.255.255.255/tcp/4001",
            "/ip4/224.0.0.1/tcp/4001",
            "/ip6/ff02::1/tcp/4001",
            "/ip4/192.0.2.1/udp/4001",
            "/ip4/192.0.2.1",
            "/dns4/internal.example/tcp/80",
            "/ip4/192.0.2.1/tcp/4001/ws",
            "/ip4/192.0.2.1/tcp/1/ip4/192.0.2.2/tcp/2",
        ] {
            assert!(!is_listener(&parse(address)), "{address}");
        }
        assert!(!is_listener(&Multiaddr::empty()));
    }

    #[test]
    fn loopback_is_what_others_cannot_reach() {
        for (address, expected) in [
            ("/ip4/127.0.0.1/tcp/1", true),
            ("/ip6/::1/tcp/1", true),
            ("/ip4/0.0.0.0/tcp/1", false),
            ("/ip4/192.0.2.1/tcp/1", false),
            ("/dns/example.org/tcp/1", false),
        ] {
            assert_eq!(
                is_loopback(&address.parse().expect("an address")),
                expected,
                "{address}"
            );
        }
    }
}
