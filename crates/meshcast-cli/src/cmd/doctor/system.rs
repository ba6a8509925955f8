//! What the machine tells of the processes of nodes. On Linux; elsewhere it cannot be told.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{Check, or_pass};
use crate::survey::Reports;

/// Files that a process has open, and how many it may have.
pub(super) fn descriptors(nodes: &[&Reports]) -> Vec<Check> {
    let check = "descriptors";
    let (mut found, mut most, mut seen) = (Vec::new(), None, BTreeMap::new());
    for node in nodes {
        let pid = node.node.node.pid;
        // Several nodes may be one process.
        if seen.insert(pid, node.name()).is_some() {
            continue;
        }
        let Some((open, limit)) = open_files(Path::new("/proc"), pid) else {
            continue;
        };
        let share = open * 100 / limit.max(1);
        most = most.max(Some(share));
        if share >= MANY {
            let reason = format!("its process has {open} files open of {limit} it may");
            let help = "raise the limit (ulimit -n, or LimitNOFILE of its unit)";
            found.push(Check::warn(check, reason).at(node.name()).help(help));
        }
    }
    match most {
        None => vec![Check::skip(
            check,
            "/proc tells nothing of the processes of the nodes",
        )],
        Some(most) => or_pass(
            found,
            check,
            format!("at most {most} % of what a process may have"),
        ),
    }
}

/// The number of open files of a process, and its limit.
fn open_files(proc: &Path, pid: u32) -> Option<(u64, u64)> {
    let process = proc.join(pid.to_string());
    let open = fs::read_dir(process.join("fd")).ok()?.count();
    let limits = fs::read_to_string(process.join("limits")).ok()?;
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    let soft = line.split_whitespace().nth(3)?;
    let limit = match soft {
        "unlimited" => u64::MAX,
        number => number.parse().ok()?,
    };
    Some((u64::try_from(open).ok()?, limit))
}

/// Ports at which somebody else listens too, at another address: who dials the node there may
/// reach that one.
pub(super) fn port(nodes: &[&Reports]) -> Vec<Check> {
    let check = "port";
    let tables: Vec<_> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .collect();
    let pids: BTreeSet<u32> = nodes.iter().map(|node| node.node.node.pid).collect();
    let own: Option<Vec<_>> = pids
        .iter()
        .map(|pid| sockets(Path::new("/proc"), *pid))
        .collect();
    let Some(own) = own.filter(|_| !tables.is_empty()) else {
        return vec![Check::skip(check, "/proc does not tell who listens where")];
    };
    let own: BTreeSet<u64> = own.into_iter().flatten().collect();
    let others = tables.iter().flat_map(|table| listening(table));
    let others = others.filter(|(_, socket)| !own.contains(socket));
    let others: BTreeSet<u16> = others.map(|(port, _)| port).collect();
    let mut found = Vec::new();
    for node in nodes {
        let addresses = node.node.node.listen_addresses.iter();
        let ports: BTreeSet<u16> = addresses.filter_map(|address| port_of(address)).collect();
        for port in ports.intersection(&others) {
            let reason = format!("port {port} is shared: another program listens at it too");
            let help = "give each program a port of its own: an address may lead to the other one";
            found.push(Check::warn(check, reason).at(node.name()).help(help));
        }
    }
    or_pass(
        found,
        check,
        "nobody else listens at the ports of the nodes",
    )
}

/// Of `/ip4/127.0.0.1/tcp/4001`.
fn port_of(address: &str) -> Option<u16> {
    let mut parts = address.split('/').skip_while(|part| *part != "tcp");
    parts.nth(1)?.parse().ok()
}

/// The numbers of the sockets that a process has open.
fn sockets(proc: &Path, pid: u32) -> Option<Vec<u64>> {
    let files = fs::read_dir(proc.join(pid.to_string()).join("fd")).ok()?;
    let sockets = files.filter_map(|file| {
        let link = fs::read_link(file.ok()?.path()).ok()?;
        let number = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        number.parse().ok()
    });
    Some(sockets.collect())
}

/// The ports of a table of the kernel at which somebody listens, and the number of the socket.
fn listening(table: &str) -> impl Iterator<Item = (u16, u64)> {
    table.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (_, port) = words.get(1)?.rsplit_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let socket = words.get(9)?.parse().ok()?;
        (words.get(3) == Some(&LISTEN)).then_some((port, socket))
    })
}

/// As the kernel writes that a socket listens.
const LISTEN: &str = "0A";
/// In percent: a node needs the rest when others connect anew.
const MANY: u64 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0FA1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0200007F:0FA1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0100007F:0FA1 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 3 1
";

    #[test]
    fn sockets_that_listen_are_counted_by_port() {
        assert_eq!(listening(TABLE).collect::<Vec<_>>(), [(4001, 1), (4001, 2)]);
    }

    #[test]
    fn open_files_are_counted_beside_the_limit() {
        let proc = tempfile::tempdir().expect("writable");
        let fd = proc.path().join("7/fd");
        fs::create_dir_all(&fd).expect("writable");
        for file in ["0", "1", "2"] {
            fs::write(fd.join(file), "").expect("writable");
        }
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max open files            64                   4096                 files\n";
        fs::write(proc.path().join("7/limits"), limits).expect("writable");
        assert_eq!(open_files(proc.path(), 7), Some((3, 64)));
        assert_eq!(open_files(proc.path(), 8), None);
    }

    #[test]
    fn the_port_of_an_address_is_found() {
        assert_eq!(port_of("/ip4/127.0.0.1/tcp/4001"), Some(4001));
        assert_eq!(port_of("/ip4/127.0.0.1/udp/4001/quic-v1"), None);
    }
}
