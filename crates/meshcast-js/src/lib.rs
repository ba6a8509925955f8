//! The addon of the npm package: bytes in, bytes out. The form of values and the behaviour of the
//! web's class are JavaScript, in `lib`.
//!
//! An addon is loaded once into a process, so all its threads share the one node that is here
//! ([`process`]); each thread has a link ([`link`]) for each name that it has open, which
//! hands over what arrives in batches ([`batch`]), and a watch ([`presence`]) where it looks who is
//! there.

mod answer;
mod batch;
mod link;
mod log;
mod open;
mod presence;
mod process;
mod report;
