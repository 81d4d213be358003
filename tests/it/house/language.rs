//! The language of the docs, as far as a test can hold it: summary lines, headings, and words that
//! the docs do without.

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

use super::layers::source::{root, sources};

/// Headings that readers of rustdoc know, and that pages of this crate have besides.
const HEADINGS: [&str; 5] = ["Errors", "Panics", "Cancel safety", "Safety", "Examples"];

/// Words that end in `s` and are no verbs.
const NO_VERBS: [&str; 6] = ["As", "Its", "This", "Bytes", "Always", "Address"];

/// The docs of an item: its name, and the lines.
struct Docs {
    place: String,
    lines: Vec<String>,
}

impl Docs {
    /// The first paragraph, on one line.
    fn summary(&self) -> String {
        let paragraph = self.lines.iter().skip_while(|line| line.trim().is_empty());
        let paragraph = paragraph.take_while(|line| !line.trim().is_empty());
        paragraph.map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// The headings outside of code.
    fn headings(&self) -> Vec<&str> {
        let mut in_code = false;
        let mut headings = Vec::new();
        for line in self.lines.iter().map(|line| line.trim()) {
            in_code ^= line.starts_with("```");
            if !in_code {
                headings.extend(line.strip_prefix("# "));
            }
        }
        headings
    }
}

/// Collects the docs of the functions, and those of the other items, of one file.
struct Found<'a> {
    file: &'a str,
    functions: Vec<Docs>,
    fields: Vec<Docs>,
}

impl Found<'_> {
    fn docs(&self, name: &impl ToString, attributes: &[syn::Attribute]) -> Docs {
        let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
            syn::Meta::NameValue(it) if it.path.is_ident("doc") => match &it.value {
                syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => Some(text.value()),
                _ => None,
            },
            _ => None,
        });
        Docs { place: format!("{}: {}", self.file, name.to_string()), lines: lines.collect() }
    }
}

impl<'ast> Visit<'ast> for Found<'_> {
    fn visit_item_fn(&mut self, it: &'ast syn::ItemFn) {
        self.functions.push(self.docs(&it.sig.ident, &it.attrs));
        // Functions inside of functions need no docs.
    }

    fn visit_item_impl(&mut self, it: &'ast syn::ItemImpl) {
        if it.trait_.is_none() {
            visit::visit_item_impl(self, it);
        }
    }

    fn visit_impl_item_fn(&mut self, it: &'ast syn::ImplItemFn) {
        self.functions.push(self.docs(&it.sig.ident, &it.attrs));
    }

    fn visit_trait_item_fn(&mut self, it: &'ast syn::TraitItemFn) {
        self.functions.push(self.docs(&it.sig.ident, &it.attrs));
    }

    fn visit_item_struct(&mut self, it: &'ast syn::ItemStruct) {
        if let syn::Fields::Named(fields) = &it.fields {
            for field in &fields.named {
                let name = format!("{}.{}", it.ident, field.ident.as_ref().expect("it is named"));
                self.fields.push(self.docs(&name, &field.attrs));
            }
        }
        self.fields.push(self.docs(&it.ident, &it.attrs));
    }

    fn visit_item_enum(&mut self, it: &'ast syn::ItemEnum) {
        for arm in &it.variants {
            let name = format!("{}::{}", it.ident, arm.ident);
            self.fields.push(self.docs(&name, &arm.attrs));
        }
        self.fields.push(self.docs(&it.ident, &it.attrs));
    }
}

/// The docs of all functions, and of all types with their fields and arms.
fn docs() -> (Vec<Docs>, Vec<Docs>) {
    let (mut functions, mut fields) = (Vec::new(), Vec::new());
    for source in sources() {
        let mut found = Found { file: &source.name, functions: Vec::new(), fields: Vec::new() };
        source.items.iter().for_each(|item| found.visit_item(item));
        functions.extend(found.functions);
        fields.extend(found.fields);
    }
    assert!(functions.len() > 1000 && fields.len() > 500, "these are the docs");
    (functions, fields)
}

fn complain(about: &str, wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{about}, {} times:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_summary_of_a_function_begins_with_a_verb_in_the_third_person() {
    let is_right = |summary: &str| {
        let first = summary.split([' ', ',']).next().unwrap_or("");
        // `Returns`, and not `Return` or `The`; what has no docs is a small helper. Of a callback
        // the docs say when it is called.
        let is_verb = first.starts_with(char::is_uppercase)
            && first.ends_with('s')
            && first.chars().all(char::is_alphabetic);
        summary.is_empty() || first == "Called" || (is_verb && !NO_VERBS.contains(&first))
    };
    let (functions, _) = docs();
    let wrong = functions.iter().filter(|it| !is_right(&it.summary()));
    complain("no verb", wrong.map(|it| format!("{}: {}", it.place, it.summary())).collect());
}

#[test]
fn a_summary_is_a_sentence() {
    let (functions, fields) = docs();
    let is_right = |summary: &str| {
        let plain = summary.trim_end_matches(['`', ')', '*', ']']);
        summary.is_empty() || plain.ends_with(['.', ':', '?']) || summary.ends_with('|')
    };
    let wrong = functions.iter().chain(&fields).filter(|it| !is_right(&it.summary()));
    complain("no sentence", wrong.map(|it| format!("{}: {}", it.place, it.summary())).collect());
}

#[test]
fn each_field_and_each_arm_has_a_sentence() {
    let (_, fields) = docs();
    let wrong = fields.iter().filter(|it| it.summary().is_empty());
    complain("no sentence", wrong.map(|it| it.place.clone()).collect());
}

#[test]
fn headings_are_those_that_readers_know() {
    let (functions, _) = docs();
    let mut wrong = Vec::new();
    for docs in &functions {
        let headings = docs.headings();
        wrong.extend(
            headings
                .iter()
                .filter(|it| !HEADINGS.contains(it))
                .map(|it| format!("{}: # {it}", docs.place)),
        );
        // In the order of the list, each once.
        let places: Vec<_> = headings
            .iter()
            .filter_map(|it| HEADINGS.iter().position(|known| known == it))
            .collect();
        if !places.is_sorted_by(|one, other| one < other) {
            wrong.push(format!("{}: in another order: {headings:?}", docs.place));
        }
    }
    complain("headings", wrong);
}

#[test]
fn examples_stand_under_their_heading() {
    let (functions, _) = docs();
    let has_code = |it: &&Docs| it.lines.iter().any(|line| line.trim() == "```");
    let wrong = functions.iter().filter(has_code).filter(|it| !it.headings().contains(&"Examples"));
    complain("no `# Examples`", wrong.map(|it| it.place.clone()).collect());
}

/// All files of text of the repository, but for this one.
fn texts() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("").to_owned();
            if name == "target" || (name.starts_with('.') && name != ".ci") {
                continue;
            }
            if path.is_dir() {
                walk(&path, found);
            } else if [".rs", ".md", ".toml"].iter().any(|end| name.ends_with(end)) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(root().parent().expect("the repository"), &mut found);
    found.retain(|path| !path.ends_with("house/language.rs"));
    assert!(found.len() > 150, "these are the texts");
    found
}

#[test]
fn subjects_are_things() {
    let mut wrong = Vec::new();
    for path in texts() {
        let text = fs::read_to_string(&path).expect("text");
        for (at, line) in text.lines().enumerate() {
            let is_prose = path.extension().is_none_or(|it| it != "rs") || line.contains("//");
            let words = line.split(|c: char| !c.is_alphabetic() && c != '\'');
            let words = words.map(str::to_lowercase);
            // In the sources a subject is a thing; "people who write proxies" is English.
            let mut persons = words.filter(|word| {
                ["whoever", "whomever", "somebody", "nobody", "someone"].contains(&&**word)
                    || (word == "who"
                        && path.starts_with(root())
                        && !path.starts_with(root().join("docs")))
            });
            if let Some(person) = persons.next().filter(|_| is_prose) {
                wrong.push(format!("{}:{}: {person}", path.display(), at + 1));
            }
        }
    }
    complain("a person", wrong);
}

/// A paragraph that is wrapped before `1. ` goes on as a list, in rustdoc and elsewhere.
#[test]
fn no_wrapped_line_begins_a_list_or_a_quotation() {
    let mut wrong = Vec::new();
    for path in texts() {
        let is_source = path.extension().is_some_and(|it| it == "rs");
        let text = fs::read_to_string(&path).expect("text");
        let (mut above, mut in_code) = ("", false);
        for (at, line) in text.lines().enumerate() {
            let docs = line.trim_start();
            let docs = match (docs.strip_prefix("///"), docs.strip_prefix("//!"), is_source) {
                (Some(docs), ..) | (_, Some(docs), _) => docs.trim(),
                (None, None, true) => "",
                (None, None, false) => docs.trim_end(),
            };
            in_code ^= docs.starts_with("```");
            let begins = ["1. ", "1) ", "* ", "+ ", "> "].iter().any(|mark| docs.starts_with(mark));
            let goes_on = !above.is_empty() && !above.starts_with(['*', '+', '>', '|', '#']);
            if begins && goes_on && !in_code {
                wrong.push(format!("{}:{}: {docs}", path.display(), at + 1));
            }
            above = docs;
        }
    }
    complain("a list by accident", wrong);
}
