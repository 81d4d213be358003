//! The table of `corepoll::docs::bringing_a_crate` is true: the test that a row names is there, its
//! version is one that `Cargo.lock` has, and no crate of the tests is missing.

use std::fs;
use std::path::Path;

/// The page, as rustdoc reads it.
const PAGE: &str = "src/docs/bringing_a_crate.md";

/// Where the tests of the rows are, unless a row names one of a companion, below `crates/`.
const TESTS: &str = "tests/interop/tests/it";

/// What those tests are built of.
const MANIFEST: &str = "tests/interop/Cargo.toml";

/// Crates that the tests use, and that nothing of corepoll is given to: parts of the crates that have rows, and
/// tools of the tests and examples.
const NO_ROWS: [&str; 19] = [
    "bytes",
    "capnp",
    "clap",
    "futures",
    "h3-quinn",
    "http",
    "http-body-util",
    "humantime",
    "libc",
    "prometheus-client",
    "prost",
    "rcgen",
    "rustls",
    "serde",
    "serde_json",
    "socket2",
    "tokio",
    "tonic-prost",
    "corepoll",
];

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

/// The names of the dependencies in a manifest, those of tests included.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    let tables = manifest.split("\n[").filter_map(|table| {
        let (name, lines) = table.split_once("]\n")?;
        name.ends_with("dependencies").then_some(lines)
    });
    tables.flat_map(str::lines).filter_map(|line| line.split_once(" = ")).map(|(name, _)| name)
}

#[test]
fn each_crate_of_the_interop_tests_has_a_row_or_is_a_tool() {
    let (page, manifest) = (read(PAGE), read(MANIFEST));
    let has_row = |name: &str| rows(&page).iter().any(|row| row.name == name);
    let is_tool = |name: &str| NO_ROWS.contains(&name) || name.starts_with("corepoll-");
    let names: Vec<&str> = dependencies(&manifest).collect();
    assert!(names.len() > 40, "the manifest is read: {names:?}");
    let missing: Vec<&&str> =
        names.iter().filter(|name| !has_row(name) && !is_tool(name)).collect();
    assert!(missing.is_empty(), "{PAGE} has no row for {missing:?}");
}
