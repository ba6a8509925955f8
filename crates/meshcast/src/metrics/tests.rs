//! Tests that the metrics are told, and that documents and the dashboard say the same.

mod exposition;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::exposition::Exposition;
use super::*;
use crate::{
    ListenError, Node, SpawnError,
    ask::FromMember,
    by_region::MOST,
    node::fixture::{Mesh, joined, next, open, until, within},
};

const DOCUMENT: &str = include_str!("../../../../docs/metrics.md");
const DASHBOARD: &str = include_str!("../../../../docs/grafana/meshcast.json");

async fn told(node: &Node) -> Exposition {
    let text = within(node.metrics().text()).await.expect("it runs");
    Exposition::parse(&text)
}

/// Two nodes, of which one heard three messages of the other.
async fn after_three_messages() -> (Node, Node) {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    for n in 0..3 {
        at_a.post_message(&n).expect("posted");
        assert_eq!(next(&mut heard).await, n);
    }
    (a, b)
}

#[tokio::test]
async fn each_reason_of_a_gap_is_there_before_there_is_a_gap() {
    let node = Mesh::new().node("a", &[]).await;
    let told = told(&node).await;
    for reason in [
        "lost",
        "too_large",
        "incomplete",
        "unread",
        "unfetched",
        "expired",
    ] {
        for metric in ["meshcast_gaps_total", "meshcast_missed_messages_total"] {
            assert_eq!(told.value(metric, &[("reason", reason)]), 0.0, "{reason}");
        }
    }
}

#[tokio::test]
async fn what_passes_between_nodes_is_counted_at_both_ends() {
    let (a, b) = after_three_messages().await;
    let (sender, receiver) = (told(&a).await, told(&b).await);
    let here = [("region", "test")];
    assert_eq!(sender.value("meshcast_posts_total", &[]), 3.0);
    assert_eq!(sender.value("meshcast_deliveries_total", &[]), 0.0);
    assert_eq!(receiver.value("meshcast_deliveries_total", &[]), 3.0);
    for (all, name) in [(&sender, "a"), (&receiver, "b")] {
        assert_eq!(all.value("meshcast_links", &here), 1.0);
        assert_eq!(all.value("meshcast_members", &here), 1.0);
        assert_eq!(all.value("meshcast_channels", &[]), 1.0);
        assert_eq!(all.value("meshcast_isolated_seconds", &[]), 0.0);
        assert!(all.value("meshcast_received_bytes_total", &here) > 0.0);
        assert!(all.value("meshcast_sent_bytes_total", &here) > 0.0);
        let info = &all.families["meshcast_node"].samples[0];
        assert_eq!((info.labels["name"].as_str(), info.value), (name, 1.0));
    }
    let latency = |all: &Exposition, of: &str| {
        all.value(&format!("meshcast_delivery_latency_seconds_{of}"), &here)
    };
    assert_eq!(latency(&receiver, "count"), 3.0);
    assert!((0.0..180.0).contains(&latency(&receiver, "sum")));
    assert_eq!(
        latency(&sender, "count"),
        0.0,
        "its own posts are not delivered"
    );
    assert!(receiver.value("meshcast_history_bytes", &[]) > 0.0);
}

#[tokio::test]
async fn questions_are_counted_by_what_became_of_them_at_both_ends() {
    let (a, b) = Mesh::new().pair().await;
    let (at_a, at_b) = (open::<u8>(&a, "earth"), open::<u8>(&b, "earth"));
    joined(&[&a, &b], "earth").await;
    let ask = async || {
        let answers = at_a.ask::<u8, _>(&1).expect("short");
        let answers = answers.within(std::time::Duration::from_secs(20));
        within(answers.expect("few").all()).await.answers.len()
    };
    assert_eq!(ask().await, 0, "nobody handles it");
    let answering = at_b.on_ask(async |asked: FromMember<u8>| asked.data + 1);
    assert_eq!(ask().await, 1);
    drop(answering);
    let (asker, asked) = (told(&a).await, told(&b).await);
    assert_eq!(asker.value("meshcast_questions_total", &[]), 2.0);
    assert_eq!(asked.value("meshcast_questions_total", &[]), 0.0);
    for outcome in ["answered", "declined", "silent", "gone", "unreached"] {
        let replies = asker.value("meshcast_question_replies_total", &[("outcome", outcome)]);
        let expected = f64::from(u8::from(["answered", "declined"].contains(&outcome)));
        assert_eq!(replies, expected, "{outcome}");
    }
    for (outcome, expected) in [("answered", 1.0), ("declined", 1.0), ("withdrawn", 0.0)] {
        let handled = asked.value("meshcast_handled_questions_total", &[("outcome", outcome)]);
        assert_eq!(handled, expected, "{outcome}");
    }
}

/// Name without suffix, type and labels of each row.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let rows = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `meshcast_"));
    let rows = rows.map(|row| {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let labels = cells[3].split_whitespace();
        let labels = labels.map(|label| label.trim_matches('`').to_owned());
        let name = cells[1].trim_matches('`').to_owned();
        (name, (cells[2].to_owned(), labels.collect()))
    });
    rows.filter(|(_, (kind, _))| ["info", "gauge", "counter", "histogram"].contains(&&**kind))
        .collect()
}

#[tokio::test]
async fn all_that_is_told_is_documented_and_all_that_is_documented_is_told() {
    let (_a, b) = after_three_messages().await;
    let all = told(&b).await;
    let documented = documented();
    let names = |it: &mut dyn Iterator<Item = &String>| it.cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        names(&mut all.families.keys()),
        names(&mut documented.keys())
    );
    for (name, family) in &all.families {
        let (kind, labels) = &documented[name];
        assert_eq!(&family.kind, kind, "{name}");
        for sample in &family.samples {
            let mut has = names(&mut sample.labels.keys());
            has.remove("le");
            assert_eq!(&has, labels, "{name}");
        }
    }
}

/// The names of metrics in an expression, each with the labels that are asked of it. Labels behind
/// `by` are those of all metrics in it.
fn asked(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let by = expression.split("by (").skip(1);
    let by = by.filter_map(|rest| rest.split(')').next());
    let grouped: Vec<_> = by.flat_map(|list| list.split(", ")).collect();
    let mut found = Vec::new();
    for (at, _) in expression.match_indices("meshcast_") {
        let rest = &expression[at..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let matchers = rest.strip_prefix('{').and_then(|it| it.split('}').next());
        let matchers = matchers.unwrap_or_default().split(',');
        let keys = matchers.filter_map(|it| it.split(['=', '!']).next());
        let labels = keys
            .chain(grouped.iter().copied())
            .filter(|it| !it.is_empty());
        found.push((name.to_owned(), labels.map(str::to_owned).collect()));
    }
    found
}

fn expressions(json: &serde_json::Value, out: &mut Vec<String>) {
    match json {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if key == "expr" || key == "query" => out.push(text.to_owned()),
                    _ => expressions(value, out),
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| expressions(item, out)),
        _ => {}
    }
}

#[test]
fn the_dashboard_and_the_rules_ask_for_metrics_and_labels_that_there_are() {
    let documented = documented();
    let json = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut all = Vec::new();
    expressions(&json, &mut all);
    let mut used = BTreeSet::new();
    let (_, rules) = DOCUMENT.split_once("## What to watch").expect("rules");
    all.extend(
        rules
            .split('`')
            .filter(|it| it.contains("meshcast_"))
            .map(str::to_owned),
    );
    for expression in all {
        for (sample, labels) in asked(&expression) {
            let suffixes = ["_total", "_info", "_bucket", "_sum", "_count", ""];
            let (name, suffix, (kind, known)) = suffixes
                .iter()
                .find_map(|suffix| {
                    let name = sample.strip_suffix(suffix)?;
                    Some((name, *suffix, documented.get(name)?))
                })
                .unwrap_or_else(|| panic!("{sample} is no metric"));
            let fits = match kind.as_str() {
                "counter" => suffix == "_total",
                "info" => suffix == "_info",
                "gauge" => suffix.is_empty(),
                _ => ["_bucket", "_sum", "_count"].contains(&suffix),
            };
            assert!(fits, "{sample} is a {kind}");
            for label in labels {
                // Prometheus itself adds where it scraped.
                let added = ["job", "instance"].contains(&&*label);
                let is_bound = label == "le" && suffix == "_bucket";
                assert!(
                    added || is_bound || known.contains(&label),
                    "{sample}: {label}"
                );
            }
            used.insert(name.to_owned());
        }
    }
    assert!(used.len() > 25, "{used:?}");
}

#[tokio::test]
async fn members_that_make_up_regions_make_no_series_without_bound() {
    let node = crate::node::fixture::alone().await;
    let view = View {
        peers: true,
        channels: false,
        behind: true,
    };
    let mut inspected = Arc::unwrap_or_clone(node.inspected(view).await.expect("it runs"));
    let mut measures = crate::measured::Measures::default();
    for number in 0..1_000 {
        let region = format!("r{number}").parse().expect("a region");
        measures.delivered(&region, 1, crate::WallTime::MIN, crate::WallTime::MIN);
        *inspected.measured.members.get(&region) += 1;
    }
    inspected.measured.latency = measures.latency;
    let all = Exposition::parse(&text(&inspected));
    let latency = &all.families["meshcast_delivery_latency_seconds"].samples;
    let counts = latency.iter().filter(|it| it.name.ends_with("_count"));
    let counts: Vec<_> = counts.map(|it| it.value).collect();
    assert_eq!(
        (counts.len(), counts.iter().sum::<f64>()),
        (MOST + 1, 1_000.0)
    );
    assert_eq!(all.families["meshcast_members"].samples.len(), MOST + 1);
}

#[tokio::test]
async fn a_registry_tells_the_last_state_also_when_the_node_has_stopped() {
    let (a, b) = after_three_messages().await;
    let metrics = b.metrics();
    let mut registry = Registry::default();
    let labelled = registry.sub_registry_with_label(("node".into(), "b".into()));
    labelled.register_collector(Box::new(metrics.clone()));
    let collected = |registry: &Registry| {
        let mut text = String::new();
        encode(&mut text, registry).expect("a string takes it");
        Exposition::parse(&text)
    };
    assert!(
        collected(&registry).families.is_empty(),
        "nobody asked the node"
    );
    metrics.refresh().await.expect("it runs");
    let labels = [("node", "b")];
    let value = |all: Exposition| all.value("meshcast_deliveries_total", &labels);
    assert_eq!(value(collected(&registry)), 3.0);
    within(b.shutdown()).await;
    assert_eq!(metrics.refresh().await, Err(AskError::Closed));
    assert_eq!(metrics.text().await, Err(AskError::Closed));
    assert_eq!(value(collected(&registry)), 3.0);
    drop((a, b));
    assert_eq!(metrics.refresh().await, Err(AskError::Closed));
}

/// Asks a server for something, and hears all that it says.
async fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer))
        .await
        .expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn the_endpoint_tells_metrics_and_nothing_else() {
    let mesh = Mesh::new();
    let node = mesh.builder("a").metrics("127.0.0.1:0").spawn();
    let node = within(node).await.expect("it starts");
    let address = node.metrics_address().expect("it was told to");
    let get = |method: &str, path: &str, host: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
    };
    let host = address.to_string();
    let (head, body) = ask(address, &get("GET", "/metrics", &host)).await;
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.contains(CONTENT_TYPE), "{head}");
    let all = Exposition::parse(&body);
    assert_eq!(all.value("meshcast_posts_total", &[]), 0.0);
    let (head, body) = ask(address, &get("HEAD", "/metrics", &host)).await;
    assert!(
        head.starts_with("HTTP/1.1 200 OK") && body.is_empty(),
        "{head}"
    );
    for (method, path, host, status) in [
        ("GET", "/", host.as_str(), "404"),
        ("POST", "/metrics", &host, "405"),
        ("GET", "/metrics", "evil.example", "403"),
    ] {
        let (head, _) = ask(address, &get(method, path, host)).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
    }
    let long = format!(
        "GET /metrics HTTP/1.1\r\nHost: {host}\r\nX: {}\r\n\r\n",
        "x".repeat(32 * 1024)
    );
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // It may be cut off before all of it is taken.
    let _ = stream.write_all(long.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = within(stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(!answer.contains("meshcast_"), "{answer}");
    let taken = mesh.builder("b").metrics(address).spawn();
    let error = within(taken).await.expect_err("the port is taken");
    assert!(
        matches!(
            &error,
            SpawnError::Metrics {
                reason: ListenError::InUse,
                ..
            }
        ),
        "{error}"
    );
    let nowhere = mesh.builder("c").metrics("nowhere").spawn();
    let error = within(nowhere).await.expect_err("no address");
    assert!(matches!(error, SpawnError::MetricsAddress(_)), "{error}");
    within(node.shutdown()).await;
}

#[tokio::test]
async fn who_takes_all_places_at_the_endpoint_leaves_them_when_gone() {
    let node = Mesh::new().builder("a").metrics("127.0.0.1:0").spawn();
    let node = within(node).await.expect("it starts");
    let address = node.metrics_address().expect("it was told to");
    let mut idle = Vec::new();
    for _ in 0..8 {
        idle.push(TcpStream::connect(address).await.expect("it listens"));
    }
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let asked = tokio::spawn(ask(address, request));
    idle.clear();
    let (head, _) = within(asked).await.expect("no panic");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_constant_scraping_every_message_is_delivered_in_order() {
    let mesh = Mesh::new();
    let a = mesh.apart("a").spawn().await.expect("starts");
    let seeds = a.listen_addresses();
    let b = mesh.apart("b").seeds(seeds).spawn().await.expect("starts");
    let (at_a, at_b) = (open::<u32>(&a, "earth"), open::<u32>(&b, "earth"));
    let mut heard = at_b.messages();
    joined(&[&a, &b], "earth").await;
    until(&b, |it| it.peers.len() == 1).await;
    let done = Arc::new(AtomicBool::new(false));
    let scraping = [a.metrics(), b.metrics()].map(|metrics| {
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            let mut scrapes = 0;
            loop {
                Exposition::parse(&metrics.text().await.expect("it runs"));
                scrapes += 1;
                if done.load(Ordering::Relaxed) {
                    return scrapes;
                }
            }
        })
    });
    for n in 0..5_000 {
        within(at_a.post_message_wait(&n)).await.expect("posted");
    }
    for n in 0..5_000 {
        assert_eq!(next(&mut heard).await, n);
    }
    done.store(true, Ordering::Relaxed);
    for scraping in scraping {
        assert!(within(scraping).await.expect("no panic") > 0);
    }
    let all = told(&b).await;
    assert_eq!(all.value("meshcast_deliveries_total", &[]), 5_000.0);
    let count = all.value(
        "meshcast_delivery_latency_seconds_count",
        &[("region", "test")],
    );
    assert_eq!(count, 5_000.0);
}
