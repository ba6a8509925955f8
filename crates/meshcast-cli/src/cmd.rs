//! One file a command.

pub(crate) mod bench;
pub(crate) mod channels;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod dashboard;
pub(crate) mod doctor;
pub(crate) mod fault;
pub(crate) mod health;
pub(crate) mod key;
pub(crate) mod man;
pub(crate) mod map;
pub(crate) mod node;
pub(crate) mod nodes;
pub(crate) mod peers;
pub(crate) mod ping;
pub(crate) mod post;
pub(crate) mod sim;
pub(crate) mod top;
pub(crate) mod trace;
pub(crate) mod up;
pub(crate) mod watch;
pub(crate) mod who;
