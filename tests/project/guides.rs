//! Runs the commands of the guides. Each must print what its page shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The largest difference between the scores of another processor and those on the page.
const TOLERANCE: f64 = 1e-4;

/// The pages.
fn guides() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guides");
    let mut pages: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    pages
}

/// A command, with the output that the page shows.
#[derive(Default)]
struct Shown {
    command: String,
    output: String,
}

/// The commands in a page's `console` blocks. A command with a here-document continues to its END.
fn commands(page: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    let (mut inside, mut document) = (false, false);
    for line in page.lines() {
        match (inside, line) {
            (false, "```console") => inside = true,
            (true, "```") => inside = false,
            (true, _) if document => {
                let last = all.last_mut().unwrap();
                last.command += &format!("\n{line}");
                document = line != "END";
            }
            (true, _) => match line.strip_prefix("$ ") {
                Some(command) => {
                    all.push(Shown { command: command.into(), output: String::new() });
                    document = command.ends_with("<<'END'");
                }
                None => all.last_mut().expect("a command first").output += &format!("{line}\n"),
            },
            _ => {}
        }
    }
    all
}

/// Runs a command in `dir`, which has links to the repository's tests, with this build of the program.
fn run(command: &str, dir: &Path) -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_cloze")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(dir).env("PATH", path).env("VK_ICD_FILENAMES", "");
    let ran = shell.output().unwrap();
    assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

/// Whether both are equal, except for numbers in JSON, which may differ slightly.
fn alike(a: &str, b: &str) -> bool {
    fn values(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => (a.as_f64().unwrap() - b.as_f64().unwrap()).abs() <= TOLERANCE,
            (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| values(a, b)),
            (Value::Object(a), Value::Object(b)) => {
                a.keys().eq(b.keys()) && a.iter().all(|(key, a)| values(a, &b[key]))
            }
            _ => a == b,
        }
    }
    let lines = |(a, b): (&str, &str)| match (serde_json::from_str(a), serde_json::from_str(b)) {
        (Ok(a), Ok(b)) => values(&a, &b),
        // Numbers among words, as in a sentence with numbers.
        _ => {
            let words =
                |line: &str| line.split(' ').map(|w| w.trim_end_matches([',', ':']).to_owned()).collect::<Vec<_>>();
            let number = |word: &String| word.parse::<f64>().ok();
            let same = |(a, b): (&String, &String)| match (number(a), number(b)) {
                (Some(a), Some(b)) => (a - b).abs() <= TOLERANCE,
                _ => a == b,
            };
            let (a, b) = (words(a), words(b));
            a.len() == b.len() && a.iter().zip(&b).all(same)
        }
    };
    a.lines().count() == b.lines().count() && a.lines().zip(b.lines()).all(lines)
}

#[cfg(unix)]
#[test]
fn every_command_prints_what_its_page_shows() {
    let mut count = 0;
    for page in guides() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"), dir.path().join("tests"))
            .unwrap();
        let text = fs::read_to_string(&page).unwrap();
        for Shown { command, output } in commands(&text) {
            let found = run(&command, dir.path());
            assert!(alike(&found, &output), "{}: {command}\n{found}\nnot\n{output}", page.display());
            count += 1;
        }
        // These pages have no commands: the tests of the npm package run their examples.
        const NONE: [&str; 5] = ["README.md", "browser.md", "demo.md", "edge.md", "transformers-js.md"];
        if !NONE.contains(&page.file_name().unwrap().to_str().unwrap()) {
            assert!(!commands(&text).is_empty(), "{}: no command", page.display());
        }
    }
    assert!(count >= 15, "{count} commands");
}
