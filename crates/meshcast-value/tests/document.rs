//! `docs/values.md` and the front page of the crate specify the payload format in the same words.

#![expect(clippy::disallowed_methods, reason = "it reads a document")]

use std::fs;

use meshcast_value::MAX_DEPTH;

#[test]
fn the_document_of_the_format_has_the_words_of_the_front_page() {
    let manifest = env!("CARGO_MANIFEST_DIR");
    let read = |path: &str| fs::read_to_string(format!("{manifest}/{path}")).expect("readable");
    let front = read("src/lib.rs");
    let front = front.lines().filter_map(|line| line.strip_prefix("//!"));
    let front = front.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let format = front.skip_while(|line| *line != "# Format").skip(1);
    let format: Vec<_> = format.take_while(|line| !line.starts_with("# ")).collect();
    let format = format.join("\n");
    assert_eq!(MAX_DEPTH, 1_000, "as the document says");
    let format = format.replace("[`MAX_DEPTH`]", "1,000 levels");
    let document = read("../../docs/values.md");
    let (_, document) = document.split_once("## Format\n").expect("a section");
    assert_eq!(document.trim(), format.trim());
}
