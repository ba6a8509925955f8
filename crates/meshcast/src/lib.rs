//! placeholder

mod gate;
mod transport;
