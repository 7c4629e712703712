//! The names of input fields, which are the same for every command, for training and for the npm package.

use std::collections::BTreeMap;

use cloze::fields::{AFFIXES, NAMES, ORDINARY, Role};
use serde_json::{Value, json};

use crate::support::command::{Ran, run_with};
use crate::support::fixture;

/// Runs `cloze ARGS --input -` on these lines.
fn lines(args: &[&str], model: &str, lines: &[Value]) -> Ran {
    let model = fixture("tasks").join(model).to_str().unwrap().to_owned();
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    run_with(&[args, &["--input", "-", "--model", &model, "--device", "cpu", "--quiet"]].concat(), input.as_bytes())
}

fn names(role: Role) -> Vec<&'static str> {
    NAMES.iter().filter(|(_, of)| *of == role).map(|(name, _)| *name).collect()
}

/// Only the results.
fn results(ran: &Ran) -> Vec<Value> {
    ran.lines().into_iter().map(|mut line| line["result"].take()).collect()
}

/// Checks that all results are equal, and that there is one for each line.
fn alike(args: &[&str], model: &str, inputs: &[Value]) {
    let found = results(&lines(args, model, inputs));
    assert_eq!(found.len(), inputs.len());
    assert!(found.iter().all(|result| result.is_array() && *result == found[0]), "{args:?}: {found:?}");
}

#[test]
fn every_command_knows_every_name() {
    let texts: Vec<Value> = names(Role::Text).iter().map(|name| json!({*name: "she was in london"})).collect();
    alike(&["tag"], "places", &texts);
    alike(&["zero-shot", "--labels", "art,science"], "nli", &texts);
    alike(&["embed"], "mean", &texts);
    let masked: Vec<Value> = names(Role::Text).iter().map(|name| json!({*name: "the [MASK] is red"})).collect();
    alike(&["fill-mask"], "mlm", &masked);

    let (first, second) = ("it was great", "she was happy");
    let mut pairs: Vec<Value> = Vec::new();
    for pair in names(Role::Pair) {
        pairs.extend(names(Role::Text).iter().map(|text| json!({*text: first, pair: second, "label": 1})));
    }
    pairs.push(json!({"question": first, "sentence": second}));
    pairs.push(json!({"context": second, "question": first, "title": "unrelated"}));
    alike(&["classify"], "nli", &pairs);
    alike(&["next-sentence"], "sentences", &pairs);
    alike(&["tokenize"], "mlm", &pairs);
    assert_ne!(
        results(&lines(&["classify"], "nli", &pairs[..1])),
        results(&lines(&["classify"], "nli", &[json!({"text": first})]))
    );
}

/// A line's own labels, in an array or separated by commas. Other lines use those of the arguments.
#[test]
fn a_line_has_labels_of_its_own() {
    let text = "a program";
    let given = [
        json!({"sequences": text, "candidate_labels": ["art", " science"]}),
        json!({"text": text, "candidate_labels": "art, science,"}),
        json!({"text": text}),
    ];
    alike(&["zero-shot", "--labels", "art,science"], "nli", &given);
    let ran = lines(&["zero-shot"], "nli", &given);
    assert_eq!(ran.code, Some(1));
    let found: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found[0]["result"][0]["label"].as_str().map(str::is_empty), Some(false));
    assert!(found[2]["error"]["message"].as_str().unwrap().contains("no \"candidate_labels\""), "{}", found[2]);
    let mixed = [json!({"text": text, "candidate_labels": ["one"]}), json!({"text": text, "candidate_labels": 5})];
    let ran = lines(&["zero-shot", "--labels", "a,b"], "nli", &mixed);
    assert!(ran.out.contains("\"label\":\"one\"") && ran.out.contains("is not an array of strings"), "{}", ran.out);
}

#[test]
fn what_is_not_read_is_named() {
    let says = |args: &[&str], model: &str, line: Value, words: &[&str]| {
        let ran = lines(args, model, std::slice::from_ref(&line));
        let found: Value = serde_json::from_str(&ran.out).unwrap();
        let message = found["error"]["message"].as_str().unwrap_or_else(|| panic!("{line}: {found}"));
        assert_eq!((ran.code, &found["error"]["code"]), (Some(1), &json!("input")));
        assert!(words.iter().all(|word| message.contains(word)), "{line}: {message}");
    };
    says(&["classify"], "nli", json!({"text": "a", "text_b": "b"}), &["\"text_b\"", "Write \"text_pair\""]);
    says(&["embed"], "mean", json!({"text": "a", "prompt": "query: "}), &["\"prompt\"", "Give --prompt"]);
    says(&["embed"], "mean", json!({"text": "a", "prompt_name": "query"}), &["\"prompt_name\"", "Give --prompt"]);
    says(&["classify"], "nli", json!({"text": "a", "Text_Pair": "b"}), &["\"Text_Pair\"", "Write \"text_pair\""]);
    says(&["classify"], "nli", json!({"text": "a", "pairs": "b"}), &["\"pairs\"", "Write \"pair\""]);
    says(
        &["classify"],
        "nli",
        json!({"text": "a", "sentence1": "b"}),
        &["\"sentence1\" and \"text\" are two names for the same field"],
    );
    says(&["classify"], "nli", json!({"text": "a", "context": "b"}), &["\"context\" is a field that this task"]);
    says(&["tag"], "places", json!({"text": "a", "text_pair": "b"}), &["\"text_pair\" is a field", "reads \"text\""]);
    says(&["tag"], "places", json!({"text": "a", "aggregation_strategy": "first"}), &["Give --aggregation"]);
    says(&["fill-mask"], "mlm", json!({"text": "[MASK]", "targets": ["a"]}), &["Give --targets"]);
    says(&["embed"], "mean", json!({"inputs": {"text": "a"}}), &["\"inputs\" is not a string", "on the line itself"]);
    says(&["zero-shot"], "nli", json!({"text": "a", "labels": ["b"]}), &["candidate_labels"]);
    says(&["zero-shot"], "nli", json!({"inputs": "a", "parameters": {}}), &["\"parameters\" is not read"]);
    says(&["next-sentence"], "sentences", json!({"text": "a"}), &["no \"pair\""]);
    // A null means that the field is missing, and a name that resembles no known one is ignored.
    let free = json!({"text": "a", "pair": null, "label": 3, "title": "t", "test": true, "question_id": 1, "idx": 0});
    assert_eq!(lines(&["tag"], "places", &[free]).code, Some(0));
}

/// A row of SQuAD is a question with its context. Its other fields are ignored.
#[test]
fn rows_of_data_sets_are_read_as_they_are() {
    let row = json!({"id": "q1", "title": "Otters", "context": "Otters sleep in kelp.", "question": "Where do otters sleep?",
        "answers": {"text": ["in kelp"], "answer_start": [13]}});
    let args = ["answer", "--input", "-", "--device", "cpu", "--quiet"];
    let found = run_with(&args, row.to_string().as_bytes()).lines();
    assert_eq!(found[0]["id"], "q1");
    assert!(found[0]["result"][0]["answer"].as_str().unwrap().contains("kelp"), "{}", found[0]);
    let wrong = json!({"question": "Where?", "context": "Otters sleep in kelp.", "text": "other"});
    let ran = run_with(&args, wrong.to_string().as_bytes());
    assert!(ran.code == Some(1) && ran.out.contains("is a field that this task does not use"), "{}", ran.out);
}

/// The npm package has the same table as the crate.
#[test]
fn the_package_has_the_same_table() {
    let text = include_str!("../../web/src/fields.ts");
    let listed = |of: &str| -> Vec<&str> {
        let start = text.find(of).unwrap_or_else(|| panic!("{of}")) + of.len();
        let list = &text[start..start + text[start..].find(']').unwrap()];
        list.split('\'').skip(1).step_by(2).collect()
    };
    let mut roles: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, role) in NAMES {
        roles.entry(format!("{role:?}").to_lowercase()).or_default().push(name);
    }
    for (role, names) in &roles {
        assert_eq!(listed(&format!("\n  {role}: [")), *names, "{role}");
    }
    assert_eq!(listed("const ORDINARY = ["), ORDINARY);
    let seconds: Vec<&str> = AFFIXES.iter().filter(|(_, is_second)| *is_second).map(|(affix, _)| *affix).collect();
    let firsts: Vec<&str> = AFFIXES.iter().filter(|(_, is_second)| !*is_second).map(|(affix, _)| *affix).collect();
    assert_eq!((listed("const SECONDS = ["), listed("const AFFIXES = [...SECONDS, ")), (seconds, firsts));
}
