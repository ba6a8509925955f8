//! The modules of the crate need each other one way.
//!
//! The uses of a file are read off its `crate::…` and `super::…` paths. Tests may use everything.

#![expect(clippy::disallowed_methods, reason = "it reads the sources")]

#[path = "../../meshcast-proto/tests/wings/sources.rs"]
mod sources;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use sources::{Sources, circle};

#[test]
fn no_two_modules_need_each_other() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources = Sources::read(&source, &["lib", "tests"]);
    let modules: BTreeSet<String> = sources.iter().map(|(it, _)| it[0].clone()).collect();
    let mut arrows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (module, file) in sources.iter() {
        for named in file.names(module) {
            let (from, to) = (&module[0], &named.path[0]);
            let at = format!("{}:{}", file.path.display(), named.line);
            assert!(
                modules.contains(to),
                "{at}: take {to} from where it is made"
            );
            if from != to {
                arrows.entry(from.clone()).or_default().insert(to.clone());
            }
        }
    }
    assert!(arrows.len() > 10, "the sources were not read");
    assert_eq!(circle(arrows), None);
    assert_eq!(sources.circles(), [[""; 0]; 0]);
}
