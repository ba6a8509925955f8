//! What crosses crates and processes: real programs, real sockets.
//!
//! No test sleeps to be in step with a process; each polls what it can see, up to a bound that is
//! far from what it takes on a busy machine.

mod admin;
mod break_it;
mod channels;
mod cli;
mod earth;
mod faults;
mod harness;
mod jobs;
mod liars;
mod machines;
mod pages;
mod readers;
mod restart;
mod strangers;
