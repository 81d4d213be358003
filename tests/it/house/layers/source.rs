//! The sources of the crate, parsed.

use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// Where the sources are.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// A file of `src`, without its tests.
pub struct Source {
    /// Its path inside `src`: `local/state.rs`.
    pub name: String,
    /// Its module path: `["local", "state"]`.
    pub module: Vec<String>,
    /// What it holds beside tests.
    pub items: Vec<syn::Item>,
}

/// A block `impl Type { ... }`.
pub struct ImplBlock {
    /// The name of the type.
    pub of: String,
    /// The names of its functions.
    pub functions: Vec<String>,
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = fs::read_to_string(path).expect("a source");
        let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let inside = path.strip_prefix(root()).expect("a file of src");
        let name = inside.to_str().expect("a plain name").to_owned();
        let stem = name.trim_end_matches(".rs").trim_end_matches("/mod");
        let module = stem.split('/').filter(|part| *part != "lib").map(str::to_owned).collect();
        let items = file.items.into_iter().filter(|item| !is_test(item)).collect();
        Source { name, module, items }
    }

    /// The folder right under `src` that it is in, or its own name.
    pub fn room(&self) -> &str {
        self.name.split('/').next().expect("a first part").trim_end_matches(".rs")
    }

    /// The types and traits that it defines.
    pub fn types(&self) -> Vec<String> {
        let named = self.items.iter().filter_map(|item| match item {
            syn::Item::Struct(it) => Some(&it.ident),
            syn::Item::Enum(it) => Some(&it.ident),
            syn::Item::Trait(it) => Some(&it.ident),
            syn::Item::Type(it) => Some(&it.ident),
            _ => None,
        });
        named.map(ToString::to_string).collect()
    }

    /// Its inherent impl blocks.
    pub fn impl_blocks(&self) -> Vec<ImplBlock> {
        let blocks = self.items.iter().filter_map(|item| match item {
            syn::Item::Impl(it) if it.trait_.is_none() => Some(it),
            _ => None,
        });
        let block = |it: &syn::ItemImpl| {
            let syn::Type::Path(of) = &*it.self_ty else { return None };
            let of = of.path.segments.last()?.ident.to_string();
            let functions = it.items.iter().filter_map(|item| match item {
                syn::ImplItem::Fn(function) => Some(function.sig.ident.to_string()),
                _ => None,
            });
            Some(ImplBlock { of, functions: functions.collect() })
        };
        blocks.filter_map(block).collect()
    }

    /// The names of all functions that it defines, free and in blocks of all kinds.
    pub fn functions(&self) -> Vec<String> {
        struct Functions(Vec<String>);
        impl<'ast> Visit<'ast> for Functions {
            fn visit_signature(&mut self, signature: &'ast syn::Signature) {
                self.0.push(signature.ident.to_string());
            }
        }
        let mut found = Functions(Vec::new());
        self.items.iter().for_each(|item| found.visit_item(item));
        found.0
    }

    /// The names that it calls as methods, or behind the name of a type.
    pub fn calls(&self) -> Vec<String> {
        struct Calls(Vec<String>);
        impl<'ast> Visit<'ast> for Calls {
            fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
                self.0.push(call.method.to_string());
                visit::visit_expr_method_call(self, call);
            }
            fn visit_path(&mut self, path: &'ast syn::Path) {
                if let [.., of, name] = &path.segments.iter().collect::<Vec<_>>()[..]
                    && of.ident.to_string().starts_with(char::is_uppercase)
                {
                    self.0.push(name.ident.to_string());
                }
                visit::visit_path(self, path);
            }
        }
        let mut found = Calls(Vec::new());
        self.items.iter().for_each(|item| found.visit_item(item));
        found.0
    }

    /// The paths that it imports and names, from the root of the crate on.
    pub fn paths(&self) -> Vec<Vec<String>> {
        let mut found = Paths { module: &self.module, found: Vec::new() };
        self.items.iter().for_each(|item| found.visit_item(item));
        found.found
    }

    /// The names that it hands on: the name, and the path that it comes from.
    pub fn reexports(&self) -> Vec<(String, Vec<String>)> {
        let uses = self.items.iter().filter_map(|item| match item {
            syn::Item::Use(it) if !matches!(it.vis, syn::Visibility::Inherited) => Some(it),
            _ => None,
        });
        let mut found = Vec::new();
        for it in uses {
            let mut paths = Vec::new();
            flatten(&it.tree, Vec::new(), &mut paths);
            for path in paths {
                let name = path.last().expect("a name").clone();
                let first = path[0].as_str();
                let absolute = absolute(&self.module, &path).unwrap_or_else(|| {
                    if first == "std" { path.clone() } else { [&self.module[..], &path].concat() }
                });
                found.push((name, absolute));
            }
        }
        found
    }
}

/// Returns `true` for what only tests and models compile.
fn is_test(item: &syn::Item) -> bool {
    let attributes = match item {
        syn::Item::Mod(it) => &it.attrs,
        syn::Item::Fn(it) => &it.attrs,
        syn::Item::Use(it) => &it.attrs,
        syn::Item::Impl(it) => &it.attrs,
        _ => return false,
    };
    let cfgs = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let mut texts = cfgs.filter_map(|attribute| attribute.meta.require_list().ok());
    texts.any(|list| {
        let text = list.tokens.to_string();
        text == "test" || text.starts_with("all (test") || text.starts_with("all(test")
    })
}

/// Collects the paths that begin with `crate`, `self` or `super`.
struct Paths<'a> {
    module: &'a [String],
    found: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, it: &'ast syn::ItemUse) {
        let mut paths = Vec::new();
        flatten(&it.tree, Vec::new(), &mut paths);
        self.found.extend(paths.iter().filter_map(|path| absolute(self.module, path)));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|it| it.ident.to_string()).collect();
        match absolute(self.module, &names) {
            Some(path) => self.found.push(path),
            // `child::function()`, in the file of the parent.
            None if names.len() > 1 => self.found.push([self.module, &names].concat()),
            None => {}
        }
        visit::visit_path(self, path);
    }

    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {
        // `pub(super)` uses nothing.
    }

    fn visit_macro(&mut self, it: &'ast syn::Macro) {
        // What is in a macro is not parsed; whole paths are found all the same.
        let text = it.tokens.to_string().replace(' ', "");
        for path in text.split("crate::").skip(1) {
            let end = path.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            let path = &path[..end.unwrap_or(path.len())];
            self.found.push(path.split("::").map(str::to_owned).collect());
        }
    }
}

/// Returns the path from the root of the crate on, of one that says where it begins.
fn absolute(module: &[String], path: &[String]) -> Option<Vec<String>> {
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" if path.len() > 1 => Some([module, &path[1..]].concat()),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let base = module.len().checked_sub(ups)?;
            Some([&module[..base], &path[ups..]].concat())
        }
        _ => None,
    }
}

/// Collects the paths of a tree of `use`.
fn flatten(tree: &syn::UseTree, before: Vec<String>, found: &mut Vec<Vec<String>>) {
    let with = |name: &syn::Ident| [&before[..], &[name.to_string()]].concat();
    match tree {
        syn::UseTree::Path(it) => flatten(&it.tree, with(&it.ident), found),
        syn::UseTree::Name(it) if it.ident == "self" => found.push(before),
        syn::UseTree::Name(it) => found.push(with(&it.ident)),
        syn::UseTree::Rename(it) => found.push(with(&it.ident)),
        syn::UseTree::Glob(_) => found.push(before),
        syn::UseTree::Group(it) => {
            it.items.iter().for_each(|tree| flatten(tree, before.clone(), found));
        }
    }
}

/// All sources but tests and models.
pub fn sources() -> Vec<Source> {
    fn walk(folder: &Path, found: &mut Vec<Source>) {
        for entry in fs::read_dir(folder).expect("a folder of src") {
            let path = entry.expect("an entry").path();
            let is_test = path.ends_with("tests") || path.ends_with("loom_models");
            if path.is_dir() && !is_test {
                walk(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
                found.push(Source::read(&path));
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 100, "these are the sources");
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}
