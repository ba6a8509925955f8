//! The programs under test, built once, like the test itself.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Program {
    /// The examples.
    Earth,
    Chat,
    /// The command.
    Meshcast,
}

/// A command that takes nothing from the environment of the tests but what it needs to run.
pub(crate) fn command(program: Program) -> Command {
    let mut command = Command::new(match program {
        Program::Earth => BUILT.join("examples/earth"),
        Program::Chat => BUILT.join("examples/chat"),
        Program::Meshcast => BUILT.join("meshcast"),
    });
    command.env_clear().env("NO_COLOR", "1");
    for kept in ["PATH", "HOME", "RUST_BACKTRACE"] {
        command.envs(env::var_os(kept).map(|value| (kept, value)));
    }
    command
}

/// The directory of the profile that this test was built with.
static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    let test = env::current_exe().expect("a path");
    let built = test
        .ancestors()
        .nth(2)
        .expect("<target>/<profile>/deps/<test>");
    let (target, profile) = (built.parent(), built.file_name());
    let profile = match profile
        .and_then(|name| name.to_str())
        .expect("the name of a profile")
    {
        "debug" => "dev",
        name => name,
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a workspace");
    // The whole workspace, so that features are the same as in the build of this test.
    let done = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bin",
            "meshcast",
            "--example",
            "earth",
            "--example",
            "chat",
        ])
        .args(["--profile", profile, "--target-dir"])
        .arg(target.expect("a target directory"))
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    built.to_owned()
});
