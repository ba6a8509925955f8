//! The wings of the crate depend one way, and so do the modules within each.
//!
//! What a file may use is read off its `crate::…` and `super::…` paths. Tests may use everything.

#![expect(clippy::disallowed_methods, reason = "it reads the sources")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each wing, with what it may use. The front file of each says why.
const ARROWS: [(&str, &[&str]); 11] = [
    ("wire", &[]),
    ("ask", &["wire", "identity", "bounds", "conduct"]),
    ("identity", &["wire"]),
    ("bounds", &["wire"]),
    ("conduct", &["wire", "bounds"]),
    ("gossip_health", &["wire"]),
    ("log", &["wire", "identity", "bounds"]),
    ("flow_control", &["wire"]),
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
    for file in files() {
        for path in &file.paths {
            let (from, to) = (&file.module[0], &path[0]);
            if from != to {
                assert!(
                    allowed(from).contains(&to.as_str()),
                    "{from} must not use {to}: {} uses {}",
                    file.module.join("::"),
                    path.join("::")
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
fn no_two_modules_of_a_wing_need_each_other() {
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files() {
        let [wing, module, ..] = &file.module[..] else {
            continue;
        };
        let own = file.paths.iter().filter(|path| path[0] == *wing);
        let siblings = own.filter_map(|path| path.get(1)).filter(|to| {
            // What begins with a capital comes from the front file.
            *to != module && to.starts_with(|first: char| first.is_ascii_lowercase())
        });
        arrows
            .entry(format!("{wing}::{module}"))
            .or_default()
            .extend(siblings.map(|to| format!("{wing}::{to}")));
    }
    assert!(arrows.values().any(|to| !to.is_empty()), "nothing was read");
    assert_eq!(circle(arrows), None);
}

/// Through the front of its own wing a module would reach siblings that nobody sees. The parts of
/// the engine are methods of it, so they name it.
#[test]
fn modules_name_the_siblings_they_use() {
    for file in files() {
        let [wing, _, ..] = &file.module[..] else {
            continue;
        };
        let own = file.paths.iter().filter(|path| path[0] == *wing);
        for path in own.filter(|_| wing != "engine") {
            let named = path.get(1).is_some_and(|to| {
                let module = source().join(wing).join(format!("{to}.rs"));
                module.is_file()
            });
            assert!(named, "{} uses {}", file.module.join("::"), path.join("::"));
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

/// What stands beside the wings: the front page, and what tests are made of.
const OUTSIDE: [&str; 2] = ["lib", "fixture"];

/// A file without its tests and comments.
struct File {
    /// The names of its module, from the root.
    module: Vec<String>,
    /// What it names of the crate, from the root.
    paths: Vec<Vec<String>>,
}

fn allowed(wing: &str) -> &'static [&'static str] {
    let found = ARROWS.iter().find(|(name, _)| *name == wing);
    found.expect("every file is in a wing").1
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files() -> Vec<File> {
    let mut found = Vec::new();
    for (wing, _) in ARROWS {
        read(&source().join(format!("{wing}.rs")), &[wing], &mut found);
    }
    assert!(found.len() > ARROWS.len(), "the folders were not read");
    found
}

/// Reads a module and those below it.
fn read(path: &Path, module: &[&str], found: &mut Vec<File>) {
    let text = fs::read_to_string(path).expect("every module has a file");
    let lines = text.lines();
    let code = lines.take_while(|line| *line != "mod tests {").map(|line| {
        let code = line.split("//").next().unwrap_or_default();
        format!("{code}\n")
    });
    found.push(File {
        module: module.iter().map(ToString::to_string).collect(),
        paths: paths(&code.collect::<String>(), module),
    });
    let folder = path.with_extension("");
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let below = entry.expect("readable").path();
        let name = below.file_stem().and_then(|name| name.to_str());
        let name = name.expect("plain");
        if below.is_file() && !["tests", "audit"].contains(&name) {
            read(&below, &[module, &[name]].concat(), found);
        }
    }
}

/// What this code names of the crate. Items that are taken from the root, as users of the crate do,
/// would hide the wing they are from.
fn paths(code: &str, module: &[&str]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for (at, keyword) in ["crate::", "super::"]
        .iter()
        .flat_map(|keyword| code.match_indices(keyword))
    {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || "_:".contains(before)) {
            continue;
        }
        let mut base: Vec<String> = Vec::new();
        let mut rest = &code[at..];
        if keyword == "super::" {
            let mut depth = module.len();
            while let Some(after) = rest.strip_prefix("super::") {
                (rest, depth) = (after, depth - 1);
            }
            base.extend(module[..depth].iter().map(ToString::to_string));
        } else {
            rest = &rest["crate::".len()..];
        }
        tree(&base, &mut rest, &mut found);
    }
    for path in &found {
        let known = ARROWS.iter().any(|(wing, _)| *wing == path[0]);
        assert!(known, "{} names {}", module.join("::"), path.join("::"));
    }
    found
}

/// Reads what follows a path in `use` or elsewhere: a name, `*`, or a group of trees.
fn tree(base: &[String], rest: &mut &str, found: &mut Vec<Vec<String>>) {
    *rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        *rest = group;
        loop {
            *rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
            if let Some(after) = rest.strip_prefix('}') {
                *rest = after;
                return;
            }
            tree(base, rest, found);
        }
    }
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '*';
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let (name, after) = rest.split_at(end);
    assert!(
        !name.is_empty(),
        "cannot be read: {}",
        &rest[..20.min(rest.len())]
    );
    let path = [base, &[name.to_owned()]].concat();
    match after.strip_prefix("::") {
        Some(after) => {
            *rest = after;
            tree(&path, rest, found);
        }
        None => {
            *rest = after;
            let own = ["self", "*"].contains(&name);
            found.push(if own { base.to_vec() } else { path });
        }
    }
}

/// Some that need each other, if there are any.
fn circle(mut arrows: BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    loop {
        let names: BTreeSet<String> = arrows.keys().cloned().collect();
        let before = arrows.len();
        arrows.retain(|_, to| to.iter().any(|to| names.contains(to)));
        if arrows.is_empty() {
            return None;
        }
        if arrows.len() == before {
            return Some(arrows.into_keys().collect());
        }
    }
}
