//! Imports go one way: no files of `src` import each other in a circle, except a module and the modules inside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Every module of `src` with its file. A module is its path from the crate's root, which is empty for the root.
fn modules(dir: &Path, module: &[String], found: &mut BTreeMap<Vec<String>, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut inner = module.to_vec();
        if path.is_dir() {
            inner.push(stem);
            modules(&path, &inner, found);
        } else if path.extension().is_some_and(|end| end == "rs") && stem != "main" {
            if !matches!(stem.as_str(), "mod" | "lib") {
                inner.push(stem);
            }
            found.insert(inner, path.to_str().unwrap().to_owned());
        }
    }
}

/// A source text without comments and without its test module.
fn product(text: &str) -> String {
    let text = text.find("#[cfg(test)]\nmod tests {").map_or(text, |end| &text[..end]);
    let code = |line: &str| line.find("//").map_or(line, |end| &line[..end]).to_owned();
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The files that are compiled only for tests: `#[cfg(test)] mod name;`.
fn is_test(module: &[String], texts: &BTreeMap<Vec<String>, String>) -> bool {
    let Some((name, parent)) = module.split_last() else { return false };
    texts.get(parent).is_some_and(|text| {
        ["", "pub(crate) "].iter().any(|visible| text.contains(&format!("#[cfg(test)]\n{visible}mod {name};")))
    })
}

/// The paths that begin with `crate::` or `super::`, each in parts. The braces of a `use` are expanded.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back().unwrap_or(' ');
            if !before.is_alphanumeric() && !['_', '$', ':'].contains(&before) {
                expand(&text[at..], &[], &mut found);
            }
        }
    }
    found
}

/// Adds the paths at the start of `text`, each after `prefix`, and returns the rest.
fn expand<'a>(text: &'a str, prefix: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let mut path = prefix.to_vec();
    let mut text = text.trim_start();
    loop {
        if let Some(mut rest) = text.strip_prefix('{') {
            while !rest.trim_start().starts_with('}') && !rest.is_empty() {
                rest = expand(rest, &path, found).trim_start();
                rest = rest.strip_prefix(',').unwrap_or(rest);
            }
            return rest.trim_start().strip_prefix('}').unwrap_or("");
        }
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
        path.push(text[..end].to_owned());
        text = text[end..].trim_start();
        match text.strip_prefix("::") {
            Some(rest) => text = rest.trim_start(),
            None => {
                found.push(path);
                // The rest of an item: `as name`, `*`.
                let end = text.find([',', '}', ';', '\n', '(', ')', '{']).unwrap_or(text.len());
                return &text[end..];
            }
        }
    }
}

/// The imports of every file: each file with the files whose modules it imports. An import from a module that contains
/// the importing one does not count.
fn graph() -> Graph {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    modules(&root.join("src"), &[], &mut files);
    let texts: BTreeMap<_, _> =
        files.iter().map(|(module, file)| (module.clone(), fs::read_to_string(file).unwrap())).collect();
    files.retain(|module, _| !is_test(module, &texts));
    let name =
        |module: &[String]| Path::new(&files[module]).strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    let mut graph = Graph::new();
    for module in files.keys() {
        let imports = graph.entry(name(module)).or_default();
        for path in paths(&product(&texts[module])) {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let mut target = match ups {
                0 => path[1..].to_vec(),
                _ => [&module[..module.len().saturating_sub(ups)], &path[ups..]].concat(),
            };
            while !files.contains_key(&target) {
                target.pop();
            }
            if !module.starts_with(&target) {
                imports.insert(name(&target));
            }
        }
        if let Some((_, parent)) = module.split_last()
            && files.contains_key(parent)
        {
            graph.entry(name(parent)).or_default().insert(name(module));
        }
    }
    graph
}

/// A circle of imports, if there is one.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    fn visit(file: &str, graph: &Graph, done: &mut BTreeSet<String>, path: &mut Vec<String>) -> Option<Vec<String>> {
        if let Some(at) = path.iter().position(|on| on == file) {
            return Some(path[at..].to_vec());
        }
        if done.contains(file) {
            return None;
        }
        path.push(file.to_owned());
        let found = graph[file].iter().find_map(|next| visit(next, graph, done, path));
        path.pop();
        done.insert(file.to_owned());
        found
    }
    let mut done = BTreeSet::new();
    graph.keys().find_map(|file| visit(file, graph, &mut done, &mut Vec::new()))
}

#[test]
fn imports_make_no_circle() {
    let graph = graph();
    assert!(graph["src/ops/matmul.rs"].contains("src/graph.rs"), "imports are read");
    assert_eq!(circle(&graph), None, "these import each other");
}

#[test]
fn circles_and_paths_are_found() {
    let edges = [("a", vec!["b"]), ("b", vec!["c", "d"]), ("c", vec![]), ("d", vec!["b"])];
    let graph = edges.map(|(from, to)| (from.to_owned(), to.into_iter().map(str::to_owned).collect())).into();
    assert_eq!(circle(&graph), Some(vec!["b".to_owned(), "d".to_owned()]));
    let found = paths("use crate::{a::{self, B as C, d::*}, e};\nlet x = super::super::f::g(1); $crate::no::no");
    let found: BTreeSet<String> = found.iter().map(|path| path.join("::")).collect();
    let expected = ["crate::a::self", "crate::a::B", "crate::a::d::", "crate::e", "super::super::f::g"];
    assert_eq!(found, expected.map(str::to_owned).into());
}
