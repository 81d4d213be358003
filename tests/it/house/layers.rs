//! The architecture is in the tree, and holds: a file imports from floors below its own, or from
//! its own floor where that is sensible; and unsafe code stays in its rooms.

use std::fs;
use std::path::{Path, PathBuf};

/// The folders and files of `src`, and the floor of each.
const FLOORS: &[(&str, usize)] = &[
    ("base", 0),
    ("task", 1),
    ("sys", 1),
    ("parts", 2),
    ("local", 3),
    ("connection", 4),
    ("source", 5),
    ("poller", 6),
    ("spawn", 7),
    ("blocking", 7),
    ("reactor", 7),
    ("time", 7),
    ("net", 8),
    ("signal", 8),
    ("io", 9),
    ("docs", 9),
];

/// Rooms whose verbs have not yet moved above their nouns: these imports still go up.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("local", "connection"),
    ("local", "source"),
    ("local", "poller"),
    ("connection", "source"),
    ("connection", "poller"),
    ("source", "poller"),
];

/// Where unsafe code may be: two rooms, and a file that says what the safe form costs.
const UNSAFE: &[&str] = &["sys/", "task/", "local/table.rs"];

fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of src") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 30, "these are the sources");
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The room that a file is in: its folder under `src`, or the name of a file right there.
fn room(path: &Path) -> String {
    let inside = path.strip_prefix(root()).expect("a file of src");
    let first = inside.iter().next().and_then(|first| first.to_str()).expect("a name");
    first.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> usize {
    let known = FLOORS.iter().find(|(name, _)| *name == room);
    known.unwrap_or_else(|| panic!("{room} is not in the map of the floors")).1
}

/// What stands at the end of a file that has it.
const TESTS: [&str; 2] =
    ["#[cfg(test)]\nmod tests {", "#[cfg(all(test, loom))]\nmod loom_models {"];

/// The code of a file: without its comments, and without its tests and models.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a source");
    let end = TESTS.iter().filter_map(|tests| text.find(tests)).min().unwrap_or(text.len());
    let code = &text[..end];
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The first names after each `crate::`, of uses and of paths in the code.
fn rooms_named(code: &str) -> Vec<String> {
    let name = |rest: &str| -> String {
        rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    // `use crate::{a, b}` would hide rooms from this.
    assert!(!code.contains("crate::{"), "one `use crate::room` a line");
    let named = code.split("crate::").skip(1).map(name);
    // `$crate` and macros of the root apart.
    named.filter(|name| FLOORS.iter().any(|(room, _)| room == name)).collect()
}

#[test]
fn a_file_imports_from_floors_below_its_own() {
    let mut wrong = Vec::new();
    for path in sources() {
        let here = room(&path);
        if here == "lib" {
            continue;
        }
        for there in rooms_named(&code(&path)) {
            let is_below = floor(&there) < floor(&here);
            let is_neighbour = NEIGHBOURS.contains(&(here.as_str(), there.as_str()));
            if here != there && !is_below && !is_neighbour {
                wrong.push(format!("{} names crate::{there}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the floors:\n{}", wrong.join("\n"));
}

#[test]
fn no_part_of_a_poller_knows_another() {
    for path in sources().iter().filter(|path| room(path) == "parts") {
        let code = code(path);
        for way in ["crate::parts", "super::"] {
            assert!(!code.contains(way), "{} knows another part: {way}", path.display());
        }
    }
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    for path in sources() {
        let code = code(&path);
        let has_unsafe = code.contains("unsafe ") || code.contains("allow(unsafe_code)");
        let place = path.strip_prefix(root()).expect("a source").to_str().expect("a plain name");
        let may = UNSAFE.iter().any(|room| place.starts_with(room));
        assert!(!has_unsafe || may, "{place}");
    }
}

#[test]
fn system_calls_and_clocks_stay_in_sys() {
    for path in sources().iter().filter(|path| room(path) != "sys") {
        let code = code(path);
        // Names of errors are no calls.
        let calls = code.replace("libc::E", "");
        assert!(!calls.contains("libc::"), "{} calls libc", path.display());
        assert!(!calls.contains("Instant::now"), "{} reads the clock", path.display());
    }
}

#[test]
fn every_argument_for_unsafe_code_is_written_down() {
    for path in sources() {
        let text = fs::read_to_string(&path).expect("a source");
        let blocks = text.matches("unsafe {").count();
        let arguments = text.matches("SAFETY:").count() + text.matches("# Safety").count();
        assert!(blocks <= arguments, "{}: {blocks} blocks, {arguments}", path.display());
    }
}
