//! Rules that the compiler does not check: the places of shaders and ops, the length of files, and code that a user's
//! input must not reach.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use cloze::ops::OPS;

/// Code that ends the program instead of returning an error. `expect("why this cannot be")` is for what only this crate
/// can break.
const FORBIDDEN: &[&str] = &[".unwrap()", "panic!(", "todo!(", "unimplemented!(", "dbg!("];

const MOST_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below `dir` whose names end with `end`, as sorted paths from the repository's root.
fn files(dir: &str, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.to_str().unwrap().ends_with(end) {
                found.push(path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{dir} has no {end}");
    found
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The files that are compiled only for tests: `#[cfg(test)] mod name;`.
fn test_modules() -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for path in files("src", ".rs") {
        let text = read(&path);
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]") {
            let name = pair[1].trim_start_matches("pub(crate) ").strip_prefix("mod ").and_then(|m| m.strip_suffix(';'));
            if let Some(name) = name {
                let file = PathBuf::from(&path).with_file_name(format!("{name}.rs"));
                modules.insert(file.to_str().unwrap().replace('\\', "/"));
            }
        }
    }
    modules
}

/// The lines of a source file with their numbers, without comments, up to its test module, which must be the last item.
fn product_lines(path: &str) -> Vec<(usize, String)> {
    let text = read(path);
    let mut lines: Vec<&str> = text.lines().collect();
    let tests = |line: &str| line == "#[cfg(test)]" || line.starts_with("#[cfg(all(test, ");
    if let Some(at) = lines.windows(2).position(|pair| tests(pair[0]) && pair[1] == "mod tests {") {
        let after = lines[at..].iter().position(|line| *line == "}").unwrap();
        assert_eq!(at + after + 1, lines.len(), "{path}: the tests come last");
        lines.truncate(at);
    }
    let numbered = (1..).zip(lines).filter(|(_, line)| !line.trim_start().starts_with("//"));
    numbered.map(|(n, line)| (n, line.to_owned())).collect()
}

#[test]
fn every_shader_belongs_to_an_op() {
    for op in OPS {
        // A gradient may use the cores of its op.
        let of = op.name.trim_end_matches("_backward");
        let source: String = BTreeSet::from([of, op.name])
            .into_iter()
            .map(|name| format!("src/ops/{name}.rs"))
            .filter(|path| root().join(path).is_file())
            .map(|path| read(&path))
            .collect();
        for variant in op.variants {
            assert!(variant.name.starts_with(of), "{}: named after {}", variant.name, op.name);
            let places = ["shaders", "shaders/unrolled"].map(|dir| format!("{dir}/{}.wgsl", variant.name));
            let path = places.iter().find(|path| root().join(path).is_file());
            let path = path.unwrap_or_else(|| panic!("{}: no {places:?}", variant.name));
            assert!(source.contains(path.as_str()), "{}: {path} is another op's", variant.name);
        }
    }
    let ops: String = files("src/ops", ".rs").iter().map(|path| read(path)).collect();
    let activations = read("src/ops/activation.rs");
    for shader in files("shaders", ".wgsl") {
        // The table of activations names its files by their stems.
        let named = match shader.strip_prefix("shaders/lib/activation/").and_then(|name| name.strip_suffix(".wgsl")) {
            Some(stem) => activations.contains(&format!("\"{stem}\"")),
            None => ops.contains(&format!("../../{shader}\"")),
        };
        assert!(named, "{shader} is joined into no kernel");
        if !shader.starts_with("shaders/lib/") {
            let name = Path::new(&shader).file_stem().unwrap().to_str().unwrap();
            let known = OPS.iter().flat_map(|op| op.variants).any(|variant| variant.name == name);
            assert!(known, "{shader}: no variant has its name");
        }
    }
}

#[test]
fn no_file_grows_too_long() {
    let rust = [files("src", ".rs"), files("tests", ".rs")].concat();
    for path in [rust, files("shaders", ".wgsl")].concat() {
        let text = read(&path);
        let count = text.lines().count();
        let generated = path.ends_with(".wgsl") && text.contains("// Generated by ");
        assert!(count <= MOST_LINES || generated, "{path} has {count} lines, over {MOST_LINES}");
    }
}

#[test]
fn suppressed_lints_say_why() {
    for path in [files("src", ".rs"), files("tests", ".rs")].concat() {
        for (n, line) in (1..).zip(read(&path).lines()) {
            let line = line.trim_start();
            let attribute = line.starts_with("#[") || line.starts_with("#![");
            let suppresses = attribute && ["allow(", "expect("].iter().any(|word| line.contains(word));
            assert!(!suppresses || line.contains("reason = \""), "{path}:{n}: {line}");
        }
    }
}

#[test]
fn the_product_does_not_panic_on_purpose() {
    let tests = test_modules();
    for path in files("src", ".rs").into_iter().filter(|path| !tests.contains(path)) {
        let lines = product_lines(&path);
        for (i, (n, line)) in lines.iter().enumerate() {
            for word in FORBIDDEN {
                assert!(!line.contains(word), "{path}:{n}: {word} ends the program where an error would do");
            }
            if let Some((_, why)) = line.split_once(".expect(") {
                let why = if why.is_empty() { lines[i + 1].1.as_str() } else { why };
                let text = why.trim_start().strip_prefix('"').and_then(|text| text.split('"').next());
                let says_why = text.is_some_and(|text| text.split(' ').count() >= 3);
                assert!(says_why, "{path}:{n}: the text of an expect says why it cannot fail");
            }
        }
    }
}

/// Errors name options and remedies as values, which each front end words in its own way.
#[test]
fn no_text_of_the_library_speaks_of_flags() {
    let tests = test_modules();
    for path in files("src", ".rs").into_iter().filter(|path| !path.starts_with("src/cli/") && !tests.contains(path)) {
        for (n, line) in product_lines(&path) {
            let flag =
                line.match_indices("--").find(|(at, _)| line[at + 2..].starts_with(|c: char| c.is_ascii_lowercase()));
            assert!(flag.is_none(), "{path}:{n}: use help! and OptionName or Remedy: {}", line.trim());
        }
    }
}

/// Results go to stdout and everything else to stderr, and only the command line may write to either.
#[test]
fn only_the_command_line_prints() {
    for path in files("src", ".rs").into_iter().filter(|path| !path.starts_with("src/cli/")) {
        for (n, line) in product_lines(&path) {
            assert!(!line.contains("println!(") && !line.contains("print!("), "{path}:{n}: {}", line.trim());
        }
    }
}

/// If an instruction is a function of its own, every vector needs a call, because the compiler did not inline a part of
/// a kernel. The symbols of the program show this.
#[test]
#[cfg(all(target_arch = "x86_64", not(debug_assertions)))]
fn no_instruction_is_a_call() {
    let program = fs::read(env!("CARGO_BIN_EXE_cloze")).unwrap();
    let has = |name: &str| program.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    assert!(has("avx5123run") && has("avx23run"), "the kernels are there by their names");
    // Only instructions that this crate uses count, because other crates may have calls of theirs, such as
    // aho-corasick.
    let mut names: BTreeSet<String> = ["micro4tile", "micro4step", "micro6finish"].map(str::to_owned).into();
    for path in files("src", ".rs") {
        let text = read(&path);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        names.extend(words.filter(|w| w.starts_with("_mm256_") || w.starts_with("_mm512_")).map(str::to_owned));
    }
    assert!(names.contains("_mm256_fmadd_ps") && names.contains("_mm512_fmadd_ps"), "{names:?}");
    let found: Vec<&String> = names.iter().filter(|name| has(name)).collect();
    assert!(found.is_empty(), "{found:?}");
}
