//! Which file knows which: by an import, by a path, or by the call of a method that another file
//! adds to a type of a lower floor.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::source::Source;

/// The arrows between the files of `src`.
pub struct Arrows {
    /// From each file to those that it knows.
    pub of: BTreeMap<String, BTreeSet<String>>,
}

impl Arrows {
    /// Finds the arrows.
    pub fn between(sources: &[Source]) -> Arrows {
        let mut arrows = Arrows { of: BTreeMap::new() };
        let files: HashMap<&[String], &Source> =
            sources.iter().map(|source| (&source.module[..], source)).collect();
        let handed_on = handed_on(sources, &files);
        for source in sources.iter().filter(|source| source.name != "lib.rs") {
            for path in source.paths() {
                if let Some(there) = file_of(&path, &files, &handed_on) {
                    arrows.add(&source.name, there);
                }
            }
        }
        arrows.add_methods(sources);
        arrows
    }

    fn add(&mut self, from: &str, to: &str) {
        if from != to && to != "lib.rs" {
            self.of.entry(from.to_owned()).or_default().insert(to.to_owned());
        }
    }

    /// A method needs no import. One whose name is defined once, and in another folder than its type,
    /// is an arrow to there.
    fn add_methods(&mut self, sources: &[Source]) {
        let mut definitions: HashMap<String, usize> = HashMap::new();
        sources
            .iter()
            .flat_map(Source::functions)
            .for_each(|name| *definitions.entry(name).or_default() += 1);
        let mut rooms: HashMap<String, BTreeSet<&str>> = HashMap::new();
        for source in sources {
            for name in source.types() {
                rooms.entry(name).or_default().insert(source.room());
            }
        }
        let mut added: HashMap<String, &str> = HashMap::new();
        for source in sources {
            for block in source.impl_blocks() {
                let is_elsewhere =
                    rooms.get(&block.of).is_some_and(|rooms| !rooms.contains(source.room()));
                let once = block.functions.into_iter().filter(|name| definitions[name] == 1);
                added.extend(once.filter(|_| is_elsewhere).map(|name| (name, &*source.name)));
            }
        }
        for source in sources {
            for call in source.calls() {
                if let Some(there) = added.get(&call) {
                    self.add(&source.name, there);
                }
            }
        }
    }

    /// Returns the circles: files from each of which a way leads to each other one, by Tarjan.
    pub fn circles(&self) -> Vec<BTreeSet<String>> {
        let mut search =
            Search { arrows: self, seen: HashMap::new(), stack: Vec::new(), found: Vec::new() };
        for file in self.of.keys() {
            search.visit(file);
        }
        search.found
    }
}

/// Names that a module hands on, by the path under which they are known, and the file that they are in.
type HandedOn<'a> = HashMap<Vec<String>, &'a str>;

fn handed_on<'a>(sources: &'a [Source], files: &HashMap<&[String], &'a Source>) -> HandedOn<'a> {
    let mut found = HandedOn::new();
    for source in sources {
        for (name, from) in source.reexports() {
            if let Some(there) = file_of(&from, files, &HandedOn::new()) {
                found.insert([&source.module[..], &[name]].concat(), there);
            }
        }
    }
    found
}

/// Returns the file that holds what the path names: the longest part of it that is a module.
fn file_of<'a>(
    path: &[String],
    files: &HashMap<&[String], &'a Source>,
    handed_on: &HandedOn<'a>,
) -> Option<&'a str> {
    let known = (1..=path.len()).rev().find_map(|len| Some((len, files.get(&path[..len])?)));
    let (len, source) = known?;
    let item = path.get(..=len).and_then(|item| handed_on.get(item));
    Some(item.copied().unwrap_or(&source.name))
}

/// What is known of a file during the search: when it was met, and the earliest that it leads to.
struct Search<'a> {
    arrows: &'a Arrows,
    seen: HashMap<&'a str, (usize, usize)>,
    stack: Vec<&'a str>,
    found: Vec<BTreeSet<String>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, file: &'a str) -> usize {
        if let Some((_, low)) = self.seen.get(file) {
            return *low;
        }
        let index = self.seen.len();
        self.seen.insert(file, (index, index));
        self.stack.push(file);
        let mut low = index;
        for next in self.arrows.of.get(file).into_iter().flatten() {
            let is_new = !self.seen.contains_key(next.as_str());
            let reached = self.visit(next);
            if is_new || self.stack.contains(&next.as_str()) {
                low = low.min(reached);
            }
        }
        self.seen.insert(file, (index, low));
        if low == index {
            let start = self.stack.iter().position(|it| *it == file).expect("it is on the stack");
            let circle: BTreeSet<String> = self.stack.drain(start..).map(str::to_owned).collect();
            if circle.len() > 1 {
                self.found.push(circle);
            }
        }
        low
    }
}
