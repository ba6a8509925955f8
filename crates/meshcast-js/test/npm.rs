//! The tests of the npm package, so that `cargo test --workspace` runs all tests there are. By
//! themselves, they are run by `npm test` in the folder of this crate.
//!
//! A binary of its own, since Cargo runs one after another: what these tests start takes all of the
//! machine. Runners that mix binaries are told in `.config/nextest.toml`.

use std::{
    env,
    io::{self, Write},
    path::Path,
    process::Command,
};

/// A script that runs them elsewhere sets it, and they are skipped here.
const ELSEWHERE: &str = "MESHCAST_NPM_TESTED_ELSEWHERE";
/// The oldest Node that the package runs in; the same as in `package.json`.
const OLDEST: (u32, u32) = (20, 19);

#[test]
fn the_npm_package_passes_its_own_tests() {
    if let Err(why) = check() {
        // Past the capture of the test harness: who reads the log should see it.
        let _ = writeln!(io::stderr(), "skipped: the npm package: {why}");
        return;
    }
    if !is_installed() {
        run("npm", &["ci", "--no-audit", "--no-fund"]);
    }
    run("node", &["scripts/build.js", "--debug"]);
    run("npm", &["test"]);
}

fn check() -> Result<(), String> {
    if env::var_os(ELSEWHERE).is_some_and(|value| !value.is_empty()) {
        return Err(format!("{ELSEWHERE} is set"));
    }
    let found = version("node").ok_or("Node is not installed")?;
    version("npm").ok_or("npm is not installed")?;
    if found < OLDEST {
        let (major, minor) = OLDEST;
        return Err(format!("it needs Node {major}.{minor} or newer"));
    }
    Ok(())
}

/// What a program says of its version: major and minor.
fn version(program: &str) -> Option<(u32, u32)> {
    let said = Command::new(program).arg("--version").output().ok()?;
    let said = String::from_utf8(said.stdout).ok()?;
    let mut numbers = said.trim().trim_start_matches('v').split('.');
    let mut next = || numbers.next()?.parse().ok();
    Some((next()?, next()?))
}

/// Whether what npm has put there is what is locked.
fn is_installed() -> bool {
    let changed = |path: &str| here().join(path).metadata()?.modified();
    match (
        changed("node_modules/.package-lock.json"),
        changed("package-lock.json"),
    ) {
        (Ok(installed), Ok(locked)) => installed >= locked,
        _ => false,
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn run(program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(here());
    // The variables of Cargo for this test are hidden from the Cargo that builds the addon.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&said)
    );
}
