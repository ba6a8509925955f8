//! Three regions in one process, as far apart as the real ones, with links and instances that can
//! be broken.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use meshcast::MeshKey;
use meshcast_sim::{Cluster, Death};
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::spawn_blocking,
};

use crate::say;

/// Runs until it is told to stop, and does what is typed meanwhile.
pub(crate) async fn run(port: u16) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let mut demo = Demo::start(port).await?;
    say(HELP);
    let mut typed = lines_of_stdin();
    loop {
        tokio::select! {
            Some(line) = typed.recv() => match demo.obey(&line).await {
                Ok(()) => say(format_args!("done: {line}")),
                Err(error) => say(format_args!("{error:#}")),
            },
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        }
    }
    demo.stop().await;
    Ok(())
}

struct Demo {
    cluster: Cluster,
    /// The service of each region that runs.
    services: BTreeMap<String, Service>,
    addresses: BTreeMap<String, SocketAddr>,
}

/// A runtime of its own, so that it ends as a process does: with all its connections at once.
struct Service(Runtime);

impl Demo {
    async fn start(port: u16) -> anyhow::Result<Self> {
        let cluster = Cluster::builder(0).key(Some(MeshKey::random()?));
        let cluster = cluster.regions(&REGIONS, 1)?.measured_round_trips();
        let mut demo = Self {
            cluster: cluster.start().await?,
            services: BTreeMap::new(),
            addresses: BTreeMap::new(),
        };
        for (n, region) in (0..).zip(REGIONS) {
            let port = if port == 0 { 0 } else { port.saturating_add(n) };
            let address = demo.serve(region, (Ipv4Addr::LOCALHOST, port).into())?;
            say(format_args!("{region}  http://{address}"));
        }
        Ok(demo)
    }

    fn serve(&mut self, region: &str, address: SocketAddr) -> anyhow::Result<SocketAddr> {
        let routes = crate::routes(self.cluster.node(&node(region))?.clone());
        let listener = TcpListener::bind(address)
            .with_context(|| format!("cannot serve at {address}; --port 0 takes any"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let mut runtime = Builder::new_multi_thread();
        let service = Service(runtime.worker_threads(1).enable_all().build()?);
        service.0.spawn(async move {
            let served = axum::serve(tokio::net::TcpListener::from_std(listener)?, routes);
            served.await
        });
        self.addresses.insert(region.to_owned(), address);
        self.services.insert(region.to_owned(), service);
        Ok(address)
    }

    async fn obey(&mut self, line: &str) -> anyhow::Result<()> {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["cut", region] => self.cluster.partition(&[&[region]])?,
            ["heal"] => self.cluster.heal(),
            ["kill", region] => {
                self.cluster.kill(&node(region), Death::Crash).await?;
                if let Some(service) = self.services.remove(region) {
                    service.end().await;
                }
            }
            ["start", region] => {
                let address = *self.addresses.get(region).context(NO_REGION)?;
                if self.services.contains_key(region) {
                    bail!("{region} is running");
                }
                self.cluster.restart(&node(region)).await?;
                self.serve(region, address)?;
            }
            _ => bail!("{HELP}"),
        }
        Ok(())
    }

    async fn stop(self) {
        for service in self.services.into_values() {
            service.end().await;
        }
        self.cluster.shutdown().await;
    }
}

impl Service {
    async fn end(self) {
        // Handlers await something all the time, and end there.
        let _ = spawn_blocking(move || self.0.shutdown_timeout(Duration::from_secs(1))).await;
    }
}

/// Ends with the process; the runtime would wait for a task of its own that reads.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(1);
    thread::spawn(move || {
        let typed = io::stdin().lock().lines().map_while(Result::ok);
        for line in typed.filter(|line| !line.trim().is_empty()) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn node(region: &str) -> String {
    format!("{region}-1")
}

const REGIONS: [&str; 3] = ["fra", "iad", "nrt"];
const NO_REGION: &str = "the regions are fra, iad and nrt";
const HELP: &str = "type: cut REGION, heal, kill REGION, start REGION; Ctrl-C ends it";
