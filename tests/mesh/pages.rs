//! The reach of a web page that is open on the same machine into the services of `meshcast up` and
//! its page, and that of tools. `tests/page` shows what the page does in a browser.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session, eventually, get};

fn connect(service: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(service).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

/// What comes back for a request of these lines.
fn ask(service: SocketAddr, lines: &[&str]) -> String {
    let mut stream = connect(service);
    write!(
        stream,
        "{}\r\nconnection: close\r\n\r\n",
        lines.join("\r\n")
    )
    .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn pages_of_others_neither_post_nor_read_and_tools_do_both() {
    let session = Session::new();
    let (_up, services) = session.up();
    let service = services[0];
    let own = format!("host: {service}");
    let (send, list) = ("GET /send?message=evil HTTP/1.1", "GET /messages HTTP/1.1");
    for hostile in [
        // A form, a script, an image and a link.
        &[
            "POST /send?message=evil HTTP/1.1",
            &own,
            "origin: http://evil.example",
        ][..],
        &[send, &own, "origin: null"],
        &[
            send,
            &own,
            "sec-fetch-site: cross-site",
            "sec-fetch-mode: no-cors",
        ],
        &[send, &own, "referer: http://evil.example/"],
        &[list, &own, "origin: http://evil.example"],
        // A name that resolves to this machine.
        &[send, "host: evil.example"],
        &[list, "host: evil.example"],
    ] {
        let answer = ask(service, hostile);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{hostile:?}: {answer}");
        assert!(!answer.contains("access-control-allow"), "{answer}");
    }
    let answer = ask(service, &["GET /send?message=%ff HTTP/1.1", &own]);
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!(
        get(service, "/messages").expect("it serves"),
        (200, "[]".to_owned())
    );

    let fine = get(service, "/send?message=fine").expect("it serves");
    assert_eq!(fine, (200, "message sent".to_owned()));
    let origin = format!("origin: http://{service}");
    let answer = ask(
        service,
        &[list, &own, &origin, "sec-fetch-site: same-origin"],
    );
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("x-content-type-options: nosniff"),
        "{answer}"
    );
    assert!(answer.ends_with(r#"["fine"]"#), "{answer}");
}

#[test]
fn those_who_say_nothing_do_not_keep_others_out() {
    let session = Session::new();
    let (_up, services) = session.up();
    let mut silent: Vec<_> = (0..64).map(|_| connect(services[0])).collect();
    write!(silent[0], "GET /messages HTTP/1.1\r\nhost: ").expect("written");
    // Behind them all, once they have had their time.
    let answer = get(services[0], "/messages").expect("it serves");
    assert_eq!(answer, (200, "[]".to_owned()));
    for stream in &mut silent {
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .expect("a socket");
        // Hung up on, with or without a word.
        let _ = stream
            .read_to_end(&mut Vec::new())
            .expect("it does not stay open");
    }
}

/// A page, and what is to be shown to it.
struct Page {
    address: SocketAddr,
    /// A line of a request.
    shown: String,
}

/// The page of a command that was started, as its report says.
fn page(process: &Process) -> Page {
    let report = process.stdout_line("the report", PATIENCE, |line| line.starts_with('{'));
    let report: Json = serde_json::from_str(&report).expect("JSON");
    let url = report["page"].as_str().expect("a page");
    let url = url.strip_prefix("http://").expect("a page");
    let (address, key) = url.split_once("/#key=").expect("a key");
    Page {
        address: address.parse().expect("an address"),
        shown: format!("authorization: Bearer {key}"),
    }
}

fn start(session: &Session, arguments: &[&str]) -> (Process, Page) {
    let process = Process::start(session.command(&[arguments, &["--json"]].concat()));
    let page = page(&process);
    (process, page)
}

/// The data of the next event of this name for which there is something.
fn event<T>(stream: &mut impl BufRead, name: &str, look: impl Fn(&Json) -> Option<T>) -> T {
    let wanted = format!("event: {name}");
    let mut line = String::new();
    let mut current = String::new();
    loop {
        line.clear();
        let read = stream.read_line(&mut line).expect("the stream goes on");
        assert!(read > 0, "the stream ended before {name}");
        if let Some(data) = line.strip_prefix("data: ")
            && current == wanted
            && let Some(found) = look(&serde_json::from_str(data).expect("JSON"))
        {
            return found;
        }
        if line.starts_with("event: ") {
            current = line.trim_end().to_owned();
        }
    }
}

/// The stream of a page; of version 1.0, so that it is no more than its events.
fn stream(page: &Page, channel: &str) -> BufReader<TcpStream> {
    let Page { address, shown } = page;
    let mut stream = connect(*address);
    write!(
        stream,
        "GET /api/stream?channel={channel} HTTP/1.0\r\nhost: {address}\r\n{shown}\r\n\r\n"
    )
    .expect("written");
    BufReader::new(stream)
}

fn post(page: &Page, path: &str, body: &str, more: &str) -> String {
    let (length, Page { address, shown }) = (body.len(), page);
    let mut stream = connect(*address);
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\n{shown}\r\n{more}");
    write!(
        stream,
        "{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

const JSON: &str = "content-type: application/json\r\n";

#[test]
fn whatever_the_api_of_the_page_does_not_do_is_answered_in_json() {
    let session = Session::new();
    let (_dashboard, page) = start(&session, &["dashboard", "--port", "0"]);
    let Page { address, shown } = &page;
    let host = format!("host: {address}");
    let get = |path: &str, more: &str| {
        let head = format!("GET {path} HTTP/1.1");
        let lines = [head.as_str(), &host, more];
        ask(*address, &lines[..2 + usize::from(!more.is_empty())])
    };
    let long = format!(r#"{{"node":"{}"}}"#, "x".repeat(3 << 20));
    for (answer, status, code) in [
        (get("/api/member?name=nobody", ""), 401, "no_key"),
        (get("/api/member?name=nobody", shown), 404, "not_found"),
        (get("/api/nothing", shown), 404, "not_found"),
        (get("/api/member", shown), 400, "bad_request"),
        (get("/api/member?name=%ff", shown), 400, "bad_request"),
        (get("/api/messages", shown), 405, "method_not_allowed"),
        (
            get("/api/link?a=1", "origin: http://evil.example"),
            403,
            "forbidden",
        ),
        (post(&page, "/api/messages", "{", JSON), 400, "bad_request"),
        (post(&page, "/api/messages", "{}", JSON), 422, "bad_request"),
        (
            post(&page, "/api/faults", r#"{"fault":"flood"}"#, JSON),
            422,
            "bad_request",
        ),
        (post(&page, "/api/messages", "{}", ""), 415, "bad_request"),
        (post(&page, "/api/messages", &long, JSON), 413, "too_large"),
    ] {
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(head.contains("content-type: application/json"), "{answer}");
        let body: Json = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["error"]["code"], code, "{answer}");
        assert!(
            body["error"]["message"]
                .as_str()
                .is_some_and(|it| it.len() > 5),
            "{answer}"
        );
    }
    let answer = get("/api/messages", shown);
    assert!(answer.contains("allow: POST"), "{answer}");
}

#[test]
fn the_page_shows_all_nodes_and_each_arrival_of_a_message() {
    let session = Session::new();
    let (_up, of_up) = start(
        &session,
        &["up", "--http-base", "0", "--page", "0", "--rtt", "none"],
    );
    let (_dashboard, of_dashboard) = start(&session, &["dashboard", "--port", "0"]);
    for page in [&of_up, &of_dashboard] {
        let mut stream = self::stream(page, "earth");
        event(&mut stream, "state", |state| {
            assert_eq!(state["breakable"], true);
            let members = state["members"].as_object().expect("members");
            assert_eq!(
                members.keys().collect::<Vec<_>>(),
                ["fra-1", "iad-1", "nrt-1"]
            );
            Some(())
        });
        event(&mut stream, "tail", |tail| {
            (tail["places"].as_array().map(Vec::len) == Some(3)).then_some(())
        });
        let message = r#"{"node":"iad-1","channel":"earth","json":"\"<b>hello</b>\""}"#;
        let answer = post(page, "/api/messages", message, JSON);
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        event(&mut stream, "tail", |tail| {
            let row = tail["rows"].as_array()?.first()?;
            assert_eq!(
                (&row["name"], &row["text"]),
                (&"iad-1".into(), &"<b>hello</b>".into())
            );
            let arrivals = row["arrivals"].as_object()?;
            (arrivals.len() == 3).then_some(())
        });
        // A page that is opened later is told what happened before.
        event(&mut self::stream(page, "earth"), "timeline", |entries| {
            let posted = "iad-1 posted on earth";
            entries
                .as_array()?
                .iter()
                .find(|entry| entry["text"] == posted)
                .map(drop)
        });
    }
}

#[test]
fn a_link_is_cut_and_mended_from_the_page() {
    let session = Session::new();
    let (_up, page) = start(&session, &["up", "--http-base", "0", "--page", "0"]);
    let page = &page;
    let mut stream = stream(page, "earth");
    event(&mut stream, "state", |_| Some(()));
    let cut = r#"{"fault":"partition","groups":[["fra"],["iad"]]}"#;
    assert!(post(page, "/api/faults", cut, JSON).starts_with("HTTP/1.1 200 "));
    let of_link = |patch: &Json| Some(patch["links"]["fra|iad"].as_object()?.get("cut")?.clone());
    assert_eq!(event(&mut stream, "patch", of_link), "both");
    let mend = r#"{"fault":"mend","a":"iad","b":"fra"}"#;
    assert!(post(page, "/api/faults", mend, JSON).starts_with("HTTP/1.1 200 "));
    assert_eq!(
        event(&mut stream, "patch", of_link),
        Json::Null,
        "it is gone"
    );
    let nobody = r#"{"fault":"kill","node":"moon-1"}"#;
    let answer = post(page, "/api/faults", nobody, JSON);
    assert!(
        answer.starts_with("HTTP/1.1 409 ") && answer.contains("moon-1"),
        "{answer}"
    );
}

/// Two pages of different programs.
#[test]
fn a_channel_that_is_open_for_nobody_but_pages_is_closed() {
    let session = Session::new();
    let (_up, of_up) = start(
        &session,
        &["up", "--http-base", "0", "--page", "0", "--regions", "fra"],
    );
    let (_dashboard, of_dashboard) = start(&session, &["dashboard", "--port", "0"]);
    let watching = Process::start(session.command(&["watch", "moon", "--node", "fra-1"]));
    let open = || -> Option<(u64, u64)> {
        let report = session.json(&["channels", "--node", "fra-1"]);
        let mut channels = report["channels"].as_array()?.iter();
        let moon = channels.find(|channel| channel["name"] == "moon")?;
        Some((moon["objects"].as_u64()?, moon["observers"].as_u64()?))
    };
    let becomes = |what: &str, wanted: &dyn Fn(Option<(u64, u64)>) -> bool| {
        eventually(what, PATIENCE, || wanted(open()).then_some(()));
    };
    becomes("it is watched", &|it| it == Some((1, 0)));
    let following = [&of_up, &of_dashboard].map(|page| {
        let mut stream = stream(page, "moon");
        event(&mut stream, "tail", |tail| {
            (tail["places"].as_array().map(Vec::len) == Some(1)).then_some(())
        });
        stream
    });
    becomes("both pages follow it", &|it| it == Some((3, 2)));
    drop(watching);
    // Both pages would go on following it, if anybody had it open.
    becomes("it is closed", &|it| {
        it.is_none_or(|(objects, _)| objects == 0)
    });
    drop(following);
}

#[test]
fn the_page_is_for_those_who_have_its_key_and_for_no_other_page() {
    let session = Session::new();
    let (_up, page) = start(
        &session,
        &["up", "--http-base", "0", "--page", "0", "--regions", "fra"],
    );
    let Page { address, shown } = &page;
    let own = format!("host: {address}");
    let answer = ask(*address, &["GET / HTTP/1.1", &own]);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        answer.contains("content-security-policy: default-src 'none'"),
        "{answer}"
    );
    for hostile in [
        &["GET / HTTP/1.1", "host: evil.example"][..],
        &[
            "GET /api/stream HTTP/1.1",
            &own,
            shown,
            "origin: http://evil.example",
        ],
        &[
            "GET /api/member?name=fra-1 HTTP/1.1",
            &own,
            shown,
            "sec-fetch-site: cross-site",
        ],
        &[
            "POST /api/faults HTTP/1.1",
            &own,
            shown,
            "origin: null",
            "content-type: application/json",
        ],
    ] {
        let answer = ask(*address, hostile);
        assert!(answer.starts_with("HTTP/1.1 403 "), "{hostile:?}: {answer}");
    }
    let kill = r#"{"fault":"kill","node":"fra-1"}"#;
    // Requests that a form can send without being asked.
    let answer = post(&page, "/api/faults", kill, "content-type: text/plain\r\n");
    assert!(answer.starts_with("HTTP/1.1 415 "), "{answer}");
    let answer = ask(*address, &["GET /api/faults HTTP/1.1", &own, shown]);
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    // Another user of the machine, who can reach the port.
    let without = Page {
        address: *address,
        shown: format!("authorization: Bearer {}", "0".repeat(32)),
    };
    let message = r#"{"node":"fra-1","channel":"earth","json":"1"}"#;
    for (path, body) in [("/api/faults", kill), ("/api/messages", message)] {
        let answer = post(&without, path, body, JSON);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    }
    for path in ["/api/stream?channel=earth", "/api/member?name=fra-1"] {
        let answer = ask(*address, &[&format!("GET {path} HTTP/1.1"), &own]);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(!answer.contains("fra-1"), "{answer}");
    }
    let status = session.json(&["fault", "status"]);
    assert_eq!(status["nodes"][0]["state"], "up");
    assert_eq!(
        session.json(&["channels", "--node", "fra-1"])["channels"][0]["senders"],
        Json::Array(Vec::new())
    );
}
