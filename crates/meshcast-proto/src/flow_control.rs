//! Flow control: the send windows, which listeners keep up, whom gossip skips, and readers of this
//! process that are behind.
//!
//! May use: [`wire`](crate::wire), and deadlines of [`bounds`](crate::bounds).
//! Must not: know frames or requests; it sees numbers, bytes and times only.

mod laggards;
mod lagging;
mod readers;
mod send_windows;
mod window;

pub(crate) use laggards::{Checkpoints, Progress};
pub(crate) use lagging::Lagging;
pub(crate) use readers::ReadersBehind;
pub(crate) use send_windows::SendWindows;
