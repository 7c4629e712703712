//! The names of classes in a model's `config.json`.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::command::{Ran, run};
use crate::support::fixture;

/// `cloze COMMAND ARGS` with a copy of a model whose `id2label` is this.
fn with_labels(name: &str, labels: &Value, args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture("tasks").join(name), dir.path());
    let path = dir.path().join("config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["id2label"] = labels.clone();
    fs::write(&path, config.to_string()).unwrap();
    run(&[args, &["--model", dir.path().to_str().unwrap(), "--device", "cpu", "--quiet", "--json"]].concat())
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&place).unwrap();
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), &place).unwrap();
        }
    }
}

/// If the classes of a data set are numbers, their names are numbers, and work like any others.
#[test]
fn names_may_be_numbers() {
    let classify = ["classify", "she was happy"];
    let named = with_labels("moods", &json!({"0": "a", "1": "b", "2": "c"}), &classify).lines();
    let as_named = |labels: Value, names: [&str; 3]| {
        let found = with_labels("moods", &labels, &classify).lines();
        for (known, found) in named.iter().zip(&found) {
            let at = ["a", "b", "c"].iter().position(|name| known["label"] == *name).unwrap();
            assert_eq!((&found["label"], &found["score"]), (&json!(names[at]), &known["score"]), "{labels}");
        }
        assert_eq!(found.len(), 3);
    };
    as_named(json!({"0": 0, "1": 1, "2": 2}), ["0", "1", "2"]);
    as_named(json!({"2": 1.5, "0": -1, "1": true}), ["-1", "true", "1.5"]);
    as_named(json!({"0": "x", "1": null, "2": "z"}), ["x", "LABEL_1", "z"]);
}

/// If names do not match the outputs, they would label the wrong ones.
#[test]
fn names_that_do_not_begin_at_0_are_refused() {
    let from_1 = json!({"1": "bad", "2": "so-so", "3": "good"});
    for (name, labels, args) in [
        ("moods", from_1.clone(), ["classify", "happy"]),
        ("moods", json!({"0": "bad", "1": "so-so", "3": "good"}), ["classify", "happy"]),
        ("places", json!({"1": "a", "2": "b", "3": "c", "4": "d", "5": "e"}), ["tag", "ada"]),
    ] {
        let (code, message) = with_labels(name, &labels, &args).error();
        let is_refused =
            code == "config" && message.contains("id2label has") && message.contains("Number the names from");
        // A number of labels that differs from the weights' is refused earlier.
        assert!(is_refused || (name == "places" && code == "checkpoint"), "{code}: {message}");
    }
    // A task without labels ignores them.
    assert_eq!(with_labels("mean", &from_1, &["embed", "happy"]).code, Some(0));
    let not_numbers = with_labels("moods", &json!({"a": "bad"}), &["classify", "happy"]).error();
    assert!(not_numbers.0 == "config" && not_numbers.1.contains("id2label has no number but"), "{}", not_numbers.1);
}
