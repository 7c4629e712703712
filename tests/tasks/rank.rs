//! Rankings: the scores of CrossEncoder in sentence-transformers, and the command.

use std::fs;
use std::path::Path;

use cloze::block_on;
use cloze::device::{Cancel, Cpu, Device};
use cloze::tasks::rank::{Query, RankOptions, Ranked, Reranker};
use cloze::tasks::run::{run, run_one};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::command::{Ran, run_with};
use crate::support::devices::for_each_device;
use crate::support::fixture;

/// For scores of models in f32, against PyTorch.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    model: String,
    config: Map<String, Value>,
    files: Map<String, Value>,
    query: String,
    texts: Vec<String>,
    prompt: Option<String>,
    result: Value,
}

impl Case {
    fn all() -> Vec<Case> {
        serde_json::from_slice(&fs::read(fixture("rank.json")).unwrap()).unwrap()
    }

    fn query(&self) -> Query {
        Query { query: self.query.clone(), texts: self.texts.clone() }
    }

    fn options(&self) -> RankOptions {
        RankOptions { top_k: None, prompt: self.prompt.clone() }
    }
}

/// The fixture's model, with other keys in its config.json and other files beside it.
fn assemble(dir: &Path, model: &str, config: &Map<String, Value>, files: &Map<String, Value>) {
    fs::create_dir_all(dir).unwrap();
    for entry in fs::read_dir(fixture("tasks").join(model)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.join(path.file_name().unwrap())).unwrap();
    }
    let place = dir.join("config.json");
    let mut merged: Map<String, Value> = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
    merged.extend(config.clone());
    merged.retain(|_, value| !value.is_null());
    fs::write(place, Value::Object(merged).to_string()).unwrap();
    for (name, value) in files {
        fs::write(dir.join(name), value.to_string()).unwrap();
    }
}

fn alike(found: &[Ranked], expected: &Value, what: &str) {
    let expected = expected.as_array().unwrap();
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(json!(found.index), expected["corpus_id"], "{what}");
        let (a, b) = (f64::from(found.score), expected["score"].as_f64().unwrap());
        assert!((a - b).abs() <= TOLERANCE, "{what}: {a}, not {b}");
    }
}

#[test]
fn scores_are_those_of_sentence_transformers() {
    let parent = tempfile::tempdir().unwrap();
    let (mut ranked, mut refused) = (0, 0);
    for (number, case) in Case::all().iter().enumerate() {
        let what = format!("case {number}: {} {:?} {:?}", case.model, case.config, case.files);
        let dir = parent.path().join(number.to_string());
        assemble(&dir, &case.model, &case.config, &case.files);
        let found = Reranker::open(&dir, Device::Cpu(Cpu::new(1)))
            .and_then(|task| block_on(run_one(&task, &case.query(), &case.options(), &Cancel::new())));
        match found {
            Ok(found) => {
                assert!(case.result.is_array(), "{what}: sentence-transformers refuses it");
                alike(&found, &case.result, &what);
                ranked += 1;
            }
            Err(error) => {
                assert_eq!(case.result, json!({ "raises": true }), "{what}: {error}");
                assert!(["unsupported", "config"].contains(&error.code()), "{what}: {error}");
                refused += 1;
            }
        }
    }
    assert!(ranked >= 34 && refused >= 4, "{ranked} ranked, {refused} refused");
}

/// On every device, with each query alone and among others.
#[test]
fn a_ranking_has_the_same_bits_in_any_batch() {
    for_each_device(|test| {
        let name = &test.name;
        let dir = tempfile::tempdir().unwrap();
        let cases = Case::all();
        let case = &cases[1];
        assemble(&dir.path().join("m"), &case.model, &case.config, &case.files);
        let task = Reranker::open(&dir.path().join("m"), test.device.clone()).unwrap();
        let query = case.query();
        let options = RankOptions::default();
        let alone = block_on(run_one(&task, &query, &options, &Cancel::new())).unwrap();
        alike(&alone, &case.result, name);
        let others = ["", "The river is cold.", "a"].map(|text| Query { query: text.into(), ..query.clone() });
        let many = [&others[..], std::slice::from_ref(&query), &others[..]].concat();
        let found = block_on(run(&task, &many, &options, &Cancel::new())).unwrap();
        assert_eq!(found[3].as_ref().unwrap(), &alone, "{name}");
        for ranked in &alone {
            let text = query.texts[ranked.index].clone();
            let one = Query { query: query.query.clone(), texts: vec![text] };
            let single = block_on(run_one(&task, &one, &options, &Cancel::new())).unwrap();
            assert_eq!(single, [Ranked { index: 0, score: ranked.score }], "{name}");
        }
    });
}

/// Runs `cloze rerank ARGS --model one --device cpu --quiet`.
fn rerank(args: &[&str], stdin: &str) -> Ran {
    let model = fixture("tasks/one").to_str().unwrap().to_owned();
    run_with(&[&["rerank"], args, &["--model", &model, "--device", "cpu", "--quiet"]].concat(), stdin.as_bytes())
}

#[test]
fn the_command_ranks_texts_lines_and_queries() {
    let texts = ["The cat sat.", "Ada Lovelace wrote it.", "", "Ada Lovelace wrote it."];
    let arguments = rerank(&[&["Who wrote it?"], &texts[..]].concat(), "").lines();
    assert_eq!(arguments.len(), 4);
    assert_eq!(arguments[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["index", "score", "text"]);
    let scores: Vec<f64> = arguments.iter().map(|line| line["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let place = |index: usize| arguments.iter().position(|line| line["index"] == index).unwrap();
    assert_eq!(place(1) + 1, place(3), "of equal texts the first is first");
    for line in &arguments {
        assert_eq!(line["text"], texts[line["index"].as_u64().unwrap() as usize]);
    }
    // The texts as lines.
    let lines: String = texts.iter().map(|text| format!("{}\n", json!({ "text": text }))).collect();
    assert_eq!(rerank(&["Who wrote it?", "--input", "-"], &lines).lines(), arguments);
    let best = rerank(&["Who wrote it?", "--input", "-", "--top-k", "2"], &lines).lines();
    assert_eq!(best, arguments[..2]);
    // Queries with their texts as lines.
    let query = json!({ "query": "Who wrote it?", "texts": texts, "id": 7 });
    let empty = json!({ "query": "", "texts": [] });
    let many = rerank(&["--input", "-"], &format!("{query}\n{empty}\n{query}\n")).lines();
    assert_eq!(many[0], json!({ "line": 1, "id": 7, "result": arguments }));
    assert_eq!(many[1], json!({ "line": 2, "result": [] }));
    assert_eq!(many[2]["result"], many[0]["result"]);
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = file.path().to_str().unwrap();
    let into = rerank(&["Who wrote it?", "The cat sat.", "--output", output, "--overwrite"], "");
    assert_eq!((into.code, into.out.as_str()), (Some(0), ""), "{}", into.err);
    assert_eq!(fs::read_to_string(output).unwrap().lines().count(), 1);
}

#[test]
fn bad_lines_are_told_and_left_out() {
    let lines = "{\"text\": \"a\", \"id\": \"x\"}\nnonsense\n{\"texts\": [\"b\"]}\n{\"text\": \"c\"}\n";
    let ran = rerank(&["Who?", "--input", "-"], lines);
    assert_eq!(ran.code, Some(1));
    let found: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut kept: Vec<(u64, Option<&str>)> =
        found.iter().map(|line| (line["index"].as_u64().unwrap(), line["id"].as_str())).collect();
    kept.sort_unstable();
    assert_eq!(kept, [(0, Some("x")), (3, None)]);
    assert!(ran.err.contains("line 2: ") && ran.err.contains("line 3: \"texts\" is a field that"), "{}", ran.err);

    let lines = "{\"query\": \"a\"}\n{\"texts\": [\"a\"]}\n{\"query\": \"a\", \"texts\": [1]}\n{\"query\": \"a\", \"texts\": \"b\"}\n";
    let ran = rerank(&["--input", "-"], lines);
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 4));
    for line in ran.out.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["error"]["code"], "input", "{line}");
    }
}

#[test]
fn wrong_usage_of_rerank() {
    for args in [&[] as &[&str], &["query"], &["query", "text", "--top-k", "0"], &["query", "text", "--input", "-"]] {
        let ran = rerank(args, "");
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}: {}", ran.err);
    }
    let ran = rerank(&["query", "--input", "-", "--resume", "--output", "never.jsonl"], "");
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let moods = fixture("tasks/moods").to_str().unwrap().to_owned();
    let several = run_with(&["rerank", "a", "b", "--json", "--model", &moods, "--device", "cpu"], b"");
    let (code, message) = several.error();
    assert!(code == "unsupported" && message.contains("3 labels"), "{message}");
}

/// Thousands of texts are ranked in order and with little memory, and have the same scores as alone.
#[test]
fn thousands_of_texts_are_ranked() {
    let words = ["cat", "dog", "river", "ada", "program", "machine", "bread", "wine"];
    let text = |i: usize| format!("the {} and the {}", words[i % 8], words[i / 8 % 8]);
    let lines: String = (0..5000).map(|i| format!("{}\n", json!({ "text": text(i) }))).collect();
    let found = rerank(&["Who wrote the program?", "--input", "-"], &lines).lines();
    assert_eq!(found.len(), 5000);
    let key = |line: &Value| (line["score"].as_f64().unwrap(), line["index"].as_u64().unwrap());
    assert!(found.is_sorted_by(|a, b| key(a).0 > key(b).0 || (key(a).0 == key(b).0 && key(a).1 < key(b).1)));
    let best = rerank(&["Who wrote the program?", "--input", "-", "--top-k", "3"], &lines).lines();
    assert_eq!(best, found[..3]);
    assert_eq!(best[0]["text"], text(best[0]["index"].as_u64().unwrap() as usize));
}
