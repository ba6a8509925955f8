//! See `mesh/main.rs`.
