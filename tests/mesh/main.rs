//! What crosses crates and processes: real programs, real sockets.
//!
//! No test sleeps to be in step with a process; each polls what it can see, up to a bound that is
//! far from what it takes on a busy machine.

mod admin;
mod bench;
mod break_it;
mod channels;
mod chat;
mod cli;
mod completions;
mod doctor;
mod earth;
mod faults;
mod harness;
mod isolation;
mod jobs;
mod liars;
mod local;
mod machines;
mod metrics;
mod pages;
mod posts;
mod readers;
mod restart;
mod resume;
mod strangers;
mod top;
