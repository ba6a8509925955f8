//! A page is open to everybody who shows its key.
//!
//! A port of the loopback interface is open to all users of the machine. So what is shown and
//! changed there is for those only who have the address that the command printed. The key is behind
//! its `#`, which browsers keep to themselves. The page takes it out of the address bar, keeps it
//! for its tab, and shows it with each request. It is no cookie: those are sent to all ports of a
//! host, whoever listens there.

use std::{fmt, net::SocketAddr, sync::Arc};

use axum::http::{HeaderMap, header::AUTHORIZATION};

use crate::exit::Failure;

/// What a page has to show. It is new at each start, and worth nothing once the command has ended.
#[derive(Clone)]
pub(crate) struct PageKey(Arc<str>);

impl PageKey {
    pub(crate) fn random() -> Result<Self, Failure> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(Failure::failed)?;
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self(text.into()))
    }

    /// What to open in a browser.
    pub(crate) fn address(&self, at: SocketAddr) -> String {
        format!("http://{at}/#key={}", self.0)
    }

    /// Whether a request shows it.
    pub(super) fn is_shown(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(shown), None) = (shown.next(), shown.next()) else {
            return false;
        };
        let parts = shown.as_bytes().split_at_checked(SCHEME.len());
        parts.is_some_and(|(scheme, key)| {
            scheme.eq_ignore_ascii_case(SCHEME) && is_same(key, self.0.as_bytes())
        })
    }
}

/// The scheme of the header, in letters of any case (RFC 9110).
const SCHEME: &[u8] = b"Bearer ";

/// However long it takes to compare, that tells nothing of where they differ.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differences == 0
}

impl fmt::Debug for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PageKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn shown(key: &PageKey, values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_str(value).expect("a header");
            headers.append(AUTHORIZATION, value);
        }
        key.is_shown(&headers)
    }

    #[test]
    fn one_key_opens_one_page() {
        let [key, other] = [(); 2].map(|()| PageKey::random().expect("chance"));
        let at = "127.0.0.1:8100".parse().expect("an address");
        let address = key.address(at);
        let (_, text) = address.split_once("/#key=").expect("a key");
        assert_eq!(text.len(), 32);
        let bearer = format!("Bearer {text}");
        assert!(shown(&key, &[&bearer]));
        assert!(shown(&key, &[&format!("bearer {text}")]));
        assert!(!shown(&other, &[&bearer]));
        for wrong in [
            text,
            "Bearer ",
            "",
            &bearer[..bearer.len() - 1],
            &format!("{bearer}0"),
            &format!("Basic {text}"),
        ] {
            assert!(!shown(&key, &[wrong]), "{wrong}");
        }
        assert!(!shown(&key, &[]));
        assert!(!shown(&key, &[&bearer, &bearer]));
        assert!(!format!("{key:?}").contains(text));
    }
}
