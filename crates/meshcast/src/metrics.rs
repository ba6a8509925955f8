//! The counters and measurements of a node, as [OpenMetrics] for Prometheus and whatever reads the
//! same. With the feature `metrics`.
//!
//! Each metric, and what to make of it: [docs/metrics.md]. There is a dashboard for Grafana.
//!
//! A node can tell them itself, [where it is told to](crate::NodeBuilder::metrics):
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = meshcast::Node::builder()
//! #     .key(meshcast::MeshKey::random()?).listen("127.0.0.1:0")
//!     .metrics("127.0.0.1:0") // or MESHCAST_METRICS, with NodeBuilder::from_env
//!     .spawn()
//!     .await?;
//! println!("http://{}/metrics", node.metrics_address().expect("it was told to"));
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! A service with an endpoint of its own puts them into its registry:
//!
//! ```
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let node = meshcast::Node::builder()
//! #     .key(meshcast::MeshKey::random()?).listen("127.0.0.1:0").spawn().await?;
//! use meshcast::metrics::prometheus_client::{encoding::text::encode, registry::Registry};
//!
//! let metrics = node.metrics();
//! let mut registry = Registry::default();
//! registry.register_collector(Box::new(metrics.clone()));
//!
//! // At each scrape:
//! metrics.refresh().await?;
//! let mut text = String::new();
//! encode(&mut text, &registry)?;
//! assert!(text.contains("meshcast_posts_total 0"));
//! # node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! While messages pass, only how long they took is written down for metrics. All else is put
//! together from the node's own numbers when somebody asks. The number of series is bounded,
//! whatever names members choose: 32 regions are told by name, and the rest together as `other`. No
//! label has a channel, a sender or an address.
//!
//! [OpenMetrics]: https://prometheus.io/docs/specs/om/open_metrics_spec/
//! [docs/metrics.md]: https://github.com/meshcast/meshcast/blob/main/docs/metrics.md

// May use: `node`, as any application does, and `measured`.
// Must not: make the driver do more than it does for `Node::inspect`.

mod families;
mod family;
mod server;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub use prometheus_client;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

pub(crate) use self::server::Endpoint;
use self::{families::families, family::Family};
pub use crate::address::{MetricsAddress, MetricsAddressError};
use crate::{
    command::{Inspected, View},
    error::{AskError, Closed},
    node::{Node, WeakNode},
};

/// The metrics of a node. Clones are the same; none of them keeps the node running. See
/// [`Node::metrics`](crate::Node::metrics).
///
/// As a [`Collector`] it tells what the node was like when it was last [refreshed](Self::refresh):
/// nothing before the first time, the last state of a node that has stopped.
#[derive(Clone)]
pub struct Metrics {
    node: WeakNode,
    latest: Arc<Mutex<Option<Arc<Inspected>>>>,
}

impl Node {
    /// The counters and measurements of the node, for a service that has an endpoint of its own.
    /// With the feature `metrics`. It does not keep the node running.
    pub fn metrics(&self) -> Metrics {
        Metrics::of(self.downgrade())
    }
}

impl Metrics {
    pub(crate) fn of(node: WeakNode) -> Self {
        Self {
            node,
            latest: Arc::default(),
        }
    }

    /// Asks the node how it is, for what is collected from now on. It takes the node some
    /// microseconds a peer and channel, and no message waits for it. Those who ask at the same time
    /// share an answer. Cancel-safe.
    ///
    /// # Errors
    /// [`AskError`]: the node has stopped, or 1024 wait for the same already. Nothing has changed.
    pub async fn refresh(&self) -> Result<(), AskError> {
        let inspected = self.ask().await?;
        *self.latest() = Some(inspected);
        Ok(())
    }

    /// All of them as the text of an OpenMetrics answer, as they are now. Cancel-safe.
    ///
    /// Its content type is [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// Those of [`Self::refresh`].
    pub async fn text(&self) -> Result<String, AskError> {
        let inspected = self.ask().await?;
        Ok(text(&inspected))
    }

    async fn ask(&self) -> Result<Arc<Inspected>, AskError> {
        let node = self.node.upgrade().ok_or(Closed)?;
        let view = View {
            peers: true,
            channels: false,
            behind: true,
        };
        node.inspected(view).await
    }

    fn latest(&self) -> MutexGuard<'_, Option<Arc<Inspected>>> {
        // Each change is one assignment.
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(inspected) = self.latest().clone() else {
            return Ok(());
        };
        let families = families(&inspected);
        families.iter().try_for_each(|it| it.encode(&mut encoder))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

fn text(inspected: &Inspected) -> String {
    /// Has the families themselves, so that there is no state between two who ask.
    #[derive(Debug)]
    struct Once(Vec<Family>);

    impl Collector for Once {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
            self.0.iter().try_for_each(|it| it.encode(&mut encoder))
        }
    }

    let mut registry = prometheus_client::registry::Registry::default();
    registry.register_collector(Box::new(Once(families(inspected))));
    let mut text = String::new();
    // A string takes all that is written to it.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    text
}
