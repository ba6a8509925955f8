//! The wings of the crate depend one way, and so do the modules within each.
//!
//! The uses of a file are read off its `crate::…` and `super::…` paths. Tests may use everything.

#![expect(clippy::disallowed_methods, reason = "it reads the sources")]

#[path = "wings/sources.rs"]
mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use sources::{Sources, circle};

/// Each wing, with what it may use. The front file of each says why.
const ARROWS: [(&str, &[&str]); 11] = [
    ("wire", &[]),
    ("ask", &["wire", "identity", "bounds", "conduct"]),
    ("identity", &["wire"]),
    ("bounds", &["wire"]),
    ("conduct", &["wire", "bounds"]),
    ("gossip_health", &["wire"]),
    ("log", &["wire", "identity", "bounds"]),
    ("flow_control", &["wire", "bounds"]),
    ("presence", &["wire", "identity", "bounds", "conduct"]),
    (
        "replication",
        &[
            "wire",
            "identity",
            "bounds",
            "conduct",
            "log",
            "flow_control",
        ],
    ),
    (
        "engine",
        &[
            "wire",
            "identity",
            "bounds",
            "conduct",
            "gossip_health",
            "log",
            "flow_control",
            "replication",
        ],
    ),
];

#[test]
fn wings_use_only_what_the_floor_plan_allows() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, file) in sources().iter() {
        for named in file.names(module) {
            let (from, to) = (&module[0], &named.path[0]);
            if from != to {
                assert!(
                    allowed(from).contains(&to.as_str()),
                    "{from} must not use {to}: {}:{} uses {}",
                    file.path.display(),
                    named.line,
                    named.path.join("::")
                );
                used.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    for (wing, allowed) in ARROWS {
        let used = used.remove(wing).unwrap_or_default();
        let unused = allowed.iter().find(|to| !used.contains(**to));
        assert_eq!(unused, None, "{wing} no longer uses it: strike it out");
    }
}

#[test]
fn the_floor_plan_has_no_circle() {
    let arrows = ARROWS.iter().map(|(from, to)| {
        let to = to.iter().map(ToString::to_string).collect();
        (from.to_string(), to)
    });
    assert_eq!(circle(arrows.collect()), None);
}

#[test]
fn no_two_modules_of_a_folder_need_each_other() {
    assert_eq!(sources().circles(), [[""; 0]; 0]);
}

/// Through the front of its own wing a module would reach siblings that nobody sees. The parts of
/// the engine are methods of it, so they name it.
#[test]
fn modules_name_the_siblings_they_use() {
    for (module, file) in sources().iter() {
        let [wing, _, ..] = module else {
            continue;
        };
        let named = file.names(module).into_iter().map(|named| named.path);
        for path in named.filter(|path| path[0] == *wing && wing != "engine") {
            let is_named = path.get(1).is_some_and(|to| {
                let module = source().join(wing).join(format!("{to}.rs"));
                module.is_file()
            });
            assert!(is_named, "{} uses {}", module.join("::"), path.join("::"));
        }
    }
}

#[test]
fn every_file_is_in_a_wing_that_says_what_it_may_use() {
    for entry in fs::read_dir(source()).expect("there") {
        let name = entry.expect("readable").file_name();
        let name = name.to_str().expect("plain");
        let wing = name.trim_end_matches(".rs");
        let known = ARROWS.iter().any(|(known, _)| *known == wing);
        assert!(known || OUTSIDE.contains(&wing), "{name} is in no wing");
        if known && name.ends_with(".rs") && wing != "engine" {
            let text = fs::read_to_string(source().join(name)).expect("readable");
            let header: Vec<_> = text.lines().take_while(|l| l.starts_with("//!")).collect();
            let header = header.join("\n");
            assert!(
                header.contains("//! May use: ") && header.contains("//! Must not: "),
                "{name} does not say it"
            );
        }
    }
}

/// Files beside the wings: the front page, and what tests are made of.
const OUTSIDE: [&str; 2] = ["lib", "fixture"];

fn allowed(wing: &str) -> &'static [&'static str] {
    let found = ARROWS.iter().find(|(name, _)| *name == wing);
    found.expect("every file is in a wing").1
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Sources {
    Sources::read(&source(), &["lib", "fixture", "tests", "audit"])
}
