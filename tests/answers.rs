//! Whole answers of the default model against transformers' pipeline on the same, dequantised, weights
//! (tests/oracle/answers.py). On the CPU alone: the contexts are up to 5,000 words long.

use std::path::Path;
use std::sync::Arc;

use cloze::block_on;
use cloze::device::{Cancel, Cpu, Device};
use cloze::tasks::question_answering::QuestionAnswering;
use serde_json::Value;

use crate::support::fixture;
use crate::text::{answer, options, same_answers};

/// What is promised of scores. Logits agree to 1e-4 and a score is at most 1 a window, so it leaves little room.
const TOLERANCE: f64 = 1e-4;

#[test]
fn answers_equal_the_pipelines() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/minilm-l6-qa");
    let device = Arc::new(Device::Cpu(Cpu::new(2)));
    let qa = QuestionAnswering::open(&model, device).unwrap();
    let file: Value = serde_json::from_slice(&std::fs::read(fixture("answers/answers.json")).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert!(cases.len() >= 60);
    for case in cases {
        let name = case["context"].as_str().unwrap();
        let context = match file["contexts"].get(name) {
            Some(text) => text.as_str().unwrap().to_owned(),
            None => std::fs::read_to_string(fixture("answers").join(name)).unwrap(),
        };
        let question = case["question"].as_str().unwrap();
        let options = options(&case["options"]);
        let got = block_on(qa.answer(question, &context, &options, &Cancel::new())).unwrap();
        let want: Vec<_> = case["answers"].as_array().unwrap().iter().map(answer).collect();
        same_answers(&context, &got, &want, TOLERANCE, &format!("{name}: {question} {options:?}"));
    }
}
