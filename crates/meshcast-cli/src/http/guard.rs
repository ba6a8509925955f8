//! Keeps web pages of others out: any page that is open in a browser on this machine can send
//! requests to a service on it.
//!
//! A page of another origin is told by what browsers say of each request: `Sec-Fetch-Site`, and
//! older ones `Origin` or `Referer`. One whose name was made to resolve to this machine (DNS
//! rebinding) is of the same origin to the browser, and told by `Host`. Tools send none of these
//! but `Host`.

use std::net::IpAddr;

use axum::http::{
    HeaderMap, Request, Uri,
    header::{HOST, ORIGIN, REFERER},
    uri::Authority,
};
use percent_encoding::percent_decode_str;

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It was not meant for this service.
    Host,
    /// A web page of somebody else sent it.
    Origin,
    /// Its query cannot be read.
    NoText,
}

/// Whether a request to a service at `port` of the loopback interface is to be answered.
pub(super) fn check<B>(request: &Request<B>, port: u16) -> Result<(), Refusal> {
    if !is_meant(request.uri(), request.headers(), port) {
        return Err(Refusal::Host);
    }
    if !is_from_here(request.headers(), port) {
        return Err(Refusal::Origin);
    }
    let query = request.uri().query().unwrap_or_default();
    match percent_decode_str(query).decode_utf8() {
        Ok(_) => Ok(()),
        Err(_) => Err(Refusal::NoText),
    }
}

/// Both places that may say for whom it is must agree.
fn is_meant(uri: &Uri, headers: &HeaderMap, port: u16) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let host = host.to_str().is_ok_and(|host| is_ours(host, port));
    host && uri
        .authority()
        .is_none_or(|authority| is_ours(authority.as_str(), port))
}

fn is_from_here(headers: &HeaderMap, port: u16) -> bool {
    let all = |name: &str, fine: &dyn Fn(&str) -> bool| {
        let mut values = headers.get_all(name).iter();
        values.all(|value| value.to_str().is_ok_and(fine))
    };
    let origin = |origin: &str| {
        origin
            .strip_prefix("http://")
            .is_some_and(|host| is_ours(host, port))
    };
    let referer = |page: &str| {
        let page = page.strip_prefix("http://").unwrap_or_default();
        is_ours(page.split('/').next().unwrap_or_default(), port)
    };
    // `none`: the user typed it.
    all("sec-fetch-site", &|site| {
        ["same-origin", "none"].contains(&site)
    }) && all(ORIGIN.as_str(), &origin)
        && all(REFERER.as_str(), &referer)
}

/// Whether a name and port are this service, by a name that nobody can make resolve to something
/// else.
fn is_ours(authority: &str, port: u16) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    let is_plain = !authority.as_str().contains('@');
    is_loopback && is_plain && authority.port_u16().unwrap_or(HTTP) == port
}

/// The default port of a service.
const HTTP: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(uri: &str, headers: &[(&str, &str)]) -> Result<(), Refusal> {
        let request = Request::builder().uri(uri);
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        check(&request.body(()).expect("a request"), 8101)
    }

    #[test]
    fn tools_and_the_own_pages_are_let_in() {
        for host in [
            "127.0.0.1:8101",
            "localhost:8101",
            "LOCALHOST:8101",
            "[::1]:8101",
            "127.1.2.3:8101",
        ] {
            assert_eq!(checked("/messages", &[("host", host)]), Ok(()), "{host}");
        }
        let host = ("host", "localhost:8101");
        for header in [
            ("origin", "http://localhost:8101"),
            ("origin", "http://127.0.0.1:8101"),
            (
                "referer",
                "http://localhost:8101/messages?x=http://evil.example/",
            ),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            assert_eq!(
                checked("/send?message=%E6%97%A5", &[host, header]),
                Ok(()),
                "{header:?}"
            );
        }
        assert_eq!(checked("http://127.0.0.1:8101/messages", &[host]), Ok(()));
    }

    #[test]
    fn a_name_that_is_made_to_resolve_to_this_machine_is_refused() {
        for host in [
            "evil.example",
            "evil.example:8101",
            "127.0.0.1.evil.example:8101",
            "localhost.evil.example:8101",
            "localhost@evil.example:8101",
            "evil.example@localhost:8101",
            "192.0.2.1:8101",
            "0.0.0.0:8101",
            "localhost",
            "localhost:8102",
            "localhost:",
            "",
            " ",
        ] {
            assert_eq!(
                checked("/messages", &[("host", host)]),
                Err(Refusal::Host),
                "{host:?}"
            );
        }
        let (own, other) = (("host", "localhost:8101"), ("host", "evil.example:8101"));
        assert_eq!(checked("/messages", &[]), Err(Refusal::Host));
        assert_eq!(checked("/messages", &[own, other]), Err(Refusal::Host));
        assert_eq!(
            checked("http://evil.example:8101/messages", &[own]),
            Err(Refusal::Host)
        );
        assert_eq!(
            checked("http://localhost:8101/messages", &[other]),
            Err(Refusal::Host)
        );
    }

    #[test]
    fn a_page_of_another_origin_is_refused_however_the_browser_tells() {
        let host = ("host", "localhost:8101");
        for header in [
            ("origin", "http://evil.example"),
            ("origin", "http://localhost:8102"),
            ("origin", "https://localhost:8101"),
            ("origin", "null"),
            ("origin", ""),
            ("referer", "http://evil.example/http://localhost:8101/"),
            ("referer", "https://localhost:8101/"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(
                checked("/send?message=x", &[host, header]),
                Err(Refusal::Origin),
                "{header:?}"
            );
        }
        let twice = [
            host,
            ("origin", "http://localhost:8101"),
            ("origin", "http://evil.example"),
        ];
        assert_eq!(checked("/messages", &twice), Err(Refusal::Origin));
    }

    #[test]
    fn a_query_that_is_no_text_is_refused() {
        let host = ("host", "localhost:8101");
        for query in ["message=%ff", "%C3=1", "message=%ED%A0%80"] {
            assert_eq!(
                checked(&format!("/send?{query}"), &[host]),
                Err(Refusal::NoText),
                "{query}"
            );
        }
    }
}
