//! What a web page that is open on the same machine can do to the services of `meshcast up`, and
//! what tools can.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::harness::{PATIENCE, Session, get};

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
