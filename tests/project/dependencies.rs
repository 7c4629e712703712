//! The dependencies of this crate: their sources, their licences, and duplicates.
//!
//! These are the checks of `cargo deny` that need no network. They read `Cargo.lock` and `cargo metadata`, and take one
//! second; building that tool takes several minutes in every test run. Known vulnerabilities are not checked, because
//! their list is on the network.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Licences that allow anybody to use and redistribute the build, together with their texts.
const LICENCES: [&str; 9] = [
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    // For the list of certificate authorities, which is data.
    "CDLA-Permissive-2.0",
    // For a crate that is used unchanged (`option-ext`, of `hf-hub`). Its own files stay under this licence; ours need
    // not be.
    "MPL-2.0",
];

/// Crates with several versions, because the crates that use them do not agree yet.
const SEVERAL: [&str; 11] = [
    "base64",
    "bit-set",
    "bit-vec",
    "cpufeatures",
    "getrandom",
    "hashbrown",
    "r-efi",
    "rand",
    "rand_core",
    "syn",
    "windows-sys",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The fields of each package in `Cargo.lock`.
fn locked() -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let fields = |package: &str| {
        let lines = package.lines().filter_map(|line| line.split_once(" = "));
        lines.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())).collect()
    };
    let packages: Vec<_> = text.split("[[package]]").skip(1).map(fields).collect();
    assert!(packages.len() > 100);
    packages
}

#[test]
fn everything_comes_from_the_registry_with_a_checksum() {
    for package in locked().iter().filter(|package| package["name"] != "cloze") {
        assert_eq!(package.get("source").map(String::as_str), Some(REGISTRY), "{package:?}");
        assert_eq!(package.get("checksum").map(String::len), Some(64), "{package:?}");
    }
}

#[test]
fn what_is_there_twice_is_known() {
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    for package in locked() {
        *versions.entry(package["name"].clone()).or_default() += 1;
    }
    let several: BTreeSet<&str> = versions.iter().filter(|(_, n)| **n > 1).map(|(name, _)| name.as_str()).collect();
    let known: BTreeSet<&str> = SEVERAL.into_iter().collect();
    let news: Vec<_> = several.difference(&known).collect();
    assert!(news.is_empty(), "{news:?}: see by `cargo tree --duplicates` whether one version will do");
    let gone: Vec<_> = known.difference(&several).collect();
    assert!(gone.is_empty(), "{gone:?} need no exception any more");
}

/// Whether the allowed licences satisfy an expression such as `(MIT OR Apache-2.0) AND Unicode-3.0`.
fn is_allowed(expression: &str) -> bool {
    fn any(words: &mut std::iter::Peekable<std::vec::IntoIter<String>>) -> bool {
        let mut found = all(words);
        while words.next_if(|word| word == "OR").is_some() {
            // Both sides must be read, whatever the result of the first.
            found |= all(words);
        }
        found
    }
    fn all(words: &mut std::iter::Peekable<std::vec::IntoIter<String>>) -> bool {
        let mut found = one(words);
        while words.next_if(|word| word == "AND").is_some() {
            found &= one(words);
        }
        found
    }
    fn one(words: &mut std::iter::Peekable<std::vec::IntoIter<String>>) -> bool {
        let Some(word) = words.next() else { return false };
        if word == "(" {
            let found = any(words);
            return words.next().as_deref() == Some(")") && found;
        }
        // An exception only allows more.
        if words.next_if(|word| word == "WITH").is_some() {
            words.next();
        }
        LICENCES.contains(&word.as_str())
    }
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    let mut words = words.into_iter().peekable();
    any(&mut words) && words.next().is_none()
}

/// For the crates that are compiled on this kind of machine. Those for others may be missing.
#[test]
fn licences_let_anybody_use_it() {
    for (expression, allowed) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND Unicode-3.0", true),
        ("Unlicense/MIT", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("", false),
        ("MIT MIT", false),
        ("(MIT", false),
    ] {
        assert_eq!(is_allowed(expression), allowed, "{expression:?}");
    }
    let told = Command::new("rustc").arg("-vV").output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let host = told.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--locked", "--offline", "--format-version", "1", "--filter-platform", host]);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let used: BTreeSet<&str> = nodes.iter().map(|node| node["id"].as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap();
    let mut count = 0;
    for package in packages.iter().filter(|package| used.contains(package["id"].as_str().unwrap())) {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence), "{} is under {licence:?}", package["name"]);
        count += 1;
    }
    assert!(count > 100, "{count}");
}
