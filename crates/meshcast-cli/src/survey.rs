//! All nodes of this machine, asked at about the same time.

use std::time::Duration;

use futures::future::join_all;
use meshcast::admin::schema::{ChannelReport, NodeReport, PeerReport};
use tokio::time::timeout;

use crate::{
    client::Client,
    exit::Failure,
    faults::{PATH, Status},
    locate,
};

/// What is known of the nodes of this machine.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// By the name of their sockets. Those that nobody listens at are among them.
    pub(crate) nodes: Vec<Surveyed>,
    pub(crate) up: Up,
}

/// The answer of a running `meshcast up` about what it runs.
#[derive(Debug, Clone, Default)]
pub(crate) enum Up {
    /// None runs here.
    #[default]
    None,
    /// Several do, and nobody said which is meant.
    Several,
    /// One does, and does not answer.
    Silent,
    Says(Status),
}

impl Up {
    /// Asks the one that runs here.
    pub(crate) async fn ask(limit: Duration) -> Self {
        match &locate::ups().await.unwrap_or_default()[..] {
            [] => Self::None,
            [up] => Self::of(up, limit).await,
            _ => Self::Several,
        }
    }

    /// Asks this one.
    pub(crate) async fn of(up: &Client, limit: Duration) -> Self {
        match timeout(limit, up.get(PATH)).await {
            Ok(Ok(status)) => Self::Says(status),
            Ok(Err(_)) | Err(_) => Self::Silent,
        }
    }

    pub(crate) fn status(&self) -> Option<&Status> {
        match self {
            Self::Says(status) => Some(status),
            _ => None,
        }
    }

    /// Why what it runs cannot be told.
    pub(crate) const fn why_not(&self) -> Option<&'static str> {
        match self {
            Self::None => Some("no `meshcast up` is running here"),
            Self::Several => Some(
                "several `meshcast up` are running here, and each tells of its own nodes alone",
            ),
            Self::Silent => Some("a `meshcast up` is running here, and does not answer"),
            Self::Says(_) => None,
        }
    }
}

/// A socket, and what the node behind it says.
#[derive(Debug)]
pub(crate) struct Surveyed {
    pub(crate) client: Client,
    pub(crate) answer: Answer,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Reports(Box<Reports>),
    /// Somebody listens and does not answer.
    Silent,
    /// Nobody listens: what was there is gone, and has not tidied up.
    Dead,
}

/// What a node says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Reports {
    pub(crate) node: NodeReport,
    pub(crate) peers: PeerReport,
    pub(crate) channels: ChannelReport,
}

impl Survey {
    /// Asks all nodes of this user.
    pub(crate) async fn take() -> Result<Self, Failure> {
        let sockets = locate::sockets()?;
        let looks = sockets.into_iter().map(async |client| {
            let answer = ask(&client).await?;
            Some(Surveyed { client, answer })
        });
        let (nodes, up) = tokio::join!(join_all(looks), Up::ask(ANSWER));
        Ok(Self {
            nodes: nodes.into_iter().flatten().collect(),
            up,
        })
    }

    /// Those that answered.
    pub(crate) fn reports(&self) -> impl Iterator<Item = &Reports> {
        self.nodes.iter().filter_map(Surveyed::reports)
    }
}

impl Surveyed {
    pub(crate) fn reports(&self) -> Option<&Reports> {
        match &self.answer {
            Answer::Reports(reports) => Some(reports),
            Answer::Silent | Answer::Dead => None,
        }
    }
}

impl Reports {
    pub(crate) fn name(&self) -> &str {
        &self.node.node.name
    }

    /// What it counted so far under this name.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.node.counters.get(name).copied().unwrap_or_default()
    }
}

/// `None`: it is no node, or not one of this user.
async fn ask(client: &Client) -> Option<Answer> {
    if !client.is_alive().await {
        return Some(Answer::Dead);
    }
    if !client.is_ours().await {
        return None;
    }
    let reports = async {
        let (node, peers, channels) = tokio::join!(
            client.get::<NodeReport>("/v1/node"),
            client.get::<PeerReport>("/v1/peers"),
            client.get::<ChannelReport>("/v1/channels"),
        );
        Some(Reports {
            node: node.ok()?,
            peers: peers.ok()?,
            channels: channels.ok()?,
        })
    };
    match timeout(ANSWER, reports).await {
        Ok(Some(reports)) => Some(Answer::Reports(Box::new(reports))),
        Ok(None) | Err(_) => Some(Answer::Silent),
    }
}

/// A node that is well answers in a millisecond; on a machine that is not, it takes longer.
const ANSWER: Duration = Duration::from_secs(5);
