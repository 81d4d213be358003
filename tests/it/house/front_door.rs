//! README and the other pages of the root are true: what they name is there, and each command that
//! README shows is run by `.ci/run` or by a test. Its Rust code is a test of `src/lib.rs`.

use std::fs;
use std::path::Path;

/// The pages that a visitor of the repository reads.
const PAGES: [&str; 5] =
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "benches/versus/README.md"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The commands of README: the lines of its `sh` blocks, and what begins with `cargo ` in backticks.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let mut fence = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), fence) {
            (Some(kind), None) => fence = Some(kind),
            (Some(_), Some(_)) => fence = None,
            (None, Some("sh")) => commands.push(line.to_owned()),
            (None, Some(_)) => {}
            (None, None) => {
                let quoted = line.split('`').skip(1).step_by(2);
                commands.extend(quoted.filter(|it| it.starts_with("cargo ")).map(str::to_owned));
            }
        }
    }
    commands
}

/// Whether `.ci/run` or a test runs this command, or the same one with other arguments.
fn is_run(command: &str, ci: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        // The heading of the table of examples.
        ["cargo", "run", "--release", "--example", "..."] => true,
        ["cargo", "run", "--release", "--example", name, ..] => is_tested_example(name),
        ["cargo", "run", "--release", "-p", "versus", .., "--", question] => {
            ci.contains("cargo build --release -p versus")
                && ci.contains("target/release/versus")
                && ci.contains(question)
        }
        ["cargo", "bench", ..] if !ci.contains("cargo bench") => false,
        ["cargo", "bench", "--bench", name] => exists(&format!("benches/{name}")),
        ["cargo", "test", ..] if !ci.contains("cargo test") => false,
        ["cargo", "test", "--test", "it", module, ..] => exists_below("tests/it", module),
        // What is added is the crate itself, and what its own examples are built with.
        ["cargo", "add", "corepoll", "futures"] => read("Cargo.toml").contains("\nfutures = "),
        ["curl", "-i", url] => {
            let path = url.strip_prefix("http://127.0.0.1:8080").expect("the default address");
            read("tests/examples/techempower.rs").contains(&format!("GET {path} HTTP/1.1"))
        }
        _ => ci.lines().any(|line| line.strip_prefix("step ") == Some(command)),
    }
}

/// A file or a folder of that name, with or without `.rs`.
fn exists(path: &str) -> bool {
    root().join(path).is_dir() || root().join(path).with_extension("rs").is_file()
}

/// Whether there is a module of this name in a folder, or in one of the folders in it.
fn exists_below(folder: &str, module: &str) -> bool {
    let entries = fs::read_dir(root().join(folder)).expect("a folder");
    let mut names = entries.map(|entry| entry.expect("an entry").file_name());
    exists(&format!("{folder}/{module}"))
        || names.any(|name| exists(&format!("{folder}/{}/{module}", name.display())))
}

/// Whether there is an example of this name, and one of the tests of the examples names it.
fn is_tested_example(name: &str) -> bool {
    let tests = fs::read_dir(root().join("tests/examples")).expect("tests of the examples");
    let mut tests = tests.map(|entry| fs::read_to_string(entry.expect("an entry").path()));
    exists(&format!("examples/{name}"))
        && tests.any(|test| test.expect("a test").contains(&format!("\"{name}\"")))
}

#[test]
fn each_command_of_readme_is_run() {
    let (commands, ci) = (commands(&read("README.md")), read(".ci/run"));
    assert!(commands.len() > 10, "these are the commands: {commands:?}");
    let not_run: Vec<&String> = commands.iter().filter(|it| !is_run(it, &ci)).collect();
    assert!(not_run.is_empty(), "neither .ci/run nor a test runs {not_run:?}");
}

#[test]
fn readme_lists_each_example() {
    let page = read("README.md");
    for entry in fs::read_dir(root().join("examples")).expect("examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").display().to_string();
        if path.is_file() || path.join("main.rs").is_file() {
            assert!(page.contains(&format!("`{name}`")), "README does not list {name}");
            assert!(is_tested_example(&name), "no test runs the example {name}");
        }
    }
}

#[test]
fn readme_lists_each_example_of_a_companion() {
    let page = read("README.md");
    let mut listed = 0;
    for companion in fs::read_dir(root().join("crates")).expect("companions") {
        let folder = companion.expect("an entry").path();
        let package = folder.file_name().expect("a name").display().to_string();
        for entry in fs::read_dir(folder.join("examples")).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().expect("a name").display().to_string();
            if path.extension().is_some_and(|it| it == "rs") || path.join("main.rs").is_file() {
                let row = format!("[`{name}`](crates/{package}/examples/{name}");
                assert!(page.contains(&row), "README does not list {name} of {package}");
                listed += 1;
            }
        }
    }
    assert!(listed > 5, "these are the examples of companions: {listed}");
}

#[test]
fn each_link_of_a_page_leads_to_a_file() {
    for page in PAGES {
        let folder = Path::new(page).parent().expect("a folder");
        let text = read(page);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            assert!(root().join(folder).join(link).exists(), "{page} has a link to {link}");
        }
    }
}
