//! placeholder

mod link;
