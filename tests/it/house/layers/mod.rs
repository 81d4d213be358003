//! The architecture is in the tree, and holds: a file knows only files of floors below its own, or of
//! its own floor; no circle of files but one; and unsafe code stays in its rooms.

mod arrows;
pub mod source;

use std::collections::BTreeSet;
use std::fs;

use arrows::Arrows;
use source::{Source, root, sources};

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
    ("sim", 9),
    // Doors: names of the floors below, under the paths that users know.
    ("coop", 9),
    ("stall", 9),
    ("docs", 9),
];

/// The one circle of files: a callback is given a context, which can register another handler. The
/// table holds handlers, the context reaches the table, and what waits for its phase holds handlers
/// as well. A virtual call an event, or a type parameter on everything, would be the price of
/// opening it.
const CIRCLE: [&str; 7] = [
    "local/attempt.rs",
    "local/connection.rs",
    "local/context.rs",
    "local/deferred.rs",
    "local/handler.rs",
    "local/state.rs",
    "local/table.rs",
];

/// Where unsafe code may be: two rooms, and files that say what the safe form costs.
const UNSAFE: [&str; 4] = ["sys/", "task/", "local/in_place.rs", "local/table.rs"];

/// Lines of a file, its tests included.
const MOST_LINES: usize = 400;

/// Lines of a function, from its signature to its closing brace.
const MOST_LINES_OF_A_FUNCTION: usize = 45;

fn floor(room: &str) -> usize {
    let known = FLOORS.iter().find(|(name, _)| *name == room);
    known.unwrap_or_else(|| panic!("{room} is not in the map of the floors")).1
}

/// The text of a file, without comment lines and without the tests at its end.
fn code(source: &Source) -> String {
    let text = text(source);
    let tests = ["#[cfg(test)]\nmod tests", "#[cfg(all(test"];
    let end = tests.iter().filter_map(|tests| text.find(tests)).min().unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

fn text(source: &Source) -> String {
    fs::read_to_string(root().join(&source.name)).expect("a source")
}

#[test]
fn a_file_knows_no_floor_above_its_own() {
    let sources = sources();
    let arrows = Arrows::between(&sources);
    let room = |file: &str| file.split('/').next().map(|it| floor(it.trim_end_matches(".rs")));
    let mut wrong = Vec::new();
    for (from, to) in arrows.of.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to))) {
        if room(from) < room(to) {
            wrong.push(format!("{from} knows {to}"));
        }
    }
    assert!(wrong.is_empty(), "against the floors:\n{}", wrong.join("\n"));
}

#[test]
fn no_files_know_each_other_but_those_of_one_circle() {
    let circles = Arrows::between(&sources()).circles();
    let known: BTreeSet<String> = CIRCLE.iter().map(|file| (*file).to_owned()).collect();
    let new: Vec<_> = circles.iter().filter(|circle| **circle != known).collect();
    assert!(new.is_empty(), "circles of files: {new:#?}");
    assert!(circles.contains(&known), "the circle is gone: take it out of this test as well");
}

#[test]
fn what_a_poller_is_stands_in_one_file() {
    let sources = sources();
    let blocks = sources.iter().filter(|it| it.impl_blocks().iter().any(|it| it.of == "Local"));
    assert_eq!(blocks.map(|it| &*it.name).collect::<Vec<_>>(), ["local/state.rs"]);
}

#[test]
fn no_part_of_a_poller_knows_another() {
    let arrows = Arrows::between(&sources());
    let parts = arrows.of.iter().filter(|(from, _)| from.starts_with("parts/"));
    for (from, to) in parts {
        // A part in a folder of its own has several files.
        let own = from.rsplit_once('/').map_or("", |(folder, _)| folder);
        let others = to.iter().filter(|to| to.starts_with("parts/"));
        let strange: Vec<_> =
            others.filter(|to| own == "parts" || !to.starts_with(&format!("{own}/"))).collect();
        assert!(strange.is_empty(), "{from} knows {strange:?}");
    }
}

#[test]
fn files_stay_small_enough_to_hold_in_the_head() {
    let sources = sources();
    let long = sources.iter().filter(|source| text(source).lines().count() > MOST_LINES);
    let long: Vec<_> = long.map(|source| &source.name).collect();
    assert!(long.is_empty(), "more than {MOST_LINES} lines: {long:?}");
}

/// rustfmt closes a function at the indentation at which it began.
#[test]
fn functions_are_read_at_one_glance() {
    let mut long = Vec::new();
    for source in sources() {
        let text = text(&source);
        let mut begun: Option<(usize, String)> = None;
        for (at, line) in text.lines().enumerate() {
            let begins = line.split("fn ").next().is_some_and(|before| {
                before.len() < line.len()
                    && before.split_whitespace().all(|word| {
                        ["const", "async", "unsafe", "extern", "\"C\""].contains(&word)
                            || word.starts_with("pub")
                    })
            });
            if begins && !line.ends_with([';', '}']) {
                let indentation = line.len() - line.trim_start().len();
                begun = Some((at, format!("{}}}", " ".repeat(indentation))));
            }
            if let Some((begin, _)) = begun.take_if(|(_, end)| line == end)
                && at - begin > MOST_LINES_OF_A_FUNCTION
            {
                long.push(format!("{}:{}: {} lines", source.name, begin + 1, at - begin));
            }
        }
    }
    // Tests in a source may list their cases.
    long.retain(|it| !it.starts_with("parts/timers.rs"));
    assert!(long.is_empty(), "too long: {long:#?}");
}

#[test]
fn unsafe_code_stays_in_its_rooms() {
    for source in sources() {
        let code = code(&source);
        let has_unsafe = code.contains("unsafe ") || code.contains("allow(unsafe_code)");
        let may = UNSAFE.iter().any(|room| source.name.starts_with(room));
        assert!(!has_unsafe || may, "{}", source.name);
    }
}

#[test]
fn system_calls_and_clocks_stay_in_sys() {
    for source in sources().iter().filter(|source| source.room() != "sys") {
        let code = code(source);
        // Names of errors are no calls.
        let calls = code.replace("libc::E", "");
        assert!(!calls.contains("libc::"), "{} calls libc", source.name);
        assert!(!calls.contains("Instant::now"), "{} reads the clock", source.name);
    }
}

#[test]
fn every_argument_for_unsafe_code_is_written_down() {
    for source in sources() {
        let text = text(&source);
        let blocks = text.matches("unsafe {").count();
        let arguments = text.matches("SAFETY:").count() + text.matches("# Safety").count();
        assert!(blocks <= arguments, "{}: {blocks} blocks, {arguments}", source.name);
    }
}
