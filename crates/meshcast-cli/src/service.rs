//! The HTTP service of each region that `meshcast up` runs: post a message, list all.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::{Query, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use futures::StreamExt;
use meshcast::{
    BroadcastChannel, Node, OpenError, PostError, Value,
    metrics::{self, Metrics},
};
use tokio::net::TcpListener;

use crate::http::{self, Limits};

/// The channel all regions share.
pub(crate) const CHANNEL: &str = "earth";

/// Serves until it is dropped or the node stops.
pub(crate) async fn serve(listener: TcpListener, service: Service) {
    let inbox = service.clone();
    tokio::select! {
        () = inbox.listen() => {}
        () = http::serve(listener, service.router(), LIMITS, http::in_words) => {}
    }
}

/// A region's view of the channel.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    channel: Arc<BroadcastChannel<Value>>,
    messages: Arc<Mutex<Recent>>,
    metrics: Metrics,
}

impl Service {
    /// Hears what is posted from now on.
    pub(crate) fn open(node: &Node) -> Result<Self, OpenError> {
        Ok(Self {
            channel: Arc::new(node.channel(CHANNEL)?),
            messages: Arc::default(),
            metrics: node.metrics(),
        })
    }

    async fn listen(self) {
        let mut messages = self.channel.messages();
        while let Some(message) = messages.next().await {
            match message {
                Ok(message) => self.messages().push(message.data.to_json().to_string()),
                Err(error) => tracing::warn!(%error, "not in the list of messages"),
            }
        }
    }

    fn router(self) -> Router {
        Router::new()
            .route("/send", any(send))
            .route("/messages", any(messages))
            .route("/metrics", get(metrics))
            .fallback(async || (StatusCode::NOT_FOUND, "not found"))
            .with_state(self)
    }

    fn messages(&self) -> MutexGuard<'_, Recent> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The channel does not bring one's own posts back, so they are listed here.
async fn send(
    State(service): State<Service>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let given = query.into_iter().find(|(name, _)| name == "message");
    let Some((_, message)) = given else {
        return (StatusCode::BAD_REQUEST, "?message not provided").into_response();
    };
    let json = serde_json::Value::from(message);
    let text = json.to_string();
    match service.channel.post_message(&Value::from_json(json)) {
        Ok(_) => {
            service.messages().push(text);
            "message sent".into_response()
        }
        Err(error) => {
            let status = match error {
                PostError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::SERVICE_UNAVAILABLE,
            };
            (status, error.to_string()).into_response()
        }
    }
}

async fn messages(State(service): State<Service>) -> Response {
    let json = service.messages().to_json();
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

async fn metrics(State(service): State<Service>) -> Response {
    match service.metrics.text().await {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// The last messages as JSON texts.
#[derive(Debug, Default)]
struct Recent {
    texts: VecDeque<String>,
    bytes: usize,
}

impl Recent {
    fn push(&mut self, text: String) {
        self.bytes += text.len();
        self.texts.push_back(text);
        while self.texts.len() > LAST_MESSAGES || self.bytes > LAST_BYTES {
            self.bytes -= self.texts.pop_front().map_or(self.bytes, |text| text.len());
        }
    }

    fn to_json(&self) -> String {
        let mut json = String::with_capacity(self.bytes + self.texts.len() + 2);
        json.push('[');
        for (i, text) in self.texts.iter().enumerate() {
            if i > 0 {
                json.push(',');
            }
            json.push_str(text);
        }
        json.push(']');
        json
    }
}

/// A browser opens six connections.
const LIMITS: Limits = Limits {
    connections: 64,
    life: Some(Duration::from_secs(60)),
};
/// As many as a person can look through.
const LAST_MESSAGES: usize = 1_000;
/// A thousand of the largest messages would be a gigabyte in each region.
const LAST_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_json() {
        let mut recent = Recent::default();
        assert_eq!(recent.to_json(), "[]");
        recent.push(r#""a""#.into());
        recent.push(r#"{"b":1}"#.into());
        assert_eq!(recent.to_json(), r#"["a",{"b":1}]"#);
    }

    #[test]
    fn the_oldest_give_way() {
        let mut recent = Recent::default();
        for i in 0..=LAST_MESSAGES {
            recent.push(i.to_string());
        }
        assert_eq!(recent.texts.len(), LAST_MESSAGES);
        assert_eq!(recent.texts.front().map(String::as_str), Some("1"));
        recent.push("x".repeat(LAST_BYTES));
        assert_eq!(recent.texts.len(), 1);
        assert_eq!(recent.bytes, LAST_BYTES);
        recent.push("x".repeat(LAST_BYTES + 1));
        assert_eq!(
            (recent.texts.len(), recent.bytes),
            (0, 0),
            "too large to be kept at all"
        );
    }
}
