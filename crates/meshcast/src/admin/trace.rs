//! When messages came to the node, and which way.

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
};
use meshcast_proto::{ChannelName, Seq, WallTime};
use meshcast_value::Value;
use serde::Deserialize;
use tokio::task;

use super::{
    refusal::Refusal,
    schema,
    shared::{Admin, named},
};
use crate::{
    channel::{Received, Unpacked, decode},
    clock::Clock,
    command::{Trace, TraceQuery, Traced, TracedSender},
    ids::peer_id,
};

#[derive(Deserialize)]
pub(super) struct Asked {
    channel: Option<String>,
    /// The newest so many messages.
    last: Option<u64>,
    /// Or the one of a sender of this name with this number.
    name: Option<String>,
    seq: Option<u64>,
}

impl Asked {
    fn wanted(&self) -> Result<Traced, Refusal> {
        match (self.last, &self.name, self.seq) {
            (last, None, None) => Ok(Traced::Last(last.unwrap_or(LAST).min(MOST))),
            (None, Some(name), Some(seq)) => {
                let seq = Seq::new(seq);
                let seq = seq.ok_or_else(|| Refusal::bad_request("numbers begin with 1"))?;
                Ok(Traced::One(name.clone(), seq))
            }
            _ => Err(Refusal::bad_request("either last, or name and seq")),
        }
    }
}

/// Opens no channel and asks no member: it tells what is here.
pub(super) async fn trace(
    State(admin): State<Admin>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<schema::TraceReport>, Refusal> {
    let Query(query) = query?;
    let wanted = query.wanted()?;
    let name = named(query.channel)?;
    let channel = ChannelName::new(&name).map_err(crate::error::OpenError::from)?;
    let query = TraceQuery { channel, wanted };
    let node = admin.node()?;
    let trace = node.trace(query.clone()).await;
    let trace = trace.map_err(|_| Refusal::stopped())?;
    let most = match query.wanted {
        Traced::Last(last) => usize::try_from(last).unwrap_or(usize::MAX),
        Traced::One(..) => usize::MAX,
    };
    let (mut report, values) = schema::TraceReport::new(name, trace, most, node.clock());
    for (came, value) in values {
        // Large values take long to read; others are to have their turn between two of them.
        let parsing = admin.parsing.acquire().await.map_err(Refusal::internal)?;
        report.messages.push(message(came, value));
        drop(parsing);
        task::yield_now().await;
    }
    Ok(Json(report))
}

impl schema::TraceReport {
    /// Without messages, and the newest of what is kept, not read yet.
    fn new(
        channel: String,
        trace: Trace,
        most: usize,
        clock: Clock,
    ) -> (Self, Vec<(WallTime, Received)>) {
        let Trace {
            is_open,
            senders,
            left_out,
        } = trace;
        let mut values = Vec::new();
        let told = senders.into_iter().map(|sender| {
            let TracedSender { info, oldest, kept } = sender;
            let kept = kept.into_iter();
            values.extend(kept.flat_map(|(came, delivery)| {
                Unpacked::new(delivery, None, false, clock).map(move |value| (came, value))
            }));
            schema::TracedSender {
                sender: schema::Sender::from(&info),
                oldest_seq: oldest.map(Seq::get),
            }
        });
        let senders = told.collect();
        values.sort_by_key(|(_, Received { origin, .. })| {
            let sender = origin.member.sender();
            (origin.posted_at, sender, origin.seqs.first())
        });
        values.drain(..values.len().saturating_sub(most));
        let report = Self {
            schema: schema::name::TRACE.into(),
            channel,
            open: is_open,
            senders,
            messages: Vec::new(),
            left_out,
        };
        (report, values)
    }
}

fn message(came: WallTime, value: Received) -> schema::TracedMessage {
    let decoded: Option<Value> = decode(&value.posted).ok();
    let data = decoded.and_then(|value| value.to_json_within(PREVIEW_MEMORY).ok());
    let origin = value.origin;
    let credential = origin.member.credential();
    schema::TracedMessage {
        sender: peer_id(origin.member.sender()).to_string(),
        name: credential.name.to_string(),
        region: credential.region.to_string(),
        seq: origin.seqs.first().get(),
        last_seq: origin.seqs.last().get(),
        posted_at: origin.posted_at.to_string(),
        received_at: came.to_string(),
        via: origin.via.as_str().into(),
        peer: origin.from.map(|from| peer_id(from).to_string()),
        bytes: value.posted.payload.len(),
        data,
    }
}

/// The number of messages shown by default, and at most: a person looks at fewer.
const LAST: u64 = 20;
const MOST: u64 = 1_000;
/// What writing a value may take; a larger one is not shown.
const PREVIEW_MEMORY: usize = 4 * 1024;
