//! A network of our own: a namespace for each node, joined by bridges in a hub, with faults that a
//! kernel without packet filters and emulators has.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::fd::AsFd,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use anyhow::{Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Namespaces for the nodes of a fleet. They are deleted when this is dropped, and those of a run
/// that was killed when the next one begins.
#[derive(Debug)]
pub struct Net {
    prefix: String,
    nodes: usize,
    mute: BTreeSet<(usize, usize)>,
    black: BTreeSet<(usize, usize)>,
}

/// Why there can be no network of our own here.
#[derive(Debug, thiserror::Error)]
#[error("no network namespaces: {0}")]
pub struct Unavailable(String);

impl Net {
    /// Makes the namespaces.
    ///
    /// # Errors
    /// [`Unavailable`] says what is missing; nothing is left behind.
    pub fn new(nodes: usize) -> Result<Self, Unavailable> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if !rustix::process::geteuid().is_root() {
            return Err(Unavailable("they take root".to_owned()));
        }
        sweep();
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let net = Self {
            prefix: format!("{PREFIX}{}-{made}", process::id()),
            nodes,
            mute: BTreeSet::new(),
            black: BTreeSet::new(),
        };
        net.build()
            .map_err(|error| Unavailable(format!("{error:#}")))?;
        Ok(net)
    }

    /// The address of a node.
    pub fn address(&self, node: usize) -> Ipv4Addr {
        let host = u8::try_from(node + 1).unwrap_or(u8::MAX);
        Ipv4Addr::new(10, 77, 0, host)
    }

    /// A command that runs at a node. Its process is that of the program.
    pub fn command(&self, node: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.namespace(node)])
            .arg(program);
        command
    }

    /// The address of a node, to connect to what it serves there.
    pub fn inside(&self, node: usize) -> Inside {
        Inside(Path::new("/run/netns").join(self.namespace(node)))
    }

    /// Only nodes of the same group reach each other. Packets between groups vanish: no link goes
    /// down, nobody is told. Nodes in no group are alone with each other.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn split(&mut self, groups: &[&[usize]]) -> Result<()> {
        ensure!(groups.len() < BRIDGES, "there are {BRIDGES} bridges");
        for node in 0..self.nodes {
            let group = groups.iter().position(|group| group.contains(&node));
            self.attach(node, group.unwrap_or(groups.len()))?;
        }
        Ok(())
    }

    /// Nothing of a node arrives anywhere, and nothing arrives there, as if a cable had been cut
    /// far away.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn detach(&mut self, node: usize) -> Result<()> {
        ip(&["-n", &self.hub(), "link", "set", &port(node), "nomaster"])
    }

    /// Packets of one node to another are lost, but not what comes back.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn mute(&mut self, from: usize, to: usize) -> Result<()> {
        let (namespace, address) = (self.namespace(from), self.address(to).to_string());
        // A peer that does not exist: the bridge finds no port for it.
        ip(&[
            "-n",
            &namespace,
            "neigh",
            "replace",
            &address,
            "lladdr",
            NOBODY,
            "dev",
            DEVICE,
            "nud",
            "permanent",
        ])?;
        self.mute.insert((from, to));
        Ok(())
    }

    /// Nothing passes between two nodes any more, and neither is told: no reset, no error. The
    /// others go on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn cut(&mut self, a: usize, b: usize) -> Result<()> {
        self.mute(a, b)?;
        self.mute(b, a)
    }

    /// The link of a node goes down at the node itself, or up.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn link(&mut self, node: usize, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        ip(&["-n", &self.namespace(node), "link", "set", DEVICE, state])
    }

    /// A node knows no way to another: it is told at once, with an error.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn blackhole(&mut self, from: usize, to: usize) -> Result<()> {
        let (namespace, address) = (self.namespace(from), self.address(to).to_string());
        ip(&["-n", &namespace, "route", "add", "blackhole", &address])?;
        self.black.insert((from, to));
        Ok(())
    }

    /// Packets of a node pass a bottleneck, such as `1mbit`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn narrow(&mut self, node: usize, rate: &str) -> Result<()> {
        let namespace = self.namespace(node);
        run(
            "tc",
            &[
                "-n", &namespace, "qdisc", "replace", "dev", DEVICE, "root", "tbf", "rate", rate,
                "burst", "32kbit", "latency", "50ms",
            ],
        )
    }

    /// Takes splits, mutes and blackholes back.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn heal(&mut self) -> Result<()> {
        for node in 0..self.nodes {
            self.attach(node, 0)?;
        }
        for (from, to) in std::mem::take(&mut self.mute) {
            let (namespace, address) = (self.namespace(from), self.address(to).to_string());
            ip(&["-n", &namespace, "neigh", "del", &address, "dev", DEVICE])?;
        }
        for (from, to) in std::mem::take(&mut self.black) {
            let (namespace, address) = (self.namespace(from), self.address(to).to_string());
            ip(&["-n", &namespace, "route", "del", "blackhole", &address])?;
        }
        Ok(())
    }

    fn build(&self) -> Result<()> {
        let hub = self.hub();
        ip(&["netns", "add", &hub])?;
        for bridge in 0..BRIDGES {
            let name = bridge_name(bridge);
            ip(&["-n", &hub, "link", "add", &name, "type", "bridge"])?;
            ip(&["-n", &hub, "link", "set", &name, "up"])?;
        }
        for node in 0..self.nodes {
            let (namespace, port) = (self.namespace(node), port(node));
            let address = format!("{}/24", self.address(node));
            ip(&["netns", "add", &namespace])?;
            ip(&[
                "-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", DEVICE, "netns",
                &namespace,
            ])?;
            ip(&["-n", &hub, "link", "set", &port, "up"])?;
            ip(&["-n", &namespace, "address", "add", &address, "dev", DEVICE])?;
            ip(&["-n", &namespace, "link", "set", DEVICE, "up"])?;
            ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
            self.attach(node, 0)?;
        }
        Ok(())
    }

    fn attach(&self, node: usize, bridge: usize) -> Result<()> {
        let (hub, bridge) = (self.hub(), bridge_name(bridge));
        ip(&["-n", &hub, "link", "set", &port(node), "master", &bridge])
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.prefix)
    }

    fn namespace(&self, node: usize) -> String {
        format!("{}-{node}", self.prefix)
    }
}

/// The namespace of a node.
#[derive(Debug, Clone)]
pub struct Inside(PathBuf);

impl Inside {
    /// A connection that is made there, such as to the loopback interface of the node.
    ///
    /// # Errors
    /// There is no such namespace, or the connection is refused.
    pub fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let namespace = File::open(&self.0)?;
        // A thread stays where it moves, so it is one for this alone. Its files stay open as well.
        let thread = thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind)?;
            TcpStream::connect(to)
        });
        thread.join().map_err(|_| io::Error::other("panicked"))?
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        let nodes = (0..self.nodes).map(|node| self.namespace(node));
        for namespace in nodes.chain([self.hub()]) {
            // One that was never made is no loss.
            let _ = ip(&["netns", "del", &namespace]);
        }
    }
}

/// Deletes the namespaces of runs that are no more.
fn sweep() {
    let Ok(names) = fs::read_dir("/run/netns") else {
        return;
    };
    for name in names
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
    {
        let owner = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Somebody else may sweep too.
            let _ = ip(&["netns", "del", &name]);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let done = match Command::new(program).args(arguments).output() {
        Ok(done) => done,
        Err(error) => bail!("{program} (of iproute2) does not run: {error}"),
    };
    ensure!(
        done.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stderr).trim()
    );
    Ok(())
}

/// The end of a node's cable at the hub.
fn port(node: usize) -> String {
    format!("port{node}")
}

fn bridge_name(bridge: usize) -> String {
    format!("bridge{bridge}")
}

/// The prefix of our namespaces; the process follows.
const PREFIX: &str = "meshcast-";

/// The end of a node's cable at the node.
const DEVICE: &str = "eth0";

/// A hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:00:01";

/// One for each group of a split, and one for those in none.
const BRIDGES: usize = 4;
