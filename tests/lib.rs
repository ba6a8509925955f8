//! Fleets of real processes under faults, and the judgement of what they did.
//!
//! A [`fleet`] is ten processes of [`member`], each with one node, which write down what they post
//! and what they hear. [`prove`] drives them through the scenarios that the guarantees are held
//! against; the logs go to the checker of `meshcast-sim`, and [`account`] makes figures of them.
//! The program `prove` prints these; the test binary (`mesh/main.rs`) runs short versions.

pub mod account;
pub mod clock;
pub mod fleet;
pub mod hostile;
pub mod member;
pub mod ordeal;
pub mod presence;
pub mod prove;
pub mod siege;
pub mod stranger;
