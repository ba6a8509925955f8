//! One file a command.

pub(crate) mod channels;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod fault;
pub(crate) mod key;
pub(crate) mod node;
pub(crate) mod nodes;
pub(crate) mod peers;
pub(crate) mod ping;
pub(crate) mod post;
pub(crate) mod sim;
pub(crate) mod up;
pub(crate) mod watch;
