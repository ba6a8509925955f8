//! The modules of the crate stand in layers, and each may use only those of the layers below its
//! own. So there is no circle among them.
//!
//! What a file uses is read off its `crate::…` and `super::…` paths. Tests may use everything.

use std::{
    fs,
    path::{Path, PathBuf},
};

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

/// What stands beside the layers: the front page, and what tests are made of.
const OUTSIDE: [&str; 2] = ["lib", "swarm_fixture"];

#[test]
fn a_module_uses_only_those_of_the_layers_below_its_own() {
    let (mut wrong, mut arrows) = (Vec::new(), 0);
    for file in files() {
        for (line, name) in named(&file) {
            let at = format!("{}:{line}", file.path.display());
            match layer(&name) {
                _ if name == file.module[0] => {}
                Some(to) if Some(to) < layer(&file.module[0]) => arrows += 1,
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

/// A file without its comments, and without what is only for tests.
struct File {
    path: PathBuf,
    /// The names of its module, from the root.
    module: Vec<String>,
    code: String,
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

fn files() -> Vec<File> {
    let mut found = Vec::new();
    read(&source(), &[], &mut found);
    assert!(found.len() > 100, "the folders were not read");
    found
}

/// Reads all modules in a folder, and those below them.
fn read(folder: &Path, module: &[String], found: &mut Vec<File>) {
    for entry in fs::read_dir(folder).expect("there") {
        let path = entry.expect("readable").path();
        let name = stem(&path);
        if is_of_tests(&name) || module.is_empty() && OUTSIDE.contains(&name.as_str()) {
            continue;
        }
        let module = [module, &[name]].concat();
        if path.is_dir() {
            read(&path, &module, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("readable");
        let lines = text.lines().take_while(|line| *line != "mod tests {");
        let code = lines.map(|line| line.split("//").next().unwrap_or_default());
        let code = code.collect::<Vec<_>>().join("\n");
        found.push(File { path, module, code });
    }
}

/// The modules of the crate that it names, or what it takes from the root as users of the crate do,
/// each with the line.
fn named(file: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for keyword in ["crate::", "super::"] {
        for (at, _) in file.code.match_indices(keyword) {
            let before = file.code[..at].chars().next_back();
            if before.is_some_and(|before| before.is_alphanumeric() || "_:".contains(before)) {
                continue;
            }
            let mut rest = &file.code[at..];
            let mut depth = file.module.len();
            while let Some(after) = rest.strip_prefix("super::") {
                (rest, depth) = (after, depth.saturating_sub(1));
            }
            let from_root = rest.strip_prefix("crate::");
            let is_up = from_root.is_none();
            if is_up && depth > 0 {
                continue;
            }
            for (start, name) in firsts(from_root.unwrap_or(rest)) {
                // In a module within a file `super` is the file.
                if is_up && layer(name).is_none() {
                    continue;
                }
                let end = file.code.len() - start.len();
                let line = 1 + file.code[..end].matches('\n').count();
                found.push((line, name.to_owned()));
            }
        }
    }
    found
}

/// The first name of each path in a tree, with what follows from there.
fn firsts(tree: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let name = |text| -> &str { str::split(text, |c| !is_name(c)).next().unwrap_or_default() };
    let Some(group) = tree.strip_prefix('{') else {
        return vec![(tree, name(tree))];
    };
    let (mut found, mut depth, mut begins) = (Vec::new(), 0, true);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' => begins |= depth == 0,
            _ if begins && is_name(c) => {
                found.push((&group[at..], name(&group[at..])));
                begins = false;
            }
            _ => {}
        }
    }
    found
}
