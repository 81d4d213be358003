//! The documentation is whole: each public item has an example that runs, what can fail says how,
//! and what can be dropped half-way says what is lost.
//!
//! This reads the sources, as `layers.rs` does. An item is public if it is `pub` and in a public
//! module, or named by a `pub use`; methods that are `pub` are always taken for public, so what is
//! `pub` only to seal a trait has none.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What is documented, and how.
struct Item {
    /// File and line.
    place: String,
    name: String,
    /// From `pub` to the body.
    signature: String,
    /// The lines of its doc comment, without their slashes.
    docs: Vec<String>,
}

impl Item {
    fn says(&self, text: &str) -> bool {
        self.docs.iter().any(|line| line.to_lowercase().contains(text))
    }

    /// The opening fences of its examples.
    fn fences(&self) -> Vec<&str> {
        let fences =
            self.docs.iter().map(|line| line.trim()).filter(|line| line.starts_with("```"));
        fences.step_by(2).collect()
    }
}

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of src") {
            let path = entry.expect("an entry").path();
            // The tests of the crate's inside.
            let is_test = path.ends_with("task/tests") || path.ends_with("task/loom_models");
            if path.is_dir() && !is_test {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found
}

/// The lines of a file without its tests, which stand at its end.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("a source");
    let code = text.split("#[cfg(test)]\nmod tests {").next().expect("a first part");
    code.lines().map(str::to_owned).collect()
}

/// Every word of every `pub use`: the names among them are what is exported.
fn exported(sources: &[PathBuf]) -> HashSet<String> {
    let text: String = sources.iter().flat_map(|path| lines(path)).collect();
    let uses = text.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next());
    let words = uses.flat_map(|it| it.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.map(str::to_owned).collect()
}

/// The files of modules that are public themselves.
fn public_modules(sources: &[PathBuf]) -> HashSet<PathBuf> {
    let mut modules = HashSet::new();
    for path in sources {
        let folder = path.parent().expect("a file is in a folder");
        for name in lines(path).iter().filter_map(|line| line.strip_prefix("pub mod ")) {
            let name = name.trim_end_matches(';');
            modules.insert(folder.join(name).join("mod.rs"));
            modules.insert(folder.join(name).with_extension("rs"));
        }
    }
    modules
}

/// The kind and the name of the public item that begins in a line, if one does.
fn begins(line: &str) -> Option<(&str, String)> {
    let mut words = line.trim_start().strip_prefix("pub ")?.split_whitespace().peekable();
    // `const fn` is a function, and a `const` is none.
    while words.next_if(|word| ["async", "unsafe"].contains(word)).is_some() {}
    let mut kind = words.next()?;
    if kind == "const" && words.next_if_eq(&"fn").is_some() {
        kind = "fn";
    }
    let is_item = ["fn", "struct", "enum", "trait", "type", "const"].contains(&kind);
    let name: String =
        words.next()?.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    is_item.then_some((kind, name))
}

/// All public items of the crate.
fn items() -> Vec<Item> {
    let sources = sources();
    let (exported, public) = (exported(&sources), public_modules(&sources));
    let mut items = Vec::new();
    for path in &sources {
        let lines = lines(path);
        let mut docs = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let line_of_docs = line.trim_start().strip_prefix("///");
            if let Some(text) = line_of_docs {
                docs.push(text.to_owned());
                continue;
            }
            let Some((kind, name)) = begins(line) else {
                // Attributes and notes stand between the two.
                if !["#[", "// "].iter().any(|start| line.trim_start().starts_with(start)) {
                    docs.clear();
                }
                continue;
            };
            let is_method = ["fn", "const"].contains(&kind) && line.starts_with(' ');
            if is_method || exported.contains(&name) || public.contains(path) {
                let rest = lines[at..].iter().map(|line| line.trim());
                let signature: Vec<&str> = rest
                    .scan(false, |over, line| {
                        (!std::mem::replace(over, ends(line))).then_some(line)
                    })
                    .collect();
                let place = format!("{}:{}", path.display(), at + 1);
                let signature = signature.join(" ");
                items.push(Item { place, name, signature, docs: std::mem::take(&mut docs) });
            }
            docs.clear();
        }
    }
    assert!(items.len() > 250, "these are the public items: {}", items.len());
    items
}

/// Whether a signature is over with this line.
fn ends(line: &str) -> bool {
    line.ends_with(['{', ';'])
}

fn complain(about: &str, items: impl Iterator<Item = Item>) {
    let wrong: Vec<String> = items.map(|item| format!("{}: {}", item.place, item.name)).collect();
    assert!(wrong.is_empty(), "{about}:\n{}", wrong.join("\n"));
}

#[test]
fn each_public_item_has_an_example() {
    complain("no example", items().into_iter().filter(|item| item.fences().is_empty()));
}

#[test]
fn each_example_runs() {
    let stands_still = |item: &Item| item.fences().iter().any(|fence| *fence != "```");
    complain("an example that doesn't run", items().into_iter().filter(stands_still));
}

#[test]
fn what_can_fail_says_how() {
    let is_silent = |item: &Item| {
        let output = item.signature.rsplit_once("->").map_or("", |(_, output)| output);
        let can_fail = output.trim_start().starts_with("io::Result");
        can_fail && !item.says("# errors")
    };
    complain("no `# Errors`", items().into_iter().filter(is_silent));
}

#[test]
fn what_can_be_dropped_half_way_says_what_is_lost() {
    let says = |item: &Item| item.says("cancel-safe") || item.says("# cancel safety");
    let is_silent = |item: &Item| item.signature.starts_with("pub async") && !says(item);
    complain("no word of cancelling", items().into_iter().filter(is_silent));
}

/// SECURITY.md names limits and tests that there are.
#[test]
fn what_security_promises_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (page, budget) = (read("SECURITY.md"), read("src/parts/budget.rs"));
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 10, "these are the rows: {}", rows.len());
    let mut limits = 0;
    for row in rows {
        let [_, _, holds, tests, _] = row.split('|').collect::<Vec<_>>()[..] else {
            panic!("no row: {row}")
        };
        let named = |cell: &'_ str| -> Vec<String> {
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        for limit in named(holds).iter().filter(|name| name.contains('_') && !name.contains(':')) {
            let is_there = budget.contains(&format!("pub {limit}:")) || limit == "accept_errors";
            assert!(is_there, "no limit is called {limit}");
            limits += 1;
        }
        assert!(!named(tests).is_empty(), "no test holds: {row}");
        for test in named(tests) {
            // As `cargo test --test it` takes it: folder::module::test.
            match test.rsplit_once("::") {
                Some((module, name)) => {
                    let source = read(&format!("tests/it/{}.rs", module.replace("::", "/")));
                    assert!(source.contains(&format!("fn {name}()")), "no test is called {test}");
                }
                None => assert!(!read(&test).is_empty(), "there is no {test}"),
            }
        }
    }
    assert!(limits >= 7, "{limits}");
}
