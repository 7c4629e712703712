//! SQuAD files, choosing by logit sums, and the official metrics (tests/oracle/metrics.py).

use std::path::Path;

use cloze::tasks::answer::SpanLogits;
use cloze::tasks::squad::{Metrics, Squad, SquadOptions};
use cloze::text::windows::WindowOptions;
use cloze::text::{Tokenizer, TokenizerFiles};
use serde_json::{Value, json};

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
    // Data sets made of others repeat ids; every question counts.
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
    check(b"{", &["not SQuAD 1.1 JSON", "line 1"]);
    check(b"{\"data\": []}", &["no questions"]);
    check(&file(json!([{"id": 3}])), &["not SQuAD 1.1 JSON"]);
    check(&file(json!([question("q7", "city", 16)])), &["article \"Zürich\"", "question \"q7\"", "\"city\" at 16"]);
    check(&file(json!([question("q7", "city", usize::MAX)])), &["question \"q7\"", "answer_start"]);
    check(&file(json!([{"id": "n", "question": "?", "answers": []}])), &["question \"n\"", "it has no answer"]);
}

#[test]
fn chooses_the_highest_sum_over_all_windows() {
    let files = TokenizerFiles { vocab: Some(b"[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n"), ..Default::default() };
    let tokenizer = Tokenizer::from_files(&files, 6).unwrap();
    let lengths = WindowOptions { max_seq_len: 9, doc_stride: 2 };
    let options = SquadOptions { lengths, max_question_tokens: 2, max_answer_tokens: 2 };
    // The question is cut to 2 tokens, which leaves 4 for the context: a ##b a ##b | a ##b a.
    let context = "ab ab a";
    let windowed = options.windows(&tokenizer, "a a a a", context).unwrap();
    assert_eq!((windowed.question.len(), windowed.windows.clone()), (2, vec![0..4, 2..5]));
    let logits = |context: &[f32]| [&[9.0; 4], context, &[9.0]].concat();
    let best = |start: [&[f32]; 2], end: [&[f32]; 2]| {
        let logits = |i: usize| SpanLogits { start: logits(start[i]), end: logits(end[i]) };
        options.best(&windowed, &[logits(0), logits(1)]).unwrap()
    };
    let zeros: &[f32] = &[0.0; 4];
    // Spans end where tokens end, in the middle of a word too; the first of equals counts.
    assert_eq!(best([zeros, &[0.0; 3]], [zeros, &[0.0; 3]]), 0..1);
    assert_eq!(best([&[0.0, 1.0, 0.0, 0.0], &[0.0; 3]], [&[0.0, 0.0, 1.0, 0.0], &[0.0; 3]]), 1..4);
    // Three tokens are too long, and an end before its start is no span.
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
