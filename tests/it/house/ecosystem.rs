//! The table of `corepoll::docs::bringing_a_crate` is true: the test that a row names is there, and
//! its version is one that `Cargo.lock` has.

use std::fs;
use std::path::Path;

/// The page, as rustdoc reads it.
const PAGE: &str = "src/docs/bringing_a_crate.md";

/// Where the tests of the rows are, unless a row names one of a companion, below `crates/`.
const TESTS: &str = "tests/interop/tests/it";

/// A row of the table.
#[derive(Debug)]
struct Row<'a> {
    name: &'a str,
    version: &'a str,
    /// The file of its test, and the function.
    test: (&'a str, &'a str),
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of the table of crates: those of five cells, of which the last one names a test.
fn rows(page: &str) -> Vec<Row<'_>> {
    let heading = "| crate | version | how | glue | tested by |\n|---|---|---|---|---|\n";
    let (_, table) = page.split_once(heading).expect("the page has the table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, version, _how, _glue, test] = cells[..] else { panic!("five cells: {line}") };
        let test = test.trim_matches('`').split_once("::");
        Row { name, version, test: test.unwrap_or_else(|| panic!("a file and a test: {line}")) }
    })
    .collect()
}

/// Whether `Cargo.lock` has this crate in a version that begins with the one named.
fn is_locked(lock: &str, Row { name, version, .. }: &Row<'_>) -> bool {
    let entry = format!("name = \"{name}\"\nversion = \"{version}");
    // The next character ends a part of the version: `1` is not `12.0`.
    lock.match_indices(&entry).any(|(at, _)| lock[at + entry.len()..].starts_with(['.', '"']))
}

#[test]
fn each_row_names_a_test_that_is_there() {
    let page = read(PAGE);
    let rows = rows(&page);
    assert!(rows.len() > 20, "the table is read: {}", rows.len());
    for row in rows {
        let (file, function) = row.test;
        let is_companions = file.starts_with("crates/");
        let source = read(&if is_companions { file.to_owned() } else { format!("{TESTS}/{file}") });
        let is_there = source.contains(&format!("#[test]\nfn {function}("));
        assert!(is_there, "{}: {file} has no test {function}", row.name);
    }
}

#[test]
fn each_row_names_the_version_of_the_lock_file() {
    let (page, lock) = (read(PAGE), read("Cargo.lock"));
    let unlocked: Vec<Row<'_>> =
        rows(&page).into_iter().filter(|row| !is_locked(&lock, row)).collect();
    assert!(unlocked.is_empty(), "Cargo.lock has other versions than {PAGE}: {unlocked:#?}");
}
