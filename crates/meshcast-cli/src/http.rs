//! HTTP on the loopback interface, safe from web pages of others: what the services of `meshcast
//! up` and the page are served by.
//!
//! Requests are answered to programs of this machine alone, and of its web pages to those that were
//! served here. Nothing here knows what is served.

mod guard;
mod patience;
mod server;

pub(crate) use self::server::{Limits, in_words, serve};
