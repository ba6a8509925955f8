//! The modules of the crate stand in layers, and each may use only those of the layers below its
//! own. So there is no circle among them.
//!
//! The uses of a file are read off its `crate::…` and `super::…` paths. Tests may use everything.

#[path = "../../meshcast-proto/tests/wings/sources.rs"]
mod sources;

use std::{
    fs,
    path::{Path, PathBuf},
};

use sources::Sources;

/// From the bottom up. Modules of one layer do not know each other.
const LAYERS: [&[&str]; 13] = [
    &[
        "address",
        "by_region",
        "clock",
        "followed",
        "handover",
        "ids",
        "membership",
        "reason",
        "serde_form",
        "thread",
        "throttle",
        "units",
    ],
    &[
        "dialer", "limits", "netem", "seed", "session", "traffic", "verifier",
    ],
    &["error", "gate", "health", "inspect"],
    &["channel", "config", "event", "key", "transport"],
    &["gossip", "measured", "peers"],
    &["behaviour", "command"],
    &["driver"],
    &["ask", "node", "presence"],
    &["admin", "member", "metrics"],
    &["local"],
    &["spawn"],
    &["builder"],
    &["testing"],
];

/// Files beside the layers: the front page, and what tests are made of.
const OUTSIDE: [&str; 2] = ["lib", "swarm_fixture"];

#[test]
fn a_module_uses_only_those_of_the_layers_below_its_own() {
    let (mut wrong, mut arrows) = (Vec::new(), 0);
    for (module, file) in sources().iter() {
        for named in file.names(module) {
            let at = format!("{}:{}", file.path.display(), named.line);
            let name = &named.path[0];
            match layer(name) {
                _ if *name == module[0] => {}
                Some(to) if Some(to) < layer(&module[0]) => arrows += 1,
                Some(_) => wrong.push(format!("{at} uses {name}, which is not below it")),
                None => wrong.push(format!(
                    "{at} uses crate::{name}: take it from where it is made"
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(arrows > 200, "only {arrows} paths were read");
}

#[test]
fn no_two_modules_of_a_folder_need_each_other() {
    assert_eq!(sources().circles(), [[""; 0]; 0]);
}

#[test]
fn every_module_is_in_one_layer_and_a_wing_says_what_it_may_use() {
    let mut modules = Vec::new();
    for entry in fs::read_dir(source()).expect("there") {
        let path = entry.expect("readable").path();
        let module = stem(&path);
        let is_file = path.extension().is_some_and(|end| end == "rs");
        if !is_file || OUTSIDE.contains(&module.as_str()) {
            continue;
        }
        if source().join(&module).is_dir() {
            let text = fs::read_to_string(&path).expect("readable");
            let says = |what: &str| {
                let mut lines = text.lines();
                lines.any(|it| it.trim_start_matches(['/', '!', ' ']).starts_with(what))
            };
            let told = says("May use: ") && says("Must not: ");
            assert!(told || is_small(&module), "{module}.rs does not say it");
        }
        modules.push(module);
    }
    modules.sort();
    let mut layered: Vec<_> = LAYERS.concat();
    layered.sort_unstable();
    assert_eq!(layered, modules, "each once");
}

/// Whether nothing but tests is in its folder.
fn is_small(module: &str) -> bool {
    let mut below = fs::read_dir(source().join(module)).expect("there");
    below.all(|entry| is_of_tests(&stem(&entry.expect("readable").path())))
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    stem.expect("plain").to_owned()
}

fn is_of_tests(module: &str) -> bool {
    module == "tests" || module == "fixture"
}

fn sources() -> Sources {
    Sources::read(&source(), &["lib", "swarm_fixture", "tests", "fixture"])
}
