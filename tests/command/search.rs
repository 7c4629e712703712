//! `cloze search`: passages by meaning, with a cache that notices changed texts.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::command::{Ran, command, run};
use crate::support::fixture;

fn model(name: &str) -> String {
    fixture("tasks").join(name).to_str().unwrap().to_owned()
}

/// Files to search, with a cache beside them.
struct Notes {
    dir: tempfile::TempDir,
}

impl Notes {
    fn new() -> Self {
        let notes = Self { dir: tempfile::tempdir().unwrap() };
        notes.write("notes/days.md", "# Food\n\nThe bread was good.\n\n# Work\n\nAda wrote a program 😀 in London.\n");
        notes.write("notes/more/water.txt", "The river is cold.\r\n\r\nThe sun is hot.\r\n");
        notes
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    /// Runs `cloze search ARGS --json --model cls --cache DIR` in the directory.
    fn search(&self, args: &[&str]) -> Ran {
        let model = model("cls");
        self.ran(&[&["search", "--json", "--model", &model, "--device", "cpu", "--cache", "cache"], args].concat())
    }

    fn ran(&self, args: &[&str]) -> Ran {
        let output = command(args).current_dir(self.dir.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn cached(&self) -> Vec<PathBuf> {
        let inside = |dir: &Path| fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
        inside(&self.path("cache")).iter().flat_map(|dir| inside(dir)).collect()
    }
}

/// The text of the file at the reported place of the passage.
fn cut(notes: &Notes, line: &Value) -> String {
    let text = fs::read_to_string(notes.path(line["file"].as_str().unwrap())).unwrap();
    let [start, end] = ["start", "end"].map(|key| line[key].as_u64().unwrap() as usize);
    let before: String = text.chars().take(start).collect();
    assert_eq!(before.matches('\n').count() + 1, line["line"].as_u64().unwrap() as usize, "{line}");
    text.chars().skip(start).take(end - start).collect()
}

/// Every passage has its place, and the cosine between its vector and the query's, as `cloze embed` computes them.
#[test]
fn passages_are_ranked_by_their_vectors() {
    let notes = Notes::new();
    let found = notes.search(&["Who wrote the program?", "notes"]).lines();
    assert_eq!(found.len(), 3);
    let keys = ["end", "file", "line", "score", "start", "text"];
    assert_eq!(found[0].as_object().unwrap().keys().collect::<Vec<_>>(), keys);
    let embed = |text: &str| -> Vec<f64> {
        let line = run(&["embed", text, "--model", &model("cls"), "--device", "cpu"]).lines().remove(0);
        serde_json::from_value(line["embedding"].clone()).unwrap()
    };
    let query = embed("Who wrote the program?");
    for line in &found {
        let text = line["text"].as_str().unwrap();
        assert_eq!(cut(&notes, line), text);
        let cosine: f64 = query.iter().zip(embed(text)).map(|(a, b)| a * b).sum();
        assert!((line["score"].as_f64().unwrap() - cosine).abs() < 1e-5, "{line}");
    }
    let scores: Vec<f64> = found.iter().map(|line| line["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let texts: Vec<&str> = found.iter().map(|line| line["text"].as_str().unwrap()).collect();
    for text in ["# Food\n\nThe bread was good.", "# Work\n\nAda wrote a program 😀 in London."] {
        assert!(texts.contains(&text), "{texts:?}");
    }
    let best = notes.search(&["Who wrote the program?", "notes", "--top-k", "1"]).lines();
    assert_eq!(best, found[..1]);
    // Without --json, the output is for people.
    let shown =
        notes.ran(&["search", "Who wrote?", "notes/days.md", "--model", &model("cls"), "--no-cache", "--quiet"]);
    assert!(shown.code == Some(0) && shown.err.is_empty(), "{}", shown.err);
    let work = shown.out.lines().position(|line| line.starts_with("notes/days.md:5  ")).expect(&shown.out);
    assert_eq!(shown.out.lines().nth(work + 1), Some("# Work Ada wrote a program 😀 in London."));
}

#[test]
fn the_cache_knows_when_a_text_has_changed() {
    let notes = Notes::new();
    let search = || notes.search(&["Who wrote the program?", "notes"]);
    let embedded = |ran: &Ran| ran.err.lines().last().unwrap().split(", ").last().unwrap().to_owned();
    let fresh = search();
    assert_eq!(embedded(&fresh), "3 embedded now", "{}", fresh.err);
    assert_eq!(notes.cached().len(), 2);
    let again = search();
    assert_eq!((embedded(&again), &again.out), ("0 embedded now".into(), &fresh.out));
    let without = notes.ran(&[
        "search",
        "Who wrote the program?",
        "notes",
        "--json",
        "--model",
        &model("cls"),
        "--device",
        "cpu",
        "--no-cache",
    ]);
    assert_eq!((embedded(&without), &without.out), ("3 embedded now".into(), &fresh.out));
    // A moved file is recognized by its text. A changed one is not, even if its date is the same.
    fs::rename(notes.path("notes/days.md"), notes.path("notes/old.md")).unwrap();
    assert_eq!(embedded(&search()), "0 embedded now");
    let water = notes.path("notes/more/water.txt");
    let date = fs::metadata(&water).unwrap().modified().unwrap();
    fs::write(&water, "The river is warm.\r\n\r\nThe sun is hot.\r\n").unwrap();
    fs::File::options().write(true).open(&water).unwrap().set_modified(date).unwrap();
    let changed = search();
    assert_eq!(embedded(&changed), "1 embedded now");
    assert!(changed.out.contains("The river is warm.") && !changed.out.contains("cold"), "{}", changed.out);
    // Damaged entries are made again.
    for (number, path) in notes.cached().iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        match number {
            0 => bytes.truncate(40),
            1 => bytes.clear(),
            _ => bytes[60] ^= 255,
        }
        fs::write(path, bytes).unwrap();
    }
    let repaired = search();
    assert_eq!((embedded(&repaired), &repaired.out), ("3 embedded now".into(), &changed.out));
    assert_eq!(embedded(&search()), "0 embedded now");
    // Another model has its own vectors.
    let other = notes.ran(&[
        "search",
        "Who?",
        "notes",
        "--json",
        "--model",
        &model("mean"),
        "--device",
        "cpu",
        "--cache",
        "cache",
    ]);
    assert!(!embedded(&other).starts_with('0'), "{}", other.err);
}

/// If vectors cannot be stored, the search works without the cache and reports it.
#[test]
fn a_cache_that_cannot_be_written_is_done_without() {
    let notes = Notes::new();
    notes.write("cache", "a file");
    let ran = notes.search(&["Who wrote?", "notes"]);
    assert_eq!((ran.lines().len(), ran.err.matches("vectors are not stored: ").count()), (3, 1), "{}", ran.err);
    // By default they are stored in the user's directory for caches.
    let home = tempfile::tempdir().unwrap();
    let model = model("cls");
    let args = ["search", "Who?", "notes", "--model", &model, "--device", "cpu", "--quiet"];
    let mut ran = command(&args);
    ran.current_dir(notes.dir.path()).env("HOME", home.path()).env_remove("XDG_CACHE_HOME");
    assert!(ran.status().unwrap().success());
    ran.env("XDG_CACHE_HOME", home.path().join("xdg"));
    assert!(ran.status().unwrap().success());
    for place in [".cache", "xdg"] {
        assert_eq!(fs::read_dir(home.path().join(place).join("cloze/search")).unwrap().count(), 1, "{place}");
    }
}

#[test]
fn what_cannot_be_searched_is_left_out_and_told() {
    let notes = Notes::new();
    notes.write("notes/binary.txt", b"a\0b");
    notes.write("notes/latin.txt", b"caf\xe9");
    notes.write("notes/huge.txt", vec![b'a'; (16 << 20) + 1]);
    notes.write("notes/empty.md", "");
    notes.write("notes/picture.png", "x");
    notes.write("notes/.hidden/x.md", "hidden");
    notes.write("notes/odd\u{1b}[2Jname.txt", b"\xff");
    #[cfg(unix)]
    std::os::unix::fs::symlink("..", notes.path("notes/more/loop")).unwrap();
    let ran = notes.search(&["Who wrote?", "notes"]);
    assert_eq!(ran.lines().len(), 3);
    for says in [
        "binary.txt is binary",
        "latin.txt is not UTF-8 at byte 3",
        "huge.txt is longer than",
        "1 hidden",
        "1 not text",
    ] {
        assert!(ran.err.contains(says), "{says}: {}", ran.err);
    }
    #[cfg(unix)]
    assert!(ran.err.contains("1 links"), "{}", ran.err);
    assert!(!ran.err.contains('\x1b'), "{:?}", ran.err);
    // A named file must be readable.
    for name in ["notes/binary.txt", "notes/latin.txt", "notes/huge.txt"] {
        let (code, message) = notes.search(&["Who?", "notes", name]).error();
        assert!(code == "input" && message.contains(name), "{message}");
    }
    assert_eq!(notes.search(&["Who?", "notes/none"]).error().0, "io");
    // No passages give no results.
    assert_eq!(notes.search(&["Who?", "notes/empty.md"]).lines(), [] as [Value; 0]);
    assert_eq!(notes.search(&["", "notes/days.md"]).lines().len(), 2);
    for args in [&["Who?"] as &[&str], &["Who?", "notes", "--top-k", "0"], &["Who?", "notes", "--candidates", "5"]] {
        assert_eq!(notes.search(args).code, Some(2), "{args:?}");
    }
}

/// The order and scores of the cross-encoder equal those of `cloze rerank` on the closest passages.
#[test]
fn a_cross_encoder_ranks_the_closest_passages() {
    let notes = Notes::new();
    let query = "Who wrote the program?";
    let closest = notes.search(&[query, "notes", "--top-k", "2"]).lines();
    let texts: Vec<&str> = closest.iter().map(|line| line["text"].as_str().unwrap()).collect();
    let one = model("one");
    let expected = run(&[&["rerank", query], &texts[..], &["--model", &one, "--device", "cpu"]].concat()).lines();
    let found = notes.search(&[query, "notes", "--rerank", &one, "--candidates", "2", "--top-k", "2"]).lines();
    assert_eq!(found.len(), 2);
    for (found, expected) in found.iter().zip(&expected) {
        let index = expected["index"].as_u64().unwrap() as usize;
        assert_eq!((&found["text"], &found["score"]), (&expected["text"], &expected["score"]));
        assert_eq!(found["similarity"], closest[index]["score"]);
        assert_eq!(cut(&notes, found), found["text"].as_str().unwrap());
    }
    let wrong = notes.search(&[query, "notes", "--rerank", &model("moods")]);
    assert_eq!(wrong.error().0, "unsupported");
}

/// Prompts are placed like those of encode_query and encode_document in sentence-transformers. The default prompt is
/// used for neither.
#[test]
fn queries_and_passages_have_their_prompts() {
    let notes = Notes::new();
    fs::create_dir_all(notes.path("model/1_Pooling")).unwrap();
    let base = fixture("tasks/cls");
    for name in [
        "config.json",
        "model.safetensors",
        "modules.json",
        "tokenizer_config.json",
        "vocab.txt",
        "1_Pooling/config.json",
    ] {
        fs::copy(base.join(name), notes.path("model").join(name)).unwrap();
    }
    let prompts = json!({
        "prompts": { "query": "food: ", "passage": "day: ", "other": "sport: " }, "default_prompt_name": "other"
    });
    notes.write("model/config_sentence_transformers.json", prompts.to_string());
    let embed = |text: &str, prompt: &str| -> Vec<f64> {
        let ran = notes.ran(&["embed", text, "--prompt", prompt, "--model", "model", "--device", "cpu"]);
        serde_json::from_value(ran.lines()[0]["embedding"].clone()).unwrap()
    };
    for (args, prompt) in [(&[] as &[&str], "query"), (&["--prompt", "other"], "other"), (&["--prompt", ""], "")] {
        let all = ["search", "Who wrote?", "notes", "--json", "--model", "model", "--device", "cpu", "--no-cache"];
        let found = notes.ran(&[&all, args].concat()).lines();
        assert_eq!(found.len(), 3);
        let query = embed("Who wrote?", prompt);
        for line in &found {
            let passage = embed(line["text"].as_str().unwrap(), "passage");
            let cosine: f64 = query.iter().zip(passage).map(|(a, b)| a * b).sum();
            assert!((line["score"].as_f64().unwrap() - cosine).abs() < 1e-5, "{prompt}: {line}, not {cosine}");
        }
    }
    let unknown =
        notes.ran(&["search", "Who?", "notes", "--json", "--model", "model", "--device", "cpu", "--prompt", "no"]);
    assert_eq!(unknown.error().0, "option");
}

/// Hundreds of files are processed in parts, and equal passages are in the order of the files.
#[test]
fn many_files_are_searched_in_parts() {
    let notes = Notes::new();
    for i in 0..600 {
        notes.write(
            &format!("many/{i:03}.txt"),
            if i % 200 == 7 { "Ada wrote a program.".into() } else { format!("day {i}") },
        );
    }
    let found = notes.search(&["Ada wrote a program.", "many", "--top-k", "3"]).lines();
    let files: Vec<&Value> = found.iter().map(|line| &line["file"]).collect();
    assert_eq!(
        files,
        ["many/007.txt", "many/207.txt", "many/407.txt"].map(|name| json!(name)).iter().collect::<Vec<_>>()
    );
    assert!((found[0]["score"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    assert_eq!(notes.cached().len(), 598, "equal texts have one file");
    assert_eq!(notes.search(&["Ada wrote a program.", "many", "--top-k", "3"]).lines(), found);
}
