//! `cloze train`: every task, from files to a model that the other commands load, and what happens when it is stopped.

mod adapters;
mod files;
mod refusals;
mod resume;
mod tasks;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::cli::path;
use crate::support::command::{Ran, run};
use crate::support::fixture;

/// Draws words by a fixed sequence, which is the same in every test.
struct Draw(u32);

impl Draw {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        of[(self.0 >> 16) as usize % of.len()]
    }
}

const THINGS: [&str; 5] = ["the movie", "the film", "a game", "the wine", "the team"];
const GOOD: [&str; 4] = ["good", "great", "happy", "won"];
const BAD: [&str; 4] = ["bad", "terrible", "sad", "lost"];
const REST: [&str; 4] = ["hot", "cold", "red", "this"];

/// Sentences that are good and bad in turn.
fn moods(count: usize) -> impl Iterator<Item = (String, bool)> {
    let mut draw = Draw(1);
    (0..count).map(move |i| {
        let is_good = i % 2 == 1;
        let word = draw.one(if is_good { &GOOD } else { &BAD });
        (format!("{} was {word} and it was {}", draw.one(&THINGS), draw.one(&REST)), is_good)
    })
}

/// The format of SST-2 in GLUE.
fn mood_tsv(count: usize) -> String {
    let mut text = String::from("sentence\tlabel\n");
    moods(count).for_each(|(sentence, is_good)| {
        let _ = writeln!(text, "{sentence}\t{}", if is_good { "good" } else { "bad" });
    });
    text
}

/// A small base with the words of these texts, and a head for masked words.
fn base() -> PathBuf {
    fixture("tasks").join("mlm")
}

/// Files to learn from, in their own directory.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.at(name), text).unwrap();
        self.at(name)
    }

    /// The arguments of `cloze train` on the file `data`, into `out`, on the CPU and from the usual base unless `more`
    /// says otherwise.
    fn args(&self, task: &str, data: &str, more: &[&str]) -> Vec<String> {
        let (data, out, base) = (self.at(data), self.at("out"), base());
        let mut args = vec!["train", task, "--json", "--data", path(&data)];
        for default in [["--device", "cpu"], ["--model", path(&base)], ["--output", path(&out)]] {
            if !more.contains(&default[0]) {
                args.extend(default);
            }
        }
        args.into_iter().chain(more.iter().copied()).map(str::to_owned).collect()
    }

    fn train(&self, task: &str, data: &str, more: &[&str]) -> Ran {
        let args = self.args(task, data, more);
        run(&args.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The trained model's directory.
    fn out(&self) -> PathBuf {
        self.at("out")
    }

    /// The lines of the log.
    fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.out().join("run/metrics.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// The losses of all steps.
    fn losses(&self) -> Vec<f64> {
        self.log().iter().filter_map(|line| line["loss"].as_f64()).collect()
    }
}

/// Copies a model's directory to `to`.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let file = entry.unwrap().path();
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// A metric of the best evaluation, from a run's summary.
fn score(summary: &Value, name: &str) -> f64 {
    summary["best"]["scores"][name].as_f64().unwrap_or_else(|| panic!("{name} in {summary}"))
}

/// The tensors of a safetensors file, by name, without the digest of a checkpoint.
fn tensors(file: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(file).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let found = file.tensors().into_iter().filter(|(name, _)| name != "sha256");
    let mut all: Vec<_> = found.map(|(name, view)| (name, view.data().to_vec())).collect();
    all.sort();
    all
}
