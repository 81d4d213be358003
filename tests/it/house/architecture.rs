//! ARCHITECTURE.md is true to the sources: each file that it names is there, and defines the function
//! or type that it names with it.

use std::fs;
use std::path::{Path, PathBuf};

/// Returns what stands between backticks, outside of code blocks.
fn quoted(page: &str) -> Vec<&str> {
    let blocks = page.split("```").step_by(2);
    blocks.flat_map(|text| text.split('`').skip(1).step_by(2)).collect()
}

/// Returns the file of a path that the page gives, from `src` or from the root of the repository.
fn file(path: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = [root.join("src").join(path), root.join(path), root.join("tests/it").join(path)];
    found.into_iter().find(|path| path.exists())
}

/// Returns `true` if the source defines an item of that name.
fn defines(source: &str, name: &str) -> bool {
    ["fn", "struct", "enum", "trait", "const"].iter().any(|kind| {
        let begins = format!("{kind} {name}");
        let ends =
            |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
        source.match_indices(&begins).any(|(at, _)| ends(&source[at + begins.len()..]))
    })
}

#[test]
fn each_file_that_the_architecture_names_is_there_and_defines_what_it_is_named_for() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = fs::read_to_string(page).expect("the page");
    let (mut wrong, mut functions) = (Vec::new(), 0);
    for text in quoted(&page) {
        let (path, name) = text.split_once(".rs::").unwrap_or((text, ""));
        let is_file = name.is_empty() && path.ends_with(".rs");
        let is_folder = name.is_empty() && path.ends_with('/');
        if !is_file && !is_folder && name.is_empty() {
            continue;
        }
        let path = if name.is_empty() { path.to_owned() } else { format!("{path}.rs") };
        match file(&path) {
            None => wrong.push(format!("{text}: there is no such file")),
            Some(file) if !name.is_empty() => {
                functions += 1;
                let source = fs::read_to_string(file).expect("a source");
                if !defines(&source, name) {
                    wrong.push(format!("{text}: it defines no such item"));
                }
            }
            Some(_) => {}
        }
    }
    assert!(functions > 20, "the ways through the house name functions: {functions}");
    assert!(wrong.is_empty(), "ARCHITECTURE.md:\n{}", wrong.join("\n"));
}
