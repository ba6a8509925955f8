//! Requests to the admin socket that make no sense, or are meant to hurt.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use serde_json::Value as Json;

use crate::harness::{PATIENCE, Process, Session};

fn node() -> (Session, Process, PathBuf) {
    let session = Session::new();
    let node = [
        "node",
        "--name",
        "fra-1",
        "--json",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ];
    let node = Process::start(session.command(&node));
    node.stdout_line("listening", PATIENCE, |line| line.contains("listening"));
    let socket = session.directory().path().join("meshcast/fra-1.sock");
    (session, node, socket)
}

/// Status and code of the refusal, empty if there is none.
fn refusal(socket: &Path, head: &str, body: &[u8]) -> (u16, String) {
    let (status, error) = answer(socket, head, body);
    (
        status,
        error["code"].as_str().unwrap_or_default().to_owned(),
    )
}

/// Status and error, null if there is none.
fn answer(socket: &Path, head: &str, body: &[u8]) -> (u16, Json) {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let head = format!(
        "{head}\r\nhost: node\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    // It may refuse before all has arrived, and hang up on the rest.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
    let mut answer = Vec::new();
    // A reset after the answer is none of its parts.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    let json: Json = serde_json::from_str(body).unwrap_or_default();
    (status.expect("a status"), json["error"].clone())
}

#[test]
fn what_is_no_text_when_it_is_decoded_is_no_name() {
    let (_session, _node, socket) = node();
    let bad = (400, "bad_request".to_owned());
    for channel in ["%ff", "%C3%28", "a%00%80", "%ED%A0%80"] {
        let post = format!("POST /v1/messages?channel={channel} HTTP/1.1");
        assert_eq!(refusal(&socket, &post, b"1"), bad, "{channel}");
        let watch = format!("GET /v1/messages?channel={channel} HTTP/1.1");
        assert_eq!(refusal(&socket, &watch, b""), bad, "{channel}");
        let ping = format!("POST /v1/ping/{channel} HTTP/1.1");
        assert_eq!(refusal(&socket, &ping, b""), bad, "{channel}");
    }
    let fine = "POST /v1/messages?channel=%E6%97%A5%EF%BF%BD+%20 HTTP/1.1";
    assert_eq!(refusal(&socket, fine, b"1"), (200, String::new()));
}

#[test]
fn a_refusal_says_what_to_do_otherwise() {
    let (_session, _node, socket) = node();
    let large = "1".repeat(7 << 20);
    for (head, body, says) in [
        (
            "POST /v1/messages HTTP/1.1",
            "1",
            "the query names no channel: it needs channel=NAME",
        ),
        (
            "GET /v1/messages?last=1 HTTP/1.1",
            "",
            "the query names no channel: it needs channel=NAME",
        ),
        (
            "GET /v1/messages?channel=a&last=x HTTP/1.1",
            "",
            "the query makes no sense: last: invalid digit found in string",
        ),
        (
            "POST /v1/messages?channel=a HTTP/1.1",
            &large,
            "the body of 7340032 bytes is no message: the limit of one is 1048576 bytes",
        ),
    ] {
        assert_eq!(answer(&socket, head, body.as_bytes()).1["message"], says);
    }
}

#[test]
fn hostile_requests_are_refused_with_a_reason() {
    let (_session, _node, socket) = node();
    let post = "POST /v1/messages?channel=earth HTTP/1.1";
    let deep = "[".repeat(1 << 20);
    let large = "1".repeat(7 << 20);
    for (head, body, status, code) in [
        (post, "", 400, "bad_json"),
        (post, &deep[..], 400, "bad_json"),
        (post, "\"\\ud800\"", 400, "bad_json"),
        (post, &large, 413, "too_large"),
        ("POST /v1/messages HTTP/1.1", "1", 400, "bad_request"),
        (
            "POST /v1/messages?channel=a&channel=b HTTP/1.1",
            "1",
            400,
            "bad_request",
        ),
        (
            "GET /v1/messages?channel=a&last=-1 HTTP/1.1",
            "",
            400,
            "bad_request",
        ),
        (
            "GET /v1/messages?channel=a&last=99999999999999999999 HTTP/1.1",
            "",
            400,
            "bad_request",
        ),
        (
            "DELETE /v1/messages?channel=a HTTP/1.1",
            "",
            405,
            "method_not_allowed",
        ),
        ("GET /v1/../node HTTP/1.1", "", 404, "not_found"),
        ("POST /v1/ping/nobody HTTP/1.1", "", 400, "bad_request"),
    ] {
        assert_eq!(
            refusal(&socket, head, body.as_bytes()),
            (status, code.to_owned()),
            "{head}"
        );
    }
    let padded = format!("GET /v1/node HTTP/1.1\r\nx: {}", "x".repeat(1 << 20));
    assert_eq!(refusal(&socket, &padded, b"").0, 431);
    let many = format!("GET /v1/node HTTP/1.1{}", "\r\nx: y".repeat(1_000));
    assert_eq!(refusal(&socket, &many, b"").0, 431);
    assert_eq!(
        refusal(&socket, "GET /v1/node HTTP/1.1", b""),
        (200, String::new())
    );
}
