//! Those that listen.

use std::{
    collections::BTreeMap,
    sync::Arc,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::try_join_all;
use hdrhistogram::Histogram;
use meshcast::admin::schema::{Gap, NodeReport};
use serde::Deserialize;
use tokio::{
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    client::{Client, Lines, channel_query},
    exit::Failure,
};

/// All of them.
#[derive(Debug)]
pub(super) struct Listeners {
    listeners: Vec<Arc<Listener>>,
    /// Somebody heard something.
    news: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
}

/// One node that listens.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) region: String,
    /// It heard something at all.
    hears: AtomicBool,
    /// It is not waited for any more.
    is_given_up: AtomicBool,
    /// The highest number it heard or was told that it will not hear.
    reached: AtomicU64,
    /// The process that posts.
    poster: String,
    heard: Mutex<Heard>,
}

/// What one node heard.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) messages: u64,
    /// Not after the message before.
    pub(super) disordered: u64,
    /// How many numbers were given up, by reason.
    pub(super) gaps: BTreeMap<String, u64>,
    /// In microseconds.
    pub(super) latency: Histogram<u64>,
    last: u64,
    /// Its number on the channel, where the poster may have posted before.
    seq: u64,
    /// The numbers that a message takes there: large ones take several.
    span: u64,
}

/// A line that does not read as this is none of ours: others may post on the channel too.
#[derive(Debug, Deserialize)]
struct Line {
    data: Option<Data>,
    /// The first of its numbers on the channel.
    #[serde(default)]
    seq: u64,
    gap: Option<Gap>,
}

/// The posted value; the rest of it is padding. Other messages on the channel have other fields.
#[derive(Debug, Deserialize)]
struct Data {
    #[serde(default)]
    bench: String,
    /// From 1; 0 before it begins.
    #[serde(default)]
    n: u64,
    /// Microseconds after the start.
    #[serde(default)]
    t: u64,
}

impl Listeners {
    /// Listens from when this is ready.
    pub(super) async fn open(
        nodes: Vec<(Client, NodeReport)>,
        channel: &str,
        (poster, id): (&str, &str),
        start: Instant,
    ) -> Result<Self, Failure> {
        let path = format!("/v1/messages?{}", channel_query(channel));
        let open = nodes.into_iter().map(async |(client, report)| {
            let lines = client.follow(&path).await?;
            Ok::<_, Failure>((Listener::new(&report, poster)?, lines))
        });
        let news = Arc::new(Notify::new());
        let (mut listeners, mut tasks) = (Vec::new(), Vec::new());
        for (listener, lines) in try_join_all(open).await? {
            let listener = Arc::new(listener);
            let listening =
                Arc::clone(&listener).listen(lines, id.to_owned(), start, Arc::clone(&news));
            listeners.push(listener);
            tasks.push(tokio::spawn(listening));
        }
        Ok(Self {
            listeners,
            news,
            tasks,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.listeners.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().map(|listener| &**listener)
    }

    /// Who has heard nothing so far.
    pub(super) fn unreached(&self) -> Vec<&str> {
        let unreached = self.iter().filter(|listener| !listener.hears.load(Relaxed));
        unreached.map(|listener| listener.name.as_str()).collect()
    }

    /// The progress of the slowest of those that are waited for; 0 if nobody is.
    pub(super) fn slowest(&self) -> u64 {
        let awaited = self.iter().filter(|listener| listener.is_awaited());
        awaited
            .map(|listener| listener.reached.load(Relaxed))
            .min()
            .unwrap_or(0)
    }

    /// Waits until all have got so far; who does not get on is not waited for any more.
    pub(super) async fn reach(&self, wanted: u64) {
        loop {
            let news = self.news.notified();
            let far = self.progress();
            if self.iter().all(|listener| listener.has(wanted)) {
                return;
            }
            if timeout(PATIENCE, news).await.is_err() && self.progress() == far {
                for listener in self.iter().filter(|listener| !listener.has(wanted)) {
                    listener.is_given_up.store(true, Relaxed);
                }
            }
        }
    }

    /// Waits for what is under way.
    pub(super) async fn settle(&self, posted: u64) {
        self.reach(posted).await;
        for task in &self.tasks {
            task.abort();
        }
    }

    fn progress(&self) -> u64 {
        self.iter()
            .map(|listener| listener.reached.load(Relaxed))
            .sum()
    }
}

impl Listener {
    fn new(report: &NodeReport, poster: &str) -> Result<Self, Failure> {
        let heard = Heard {
            messages: 0,
            disordered: 0,
            gaps: BTreeMap::new(),
            latency: Histogram::new_with_max(LONGEST, 3).map_err(Failure::failed)?,
            last: 0,
            seq: 0,
            span: 1,
        };
        Ok(Self {
            name: report.node.name.clone(),
            region: report.node.region.clone(),
            hears: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            reached: AtomicU64::new(0),
            poster: poster.to_owned(),
            heard: Mutex::new(heard),
        })
    }

    pub(super) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_awaited(&self) -> bool {
        self.hears.load(Relaxed) && !self.is_given_up.load(Relaxed)
    }

    fn has(&self, wanted: u64) -> bool {
        !self.is_awaited() || self.reached.load(Relaxed) >= wanted
    }

    async fn listen(
        self: Arc<Self>,
        mut lines: Lines,
        id: String,
        start: Instant,
        news: Arc<Notify>,
    ) {
        while let Some(line) = lines.next().await {
            let now = start.elapsed();
            if let Ok(line) = serde_json::from_str::<Line>(&line) {
                self.hear(line, &id, now);
                news.notify_waiters();
            }
        }
        // It has stopped.
        self.is_given_up.store(true, Relaxed);
        news.notify_waiters();
    }

    fn hear(&self, line: Line, id: &str, now: Duration) {
        if let Some(gap) = line.gap {
            if gap.sender == self.poster {
                self.lack(gap);
            }
            return;
        }
        let Some(data) = line.data.filter(|data| data.bench == id) else {
            return;
        };
        self.hears.store(true, Relaxed);
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let mut heard = self.heard();
        let is_next = data.n > 1 && data.n == heard.last + 1;
        if is_next && let Some(span) = line.seq.checked_sub(heard.seq) {
            heard.span = span.max(1);
        }
        heard.seq = line.seq;
        if data.n == 0 {
            return;
        }
        heard.messages += 1;
        heard.disordered += u64::from(data.n <= heard.last);
        heard.last = data.n;
        heard.latency.saturating_record(now.saturating_sub(data.t));
        drop(heard);
        self.reached.fetch_max(data.n, Relaxed);
    }

    /// It is told that it will not hear these, and so nobody waits for them.
    fn lack(&self, gap: Gap) {
        let mut heard = self.heard();
        let missing = gap.to.saturating_sub(gap.from).saturating_add(1);
        let count = heard.gaps.entry(gap.reason).or_default();
        *count = count.saturating_add(missing);
        // If nothing was heard yet, its numbers say nothing of those of the run.
        if heard.seq > 0 {
            let lacking = gap.to.saturating_sub(heard.seq) / heard.span;
            self.reached
                .fetch_max(heard.last.saturating_add(lacking), Relaxed);
        }
    }
}

/// In microseconds: an hour.
const LONGEST: u64 = 3_600_000_000;
/// A lost message is given up sooner, and a node that was cut off is back.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn listener() -> Listener {
        let report = serde_json::json!({"schema": "node/v1", "node": {
            "name": "fra-1", "region": "fra", "peer_id": "12D3", "pid": 1, "started_at": "?",
            "listen_addresses": [], "version": "0", "peers": 1, "channels": 1}});
        Listener::new(&serde_json::from_value(report).expect("a report"), "12D3").expect("bounds")
    }

    fn hear(listener: &Listener, json: &str, at: u64) {
        let line = serde_json::from_str(json).expect(json);
        listener.hear(line, "mine", Duration::from_micros(at));
    }

    #[test]
    fn messages_of_this_run_are_counted_and_measured() {
        let listener = listener();
        assert!(serde_json::from_str::<Line>(r#"{"channel":"b","data":"hello"}"#).is_err());
        hear(
            &listener,
            r#"{"channel":"b","data":{"bench":"other","n":1,"t":0}}"#,
            1,
        );
        assert!(!listener.is_awaited());
        hear(
            &listener,
            r#"{"channel":"b","data":{"bench":"mine","n":0,"t":0}}"#,
            1,
        );
        assert!(listener.is_awaited());
        for (n, posted, at) in [(1, 0, 100), (3, 50, 250), (2, 60, 360)] {
            let data = format!(r#"{{"bench":"mine","n":{n},"t":{posted},"pad":"x"}}"#);
            let json = format!(r#"{{"seq":{},"data":{data}}}"#, n + 7);
            hear(&listener, &json, at);
        }
        let gap = r#"{"gap":{"channel":"b","sender":"12D3","name":"x","region":"y","from":11,"to":13,
            "reason":"lost"}}"#;
        hear(&listener, gap, 400);
        hear(&listener, &gap.replace("12D3", "another"), 400);
        let heard = listener.heard();
        assert_eq!((heard.messages, heard.disordered), (3, 1));
        assert_eq!(heard.gaps.get("lost"), Some(&3));
        assert_eq!((heard.latency.min(), heard.latency.max()), (100, 300));
        drop(heard);
        assert!(
            listener.has(6) && !listener.has(7),
            "nobody waits for what is lost"
        );
    }

    #[test]
    fn lost_parts_of_large_messages_are_not_waited_for_and_no_gap_is_too_long() {
        let listener = listener();
        let gap = |from: u64, to: u64| {
            let of = r#""channel":"b","sender":"12D3","name":"x","region":"y","reason":"lost""#;
            hear(
                &listener,
                &format!(r#"{{"gap":{{{of},"from":{from},"to":{to}}}}}"#),
                1,
            );
        };
        gap(1, 3);
        assert_eq!(listener.reached.load(Relaxed), 0, "nothing was heard yet");
        for (n, seq) in [(0, 4), (1, 9), (2, 12)] {
            let data = format!(r#"{{"bench":"mine","n":{n},"t":0}}"#);
            hear(&listener, &format!(r#"{{"seq":{seq},"data":{data}}}"#), 1);
        }
        gap(15, 20);
        assert_eq!(
            listener.reached.load(Relaxed),
            4,
            "each takes three numbers"
        );
        gap(21, u64::MAX);
        gap(1, u64::MAX);
        assert_eq!(listener.heard().gaps.get("lost"), Some(&u64::MAX));
    }
}
