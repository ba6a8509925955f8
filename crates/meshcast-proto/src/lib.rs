//! placeholder

pub mod value;
