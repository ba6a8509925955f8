//! What `meshcast fault` and a running `meshcast up` say to each other.

use meshcast::admin::schema::Problem;
use meshcast_sim::{Cluster, Standing};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Something to be done, with where the answer goes.
pub(crate) type Asked = (Request, oneshot::Sender<Result<Status, Problem>>);

/// Where it is said.
pub(crate) const PATH: &str = "/v1/faults";

/// The code of a refusal: the node is not in a state for that.
pub(crate) const CONFLICT: &str = "conflict";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    Partition {
        groups: Vec<Vec<String>>,
    },
    OneWay {
        from: String,
        to: String,
    },
    Heal {},
    /// Mends what is cut between two places alone.
    Mend {
        a: String,
        b: String,
    },
    Kill {
        node: String,
        #[serde(default)]
        silent: bool,
    },
    Restart {
        node: String,
    },
    Pause {
        node: String,
    },
    Resume {
        node: String,
    },
}

impl Request {
    /// The node it is about, if it is one alone.
    pub(crate) const fn node(&self) -> Option<&String> {
        match self {
            Self::Kill { node, .. }
            | Self::Restart { node }
            | Self::Pause { node }
            | Self::Resume { node } => Some(node),
            _ => None,
        }
    }
}

/// How things are then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) schema: String,
    pub(crate) nodes: Vec<NodeStatus>,
    /// In which directions nothing passes.
    pub(crate) cuts: Vec<Cut>,
    /// Through whom messages go around what is cut.
    pub(crate) around: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NodeStatus {
    pub(crate) name: String,
    pub(crate) region: String,
    pub(crate) state: State,
    /// `None`: it does not run.
    pub(crate) peer_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Up,
    Paused,
    Down,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cut {
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Status {
    /// Whether nothing is cut and nobody is cut off.
    pub(crate) fn is_whole(&self) -> bool {
        let is_paused = |node: &NodeStatus| node.state == State::Paused;
        self.cuts.is_empty() && !self.nodes.iter().any(is_paused)
    }

    pub(crate) fn of(cluster: &Cluster) -> Self {
        let nodes = cluster.status().into_iter().map(|node| NodeStatus {
            name: node.name.to_string(),
            region: node.region.to_string(),
            state: match node.standing {
                Standing::Up => State::Up,
                Standing::Paused => State::Paused,
                Standing::Down => State::Down,
            },
            peer_id: node.peer_id.map(|id| id.to_string()),
        });
        let cuts = cluster.cuts().into_iter().map(|cut| Cut {
            from: cut.from.to_string(),
            to: cut.to.to_string(),
        });
        let around = cluster.go_betweens();
        Self {
            schema: "faults/v1".into(),
            nodes: nodes.collect(),
            cuts: cuts.collect(),
            around: around.iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_plain_json() {
        for (request, json) in [
            (
                Request::Partition {
                    groups: vec![vec!["fra".into()], vec!["iad".into(), "nrt-1".into()]],
                },
                r#"{"fault":"partition","groups":[["fra"],["iad","nrt-1"]]}"#,
            ),
            (Request::Heal {}, r#"{"fault":"heal"}"#),
            (
                Request::Kill {
                    node: "fra-1".into(),
                    silent: false,
                },
                r#"{"fault":"kill","node":"fra-1","silent":false}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&request).expect("plain"), json);
            assert_eq!(
                serde_json::from_str::<Request>(json).expect("the same"),
                request
            );
        }
        for nonsense in [
            r#"{"fault":"flood"}"#,
            r#"{"fault":"heal","node":"fra-1"}"#,
            "{}",
        ] {
            assert!(
                serde_json::from_str::<Request>(nonsense).is_err(),
                "{nonsense}"
            );
        }
    }
}
