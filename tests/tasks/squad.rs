//! SQuAD files, answers by sums of logits, and the official metrics (tests/oracle/metrics.py and squad2.py).

use std::path::Path;

use cloze::tasks::answer::SpanLogits;
use cloze::tasks::squad::{Candidate, Metrics, Metrics2, Squad, SquadOptions};
use cloze::text::windows::WindowOptions;
use cloze::text::{Tokenizer, TokenizerFiles};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::command::cli::{CONTEXT, QUESTION, path};
use crate::support::command::run;
use crate::support::fixture;

fn file(qas: Value) -> Vec<u8> {
    let paragraph = json!({"context": "Zürich 🦀 is a city.", "qas": qas});
    json!({"version": "1.1", "data": [{"title": "Zürich", "paragraphs": [paragraph]}]}).to_string().into_bytes()
}

fn question(id: &str, text: &str, start: usize) -> Value {
    json!({"id": id, "question": "What?", "answers": [{"text": text, "answer_start": start}]})
}

#[test]
fn reads_questions_in_order() {
    let squad =
        Squad::parse("f.json", &file(json!([question("1", "Zürich", 0), question("2", "is a city", 9)]))).unwrap();
    assert_eq!(squad.contexts, ["Zürich 🦀 is a city."]);
    let read: Vec<_> = squad.questions.iter().map(|q| (q.id.as_str(), q.context, q.answers[0].as_str())).collect();
    assert_eq!(read, [("1", 0, "Zürich"), ("2", 0, "is a city")]);
    // Data sets that were combined from others repeat ids. Every question counts.
    let repeated = file(json!([question("1", "Zürich", 0), question("1", "Zürich", 0)]));
    assert_eq!(Squad::parse("f.json", &repeated).unwrap().questions.len(), 2);
}

#[test]
fn errors_name_file_article_question_and_mend() {
    let check = |json: &[u8], says: &[&str]| {
        let error = Squad::parse("f.json", json).unwrap_err();
        assert_eq!(error.code(), "data");
        for part in says.iter().chain(&["f.json"]) {
            assert!(error.to_string().contains(part), "{error}");
        }
    };
    check(b"{", &["not SQuAD JSON", "line 1"]);
    check(b"{\"data\": []}", &["no questions"]);
    check(&file(json!([{"id": 3}])), &["article \"Zürich\"", "question \"3\": it has no \"question\""]);
    check(&file(json!([{"id": {}, "question": "?"}])), &["the id {} is neither text nor number"]);
    check(&file(json!([{"id": "n", "question": "?", "answers": 5}])), &["question \"n\": its answers are 5"]);
    check(&file(json!([{"id": "n", "question": "?", "answers": [[]]}])), &["an answer's text is []"]);
    check(b"{\"data\": [{\"title\": \"t\"}]}", &["of article \"t\" has neither paragraphs nor a question"]);
    check(b"[{\"question\": \"?\"}]", &["have no context"]);
    check(b"{\"question\": \"?\", \"context\": \"c\"} {", &["not SQuAD JSON"]);
    // SQuAD 2.0
    let marked = |id: &str, answers: Value, mark: Value| json!({"id": id, "question": "?", "answers": answers, "is_impossible": mark});
    let answers = json!([{"text": "is", "answer_start": 9}]);
    check(&file(json!([marked("n", answers.clone(), json!(true))])), &["question \"n\"", "marked is_impossible"]);
    check(&file(json!([marked("n", answers.clone(), json!("no"))])), &["question \"n\"", "is_impossible is \"no\""]);
    check(&file(json!([marked("n", answers.clone(), json!([[]]))])), &["question \"n\"", "is_impossible is [[]]"]);
    let mixed = json!([marked("1", answers, json!(false)), marked("2", json!([]), json!(true))]);
    let squad = Squad::parse("f.json", &file(mixed)).unwrap();
    assert!(squad.has_unanswerable() && squad.questions[1].answers.is_empty());
    assert!(!Squad::parse("f.json", &file(json!([question("1", "is", 9)]))).unwrap().has_unanswerable());
}

/// The forms of real files, all with one question.
#[test]
fn files_are_read_in_all_their_forms() {
    let nested =
        |qa: Value| json!({"data": [{"title": "t", "paragraphs": [{"context": "in Paris", "qas": [qa]}]}]}).to_string();
    let qa = |id: Value, answers: Value| json!({"id": id, "question": "Where?", "answers": answers});
    let row = |id: Value, answers: Value| json!({"id": id, "title": "t", "context": "in Paris", "question": "Where?", "answers": answers});
    let (listed, columns) =
        (json!([{"text": "Paris", "answer_start": 3}]), json!({"text": ["Paris"], "answer_start": [3]}));
    let forms = [
        nested(qa("1".into(), listed.clone())),
        format!("\u{feff}{}", nested(qa(1.into(), listed.clone()))),
        nested(qa(1.into(), json!([{"text": "Paris", "answer_start": "3"}]))),
        json!({"data": [row(1.into(), columns.clone())]}).to_string(),
        json!([row("1".into(), columns.clone())]).to_string(),
        json!([row("1".into(), listed.clone())]).to_string(),
        format!("{}\n", row("1".into(), columns.clone())),
        row("1".into(), json!({"text": "Paris", "answer_start": 3})).to_string(),
    ];
    let expected = Squad::parse("f", forms[0].as_bytes()).unwrap();
    assert_eq!((expected.questions[0].id.as_str(), expected.questions[0].place.clone()), ("1", Some(3..8)));
    for form in &forms {
        assert_eq!(Squad::parse("f", form.as_bytes()).unwrap(), expected, "{form}");
    }
    let two = format!("{}\r\n{}", row("1".into(), columns.clone()), row(Value::Null, columns));
    let squad = Squad::parse("f", two.as_bytes()).unwrap();
    assert_eq!((squad.questions[1].id.as_str(), squad.contexts.len()), ("#2", 1));

    // An answer counts by its text at any stated place, but has a place only if that is right.
    for (answers, place) in [
        (json!([{"text": "Paris", "answer_start": 0}]), None),
        (json!([{"text": "Paris", "answer_start": 999}]), None),
        (json!([{"text": "Paris", "answer_start": null}]), None),
        (json!([{"text": "Paris", "answer_start": -1}]), None),
        (json!({"text": ["Paris"], "answer_start": null}), None),
        (json!(["Paris"]), None),
        (json!([{"text": "Paris", "answer_start": 0}, {"text": "Paris", "answer_start": 3}]), Some(3..8)),
    ] {
        let squad = Squad::parse("f", nested(qa("1".into(), answers.clone())).as_bytes()).unwrap();
        assert_eq!(squad.questions[0].answers[0], "Paris", "{answers}");
        assert_eq!(squad.questions[0].place, place, "{answers}");
    }
    // A question without an answer is the same, marked or not.
    for answers in [
        Value::Null,
        json!([]),
        json!({"text": [], "answer_start": []}),
        json!({"text": null, "answer_start": null}),
        json!([{"text": null, "answer_start": null}]),
        json!([{"text": "", "answer_start": -1}]),
    ] {
        for mark in [Value::Null, json!(true), json!(false)] {
            let mut row = row("1".into(), answers.clone());
            row["is_impossible"] = mark;
            let squad = Squad::parse("f", row.to_string().as_bytes()).unwrap();
            assert!(squad.has_unanswerable() && squad.questions[0].answers.is_empty(), "{row}");
        }
    }
    assert!(Squad::parse("f", nested(json!({"id": "1", "question": "Where?"})).as_bytes()).unwrap().has_unanswerable());
}

#[test]
fn chooses_the_highest_sum_over_all_windows() {
    let files = TokenizerFiles { vocab: Some(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n"), ..Default::default() };
    let tokenizer = Tokenizer::from_files(&files, 6).unwrap();
    let lengths = WindowOptions { max_seq_len: 9, doc_stride: Some(2) };
    let options = SquadOptions { lengths, max_question_tokens: 2, max_answer_tokens: 2, ..Default::default() };
    // The question is cut to 2 tokens, which leaves 4 for the context: a ##b a ##b | a ##b a.
    let context = "ab ab a";
    let windowed = options.windows(&tokenizer, "a a a a", context).unwrap();
    assert_eq!((windowed.question.len(), windowed.windows.clone()), (2, vec![0..4, 2..5]));
    let logits = |context: &[f32]| [&[9.0; 4], context, &[9.0]].concat();
    let best = |start: [&[f32]; 2], end: [&[f32]; 2]| {
        let logits = |i: usize| SpanLogits { start: logits(start[i]), end: logits(end[i]) };
        options.decode(&windowed, context, &[logits(0), logits(1)]).unwrap().nbest.remove(0).bytes
    };
    let zeros: &[f32] = &[0.0; 4];
    // Spans end where tokens end, even in the middle of a word. The first of equal ones is used.
    assert_eq!(best([zeros, &[0.0; 3]], [zeros, &[0.0; 3]]), 0..1);
    assert_eq!(best([&[0.0, 1.0, 0.0, 0.0], &[0.0; 3]], [&[0.0, 0.0, 1.0, 0.0], &[0.0; 3]]), 1..4);
    // A span of three tokens is too long, and an end before its start is no span.
    assert_eq!(best([&[2.0, 0.0, 0.0, 0.0], &[0.0; 3]], [&[0.0, 0.5, 3.0, 0.0], &[0.0; 3]]), 1..4);
    assert_eq!(best([zeros, &[0.0, 0.0, 2.0]], [zeros, &[0.0, 2.0, 1.0]]), 6..7);
}

#[test]
fn metrics_equal_the_official_script() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics.json");
    let cases: Vec<(String, Vec<String>, f64, f64)> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(cases.len() >= 300);
    let mut all = Metrics::default();
    let (mut exact_sum, mut f1_sum) = (0.0, 0.0);
    for (prediction, answers, exact, f1) in &cases {
        let mut one = Metrics::default();
        one.add(prediction, answers);
        all.add(prediction, answers);
        exact_sum += exact;
        f1_sum += f1;
        assert_eq!(one.exact_match(), 100.0 * exact, "{prediction:?} {answers:?}");
        assert!((one.f1() - 100.0 * f1).abs() < 1e-9, "{prediction:?} {answers:?}");
    }
    assert_eq!(all.total(), cases.len());
    assert!((all.exact_match() - 100.0 * exact_sum / cases.len() as f64).abs() < 1e-9);
    assert!((all.f1() - 100.0 * f1_sum / cases.len() as f64).abs() < 1e-9);
}

/// The contents of tests/fixtures/squad2/expected.json.
#[derive(Deserialize)]
struct Expected {
    vocab: String,
    max_seq_len: usize,
    doc_stride: usize,
    max_answer_tokens: usize,
    n_best: usize,
    logits: Vec<Vec<[Vec<f32>; 2]>>,
    decoded: Vec<DecodedCase>,
    metrics: Vec<MetricsCase>,
}

#[derive(Deserialize)]
struct DecodedCase {
    version_2: bool,
    threshold: f64,
    predictions: Map<String, Value>,
    null_odds: Option<Map<String, Value>>,
    nbest: Map<String, Value>,
    figures: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct MetricsCase {
    rows: Vec<(String, Vec<String>, f64)>,
    figures: Map<String, Value>,
}

fn expected() -> Expected {
    serde_json::from_slice(&std::fs::read(fixture("squad2/expected.json")).unwrap()).unwrap()
}

/// Checks for the same names, and for equal numbers except for the order of a sum.
fn assert_figures(metrics: &Metrics2, figures: &Map<String, Value>) {
    let found = serde_json::to_value(metrics.figures()).unwrap();
    let found = found.as_object().unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), figures.keys().collect::<Vec<_>>());
    for (name, value) in figures {
        let (found, value) = (found[name].as_f64().unwrap(), value.as_f64().unwrap());
        assert!((found - value).abs() < 1e-9, "{name}: {found}, not {value}");
    }
}

#[test]
fn figures_of_version_2_equal_the_official_script() {
    let cases = expected().metrics;
    assert!(cases.len() >= 50);
    for MetricsCase { rows, figures } in &cases {
        let mut metrics = Metrics2::default();
        rows.iter().for_each(|(prediction, golds, odds)| metrics.add(prediction, golds, *odds));
        assert_figures(&metrics, figures);
    }
    // Without questions, nothing is divided by zero.
    let none = Metrics2::default().figures();
    assert_eq!((none.exact, none.best_f1, none.total, none.has_ans_f1), (0.0, 0.0, 0, None));
}

#[test]
fn decodes_as_run_squad_does() {
    let expected = expected();
    let vocab = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(&expected.vocab).join("vocab.txt")).unwrap();
    let count = vocab.split(|b| *b == b'\n').filter(|line| !line.is_empty()).count();
    let files = TokenizerFiles { vocab: Some(&vocab), ..Default::default() };
    let tokenizer = Tokenizer::from_files(&files, count).unwrap();
    let data = Squad::parse("dev.json", &std::fs::read(fixture("squad2/dev.json")).unwrap()).unwrap();
    assert!(data.has_unanswerable() && data.questions.len() == expected.logits.len());
    for case in &expected.decoded {
        let options = SquadOptions {
            lengths: WindowOptions { max_seq_len: expected.max_seq_len, doc_stride: Some(expected.doc_stride) },
            max_answer_tokens: expected.max_answer_tokens,
            n_best: expected.n_best,
            version_2: case.version_2,
            null_score_diff_threshold: case.threshold,
            ..Default::default()
        };
        let mut metrics = Metrics2::default();
        for (question, windows) in data.questions.iter().zip(&expected.logits) {
            let (id, context) = (&question.id, &data.contexts[question.context]);
            let windowed = options.windows(&tokenizer, &question.text, context).unwrap();
            let logits: Vec<_> =
                windows.iter().map(|[start, end]| SpanLogits { start: start.clone(), end: end.clone() }).collect();
            let decoded = options.decode(&windowed, context, &logits).unwrap();
            let odds = case.null_odds.as_ref().map(|odds| odds[id].as_f64().unwrap());
            assert_eq!(decoded.null_odds, odds, "{id}");
            let nbest = case.nbest[id].as_array().unwrap();
            assert_eq!(decoded.nbest.len(), nbest.len(), "{id}");
            for (at, (found, known)) in decoded.nbest.iter().zip(nbest).enumerate() {
                let Candidate { text, probability, start_logit, end_logit, bytes } = found;
                assert_eq!(text, known["text"].as_str().unwrap(), "{id} {at}");
                let number = |key: &str| known[key].as_f64().unwrap();
                assert_eq!((*start_logit, *end_logit), (number("start_logit") as f32, number("end_logit") as f32));
                assert!((probability - number("probability")).abs() < 1e-12, "{id} {at}");
                assert!(text == "empty" || &context[bytes.clone()] == text, "{id} {at}");
            }
            assert_eq!(decoded.text, case.predictions[id].as_str().unwrap(), "{id}, threshold {}", case.threshold);
            metrics.add(&decoded.text, &question.answers, decoded.null_odds.unwrap_or_default());
        }
        if let Some(figures) = &case.figures {
            assert_figures(&metrics, figures);
        }
    }
}

#[test]
fn eval_squad_takes_version_2() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (fixture("squad2/dev.json"), dir.path().join("a/out"));
    let eval = |data: &Path, args: &[&str]| run(&[&["eval", "squad", "--json", "--data", path(data)], args].concat());
    let ran = eval(&data, &["--output-dir", path(&out)]);
    // A map would sort its keys, so the text shows the order.
    let names = [
        "exact",
        "f1",
        "total",
        "HasAns_exact",
        "HasAns_f1",
        "HasAns_total",
        "NoAns_exact",
        "NoAns_f1",
        "NoAns_total",
        "best_exact",
        "best_exact_thresh",
        "best_f1",
        "best_f1_thresh",
    ];
    let places: Vec<_> = names.iter().map(|name| ran.out.find(&format!("\"{name}\":")).expect(name)).collect();
    assert!(places.is_sorted(), "{}", ran.out);
    let figures = ran.lines().remove(0);
    assert_eq!(figures.as_object().unwrap().len(), names.len());
    assert_eq!(
        (&figures["total"], &figures["HasAns_total"], &figures["NoAns_total"]),
        (&json!(12), &json!(6), &json!(6))
    );

    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(out.join(name)).unwrap()).unwrap() };
    let (predictions, nbest, odds) = (read("predictions.json"), read("nbest_predictions.json"), read("null_odds.json"));
    for (id, text) in predictions.as_object().unwrap() {
        let entries = nbest[id].as_array().unwrap();
        let best = entries.iter().map(|e| e["text"].as_str().unwrap()).find(|t| !t.is_empty()).unwrap();
        let odds = odds[id].as_f64().unwrap();
        assert_eq!(text, if odds > 0.0 { "" } else { best }, "{id}");
        let sum: f64 = entries.iter().map(|e| e["probability"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-9 && entries[0]["start_logit"].is_f64() && entries[0]["end_logit"].is_f64());
    }
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 3, "nothing is left over");

    // With a threshold above all odds, every question has an answer; with one below all, none has.
    let all = eval(&data, &["--null-score-diff-threshold", "1000"]).lines().remove(0);
    assert_eq!((&all["NoAns_exact"], &all["HasAns_total"]), (&json!(0.0), &json!(6)));
    let none = eval(&data, &["--null-score-diff-threshold", "-1000"]).lines().remove(0);
    assert_eq!((&none["NoAns_exact"], &none["HasAns_exact"]), (&json!(100.0), &json!(0.0)));
    let people = run(&["eval", "squad", "--quiet", "--data", path(&data)]);
    assert!(people.out.contains("without an answer") && people.out.contains("best threshold"), "{}", people.out);

    // Version 1.1 has neither odds nor a threshold, unless it is treated as 2.0.
    let old = dir.path().join("old.json");
    let at = CONTEXT.find("kelp").unwrap();
    let asked = json!({ "id": "a", "question": QUESTION, "answers": [{ "text": "kelp", "answer_start": at }] });
    let set = json!({ "data": [{ "title": "t", "paragraphs": [{ "context": CONTEXT, "qas": [asked] }] }] });
    std::fs::write(&old, set.to_string()).unwrap();
    let (old_out, file) = (dir.path().join("old"), dir.path().join("p.json"));
    let ran = eval(&old, &["--output-dir", path(&old_out), "--predictions", path(&file)]);
    assert_eq!(ran.lines()[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["exact_match", "f1", "total"]);
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(old_out.join("predictions.json")).unwrap());
    assert!(!old_out.join("null_odds.json").exists());
    let treated = eval(&old, &["--version-2"]).lines().remove(0);
    assert!(treated.get("HasAns_total").is_some() && treated.get("NoAns_total").is_none(), "{treated}");
    assert_eq!(eval(&old, &["--null-score-diff-threshold", "1"]).error().0, "option");
    assert_eq!(eval(&data, &["--null-score-diff-threshold", "inf"]).error().0, "option");
    assert_eq!(eval(&data, &["--output-dir", path(&old)]).error().0, "io");
}
