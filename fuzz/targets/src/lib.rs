//! Everything that reads what others wrote, or does what they ask, as functions of bytes. Each
//! panics if what it must not do happens: it is in this one place for libFuzzer
//! (`fuzz/fuzz_targets`), for the driver on the stable toolchain (`cargo run -p meshcast-fuzz`),
//! and for the tests of the workspace.

mod admission;
mod asks;
mod credential;
mod engine;
mod frame;
mod json;
mod members;
pub mod memory;
pub mod mutate;
#[cfg(feature = "node")]
mod node;
mod presence;
mod seeds;
mod sync;
mod value;

/// Something to be fuzzed.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// What it is called, as in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Takes any bytes, and panics if it finds a fault.
    pub run: fn(&[u8]),
    /// Inputs from which a fuzzer sets out: what is well formed, such as the golden vectors.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Longer inputs show nothing that shorter ones do not.
    pub max_len: usize,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "frame",
        run: frame::run,
        seeds: seeds::frames,
        max_len: 4096,
    },
    Target {
        name: "credential",
        run: credential::run,
        seeds: seeds::chains,
        max_len: 1200,
    },
    Target {
        name: "admission",
        run: admission::run,
        seeds: seeds::admissions,
        max_len: 1200,
    },
    Target {
        name: "sync",
        run: sync::run,
        seeds: seeds::sync_messages,
        max_len: 8192,
    },
    Target {
        name: "value",
        run: value::run,
        seeds: seeds::values,
        max_len: 4096,
    },
    Target {
        name: "json",
        run: json::run,
        seeds: seeds::jsons,
        max_len: 4096,
    },
    Target {
        name: "engine",
        run: engine::run,
        seeds: seeds::engine_scripts,
        max_len: 2048,
    },
    Target {
        name: "presence",
        run: presence::run,
        seeds: presence::scripts,
        max_len: 2048,
    },
    Target {
        name: "asks",
        run: asks::run,
        seeds: asks::scripts,
        max_len: 1024,
    },
    #[cfg(feature = "node")]
    Target {
        name: "admin",
        run: node::admin,
        seeds: node::admin_bodies,
        max_len: 4096,
    },
    #[cfg(feature = "node")]
    Target {
        name: "scenario",
        run: node::scenario,
        seeds: node::scenarios,
        max_len: 4096,
    },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Runs the target of this name.
///
/// # Panics
/// If the target finds a fault, or there is none of that name.
pub fn run(name: &str, data: &[u8]) {
    let target = target(name).expect("the fuzz targets are named as in the table above");
    (target.run)(data);
}
