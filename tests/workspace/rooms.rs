//! The house: no circle of modules, no flat room, and the domain's rooms in the order in which its README has them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Item, ItemMod, UseTree, visit::Visit};

/// A folder with more files than this is a row of files, not a room.
const MOST_FILES_IN_A_ROOM: usize = 10;

/// A module's name below its crate, outermost first; the crate's root has none.
type Module = Vec<String>;

/// Who uses whom.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = fs::read_dir(root.join("shared")).unwrap().map(|entry| entry.unwrap().path().join("src"));
    shared.chain([root.join("local/src")]).collect()
}

fn domain() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/token/src")
}

#[test]
fn no_modules_use_each_other_in_a_circle() {
    for source in crates() {
        let uses = uses(&source);
        assert!(!uses.is_empty(), "{}", source.display());
        let circles = circles(&uses);
        assert!(circles.is_empty(), "{}: {circles:#?}", source.display());
    }
}

#[test]
fn no_rooms_use_each_other_in_a_circle() {
    for source in crates() {
        let room = |module: &Module| module.iter().take(1).cloned().collect::<Module>();
        let mut rooms = Uses::new();
        for (user, used) in uses(&source) {
            let others = used.iter().map(room).filter(|other| *other != room(&user)).collect::<BTreeSet<_>>();
            rooms.entry(room(&user)).or_default().extend(others);
        }
        let circles = circles(&rooms);
        assert!(circles.is_empty(), "{}: {circles:#?}", source.display());
    }
}

#[test]
fn the_domains_rooms_use_those_below_them_in_the_readme_and_all_are_there() {
    let readme = fs::read_to_string(domain().join("../README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    let order: Vec<Vec<&str>> = rows.map(|names| names.trim_end_matches('`').split("`, `").collect()).collect();
    let floor = |room: &str| order.iter().position(|names| names.contains(&room));
    for (user, used) in uses(&domain()) {
        let Some(room) = user.first() else { continue };
        let own = floor(room).unwrap_or_else(|| panic!("shared/token/README.md has no row for {room}"));
        for other in used.iter().filter_map(|module| module.first()).filter(|other| *other != room) {
            let below = floor(other).unwrap_or_else(|| panic!("shared/token/README.md has no row for {other}"));
            assert!(own < below, "{room} uses {other}, which does not stand below it in shared/token/README.md");
        }
    }
}

#[test]
fn no_room_is_a_row_of_files() {
    for source in crates() {
        let mut files = BTreeMap::<PathBuf, usize>::new();
        for file in rust_files(&source) {
            *files.entry(file.parent().unwrap().to_owned()).or_default() += 1;
        }
        for (folder, count) in files {
            assert!(count <= MOST_FILES_IN_A_ROOM, "{} has {count} files: make rooms", folder.display());
        }
    }
}

/// The test above would hold as well if nothing were found.
#[test]
fn a_circle_is_found() {
    let module = |name: &str| vec![name.to_owned()];
    let chain = [("a", "b"), ("b", "c"), ("d", "a")];
    let uses = |arrows: &[(&str, &str)]| {
        let mut uses = Uses::new();
        for (from, to) in arrows {
            uses.entry(module(from)).or_default().insert(module(to));
        }
        uses
    };
    assert!(circles(&uses(&chain)).is_empty());
    let closed = circles(&uses(&[&chain[..], &[("c", "a")]].concat()));
    assert_eq!(closed, [["a", "b", "c"].map(module).to_vec()]);
}

#[test]
fn a_use_is_followed_to_the_module_that_it_names() {
    let modules: BTreeSet<Module> =
        [&[][..], &["keys"], &["keys", "ring"], &["tokens"], &["tokens", "refresh"], &["tokens", "seal"]]
            .iter()
            .map(|names| names.iter().map(|name| (*name).to_owned()).collect())
            .collect();
    let text = "use super::{seal::Seal, refresh}; use crate::keys::{KeyRing, ring}; use std::fmt;
        fn f(_: crate::tokens::seal::Other) { pub(super) fn g() {} }
        #[cfg(test)] mod tests { use crate::keys::ring::Kid; use super::super::not_seen; }";
    let used = uses_of(&syn::parse_file(text).unwrap(), &["tokens".into(), "refresh".into()], &modules);
    let names: Vec<String> = used.iter().map(|module| module.join("::")).collect();
    assert_eq!(names, ["keys", "keys::ring", "tokens::seal"]);
}

fn rust_files(source: &Path) -> Vec<PathBuf> {
    let mut folders = vec![source.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" && !path.ends_with("main.rs") => files.push(path),
                _ => {}
            }
        }
    }
    files
}

fn module_of(source: &Path, file: &Path) -> Module {
    let below = file.strip_prefix(source).unwrap().with_extension("");
    let mut names: Module = below.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    if matches!(names.last().map(String::as_str), Some("mod" | "lib")) {
        names.pop();
    }
    names
}

fn uses(source: &Path) -> Uses {
    // Fixtures of unit tests.
    let files = rust_files(source).into_iter().filter(|file| !file.ends_with("testing.rs"));
    let files: BTreeMap<Module, PathBuf> = files.map(|file| (module_of(source, &file), file)).collect();
    let modules = files.keys().cloned().collect();
    let read = |(module, file): (&Module, &PathBuf)| {
        let code = syn::parse_file(&fs::read_to_string(file).unwrap()).unwrap();
        (module.clone(), uses_of(&code, module, &modules))
    };
    files.iter().map(read).collect()
}

/// The modules that a file names in `use` declarations and in paths, tests apart.
fn uses_of(code: &syn::File, module: &[String], modules: &BTreeSet<Module>) -> BTreeSet<Module> {
    let mut paths = Paths::default();
    paths.visit_file(code);
    let known = |path: &Vec<String>| {
        let child = [module, path.get(..1)?].concat();
        let path = if modules.contains(&child) { [module, path].concat() } else { absolute(path, module)? };
        (0..=path.len()).rev().map(|length| path[..length].to_vec()).find(|prefix| modules.contains(prefix))
    };
    let mut used: BTreeSet<Module> = paths.0.iter().filter_map(known).collect();
    used.remove(module);
    used
}

/// Below the crate; `None` for paths into other crates.
fn absolute(path: &[String], module: &[String]) -> Option<Module> {
    let supers = path.iter().take_while(|name| *name == "super").count();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module, &path[1..]].concat()),
        "super" => Some([module.get(..module.len().checked_sub(supers)?)?, &path[supers..]].concat()),
        _ => None,
    }
}

#[derive(Default)]
struct Paths(Vec<Vec<String>>);

impl Paths {
    fn add(&mut self, tree: &UseTree, before: &[String]) {
        match tree {
            UseTree::Path(path) => self.add(&path.tree, &[before, &[path.ident.to_string()]].concat()),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add(tree, before)),
            UseTree::Name(name) => self.0.push([before, &[name.ident.to_string()]].concat()),
            UseTree::Rename(name) => self.0.push([before, &[name.ident.to_string()]].concat()),
            UseTree::Glob(_) => self.0.push(before.to_vec()),
        }
    }
}

impl<'a> Visit<'a> for Paths {
    fn visit_item(&mut self, item: &'a Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(ItemMod { attrs, .. }) => attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            _ => &[],
        };
        let is_test = |attribute: &Attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
        };
        if attributes.iter().any(is_test) {
            return;
        }
        if let Item::Use(item) = item {
            self.add(&item.tree, &[]);
        }
        syn::visit::visit_item(self, item);
    }

    /// `pub(super)` uses nothing.
    fn visit_visibility(&mut self, _: &'a syn::Visibility) {}

    fn visit_path(&mut self, path: &'a syn::Path) {
        self.0.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }
}

/// Groups of modules each of which reaches all the others; each group once, in order.
fn circles(uses: &Uses) -> Vec<Vec<Module>> {
    let reached = |start: &Module| {
        let mut reached = BTreeSet::new();
        let mut pending = vec![start];
        while let Some(module) = pending.pop() {
            for next in uses.get(module).into_iter().flatten() {
                if reached.insert(next) {
                    pending.push(next);
                }
            }
        }
        reached
    };
    let reach: BTreeMap<&Module, BTreeSet<&Module>> = uses.keys().map(|module| (module, reached(module))).collect();
    let circle = |module: &&Module| {
        let members = reach[module].iter().filter(|other| reach.get(**other).is_some_and(|back| back.contains(module)));
        members.map(|member| (*member).clone()).collect::<Vec<Module>>()
    };
    let found: BTreeSet<Vec<Module>> = reach.keys().map(circle).filter(|circle| !circle.is_empty()).collect();
    found.into_iter().collect()
}
