//! Metrics of running nodes, and scenarios in real time with their reports.

use std::{fs, net::SocketAddr};

use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session, Signal, get, new_key};

#[test]
fn a_node_says_where_its_metrics_are_and_tells_them_there() {
    let session = Session::new();
    let arguments = [
        "node",
        "--name",
        "fra-1",
        "--region",
        "fra",
        "--json",
        "--metrics",
        "0",
    ];
    let mut command = session.command(&arguments);
    command.args(["--listen", "127.0.0.1:0", "--channel", "earth"]);
    command.env("MESHCAST_KEY", new_key().to_secret_text());
    let node = Process::start(command);
    let line = node.stdout_line("where", PATIENCE, |line| line.contains(r#""metrics""#));
    let event: Json = serde_json::from_str(&line).expect("JSON");
    let url = event["url"].as_str().expect("a URL");
    let address = url
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    let address: SocketAddr = address.parse().expect("an address");
    assert!(address.ip().is_loopback());
    let (status, text) = get(address, "/metrics").expect("it serves");
    assert_eq!(status, 200);
    let info = r#"meshcast_node_info{name="fra-1",region="fra","#;
    assert!(text.contains(info) && text.ends_with("# EOF\n"), "{text}");
    node.signal(Signal::INT);
    let (status, ..) = node.end(PATIENCE);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn an_address_of_metrics_that_is_none_or_taken_is_told() {
    let session = Session::new();
    for address in ["localhost", ":9464", "70000"] {
        let (status, _, stderr) = session.run(&["node", "--metrics", address]);
        assert_eq!(status, 2, "{stderr}");
        assert!(stderr.contains("127.0.0.1:9464"), "{stderr}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("it has one").port().to_string();
    let (status, _, stderr) = session.run(&["node", "--metrics", &port]);
    assert_eq!(status, 1, "{stderr}");
    assert!(stderr.contains(&format!("127.0.0.1:{port}")), "{stderr}");
}

#[test]
fn each_service_of_up_tells_the_metrics_of_its_node() {
    let session = Session::new();
    let (_up, services) = session.up_and_converged();
    for (service, region) in services.iter().zip(["fra", "iad", "nrt"]) {
        let (status, text) = get(*service, "/metrics").expect("it serves");
        assert_eq!(status, 200);
        let info = format!(r#"meshcast_node_info{{name="{region}-1",region="{region}","#);
        assert!(text.contains(&info), "{text}");
    }
}

#[test]
fn a_scenario_runs_on_real_nodes_and_is_judged_and_reported() {
    let session = Session::new();
    let directory = tempfile::tempdir().expect("writable");
    let [scenario, report] = ["mine.toml", "report.json"].map(|name| directory.path().join(name));
    fs::write(
        &scenario,
        "name = 'mine'\nabout = 'a link is cut'\nnodes = 3\nregions = ['fra', 'syd']\n\
         duration = 8\nsettle = 60\nbound = 60\n\
         [network]\nremote_ms = 20\n[load]\nrate = 40\n\
         [[fault]]\nkind = 'partition'\nat = 2\nfor = 2\ngroups = [['fra'], ['syd']]\n\
         [[fault]]\nkind = 'crash'\nat = 5\nnode = 'fra1'\nrestart = 1\n",
    )
    .expect("writable");
    let [scenario, report] = [&scenario, &report].map(|path| path.to_str().expect("plain"));
    let mut command = session.command(&["up", "--json", "--http-base", "0", "--page", "none"]);
    command.args(["--scenario", scenario, "--report", report]);
    let (status, stdout, stderr) = Process::start(command).end(2 * PATIENCE);
    assert_eq!(status.code(), Some(0), "{stdout}\n{stderr}");
    assert!(stderr.contains("fra | syd are cut apart"), "{stderr}");
    let last: Json = serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["schema"], "up_scenario/v1");
    assert_eq!(last["violations"], Json::Array(Vec::new()));
    let posts = last["posts"].as_u64().expect("a number");
    assert!((200..450).contains(&posts), "{posts} of 320");
    let text = fs::read_to_string(report).expect("it was written");
    let report: Json = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&report["is_real"], &report["posts"]),
        (&true.into(), &last["posts"])
    );
    assert_eq!(report["faults"].as_array().map(Vec::len), Some(2));
    assert!(
        report["cost"]["bytes"]
            .as_u64()
            .is_some_and(|bytes| bytes > 10_000)
    );
    let across = report["pairs"].as_array().expect("a list").iter();
    let across = across.filter(|pair| pair["from"] != pair["to"]);
    assert_eq!(across.count(), 2);
}

#[test]
fn a_scenario_on_real_nodes_is_reported_as_a_page() {
    let session = Session::new();
    let directory = tempfile::tempdir().expect("writable");
    let [scenario, report] = ["mine.toml", "report.html"].map(|name| directory.path().join(name));
    fs::write(
        &scenario,
        "name = 'mine'\nabout = 'a <link> is cut'\nnodes = 3\nregions = ['fra', 'syd']\n\
         duration = 4\nsettle = 60\nbound = 60\n\
         [network]\nremote_ms = 20\n[load]\nrate = 40\n\
         [[fault]]\nkind = 'partition'\nat = 1\nfor = 1\ngroups = [['fra'], ['syd']]\n",
    )
    .expect("writable");
    let [scenario, path] = [&scenario, &report].map(|path| path.to_str().expect("plain"));
    let mut command = session.command(&["up", "--json", "--http-base", "0", "--page", "none"]);
    command.args(["--scenario", scenario, "--report", path]);
    let (status, stdout, stderr) = Process::start(command).end(2 * PATIENCE);
    assert_eq!(status.code(), Some(0), "{stdout}\n{stderr}");
    let last: Json = serde_json::from_str(stdout.lines().last().expect("a line")).expect("JSON");
    let page = fs::read_to_string(report).expect("it was written");
    for said in [
        "a &lt;link&gt; is cut",
        "real nodes on one machine",
        "all guarantees hold",
        "<h2>Latency by region</h2>",
        "<th scope=\"row\">syd</th>",
        "fra | syd are cut apart",
        &format!("<dt>Posts</dt><dd>{}</dd>", last["posts"]),
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(page.matches("</svg>").count(), 3);
}
