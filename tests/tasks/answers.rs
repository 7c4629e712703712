//! Compares whole answers of the default model with transformers' pipeline on the same dequantized weights
//! (tests/oracle/answers.py). Only on the CPU, because contexts have up to 5,000 words.

use std::path::Path;
use std::sync::Arc;

use cloze::batch::Batch;
use cloze::block_on;
use cloze::device::{Cancel, Cpu, Device};
use cloze::tasks::answer::{AnswerOptions, Windowed};
use cloze::tasks::question_answering::QuestionAnswering;
use serde_json::Value;

use crate::support::fixture;
use crate::tokenizers::text::{answer, options, same_answers};

/// The promised tolerance of scores. Logits agree to 1e-4, and a score is at most 1 in each window, so the test is
/// tight.
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

#[test]
fn every_token_is_explained_by_its_best_window() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/minilm-l6-qa");
    let qa = QuestionAnswering::open(&model, Arc::new(Device::Cpu(Cpu::new(2)))).unwrap();
    let (question, context) = ("Who wrote the notes?", "Ada — née Byron — wrote the notes 🦀 in 1843. ".repeat(12));
    let options = AnswerOptions { max_seq_len: Some(64), doc_stride: Some(16), top_k: 3, ..Default::default() };
    let got = block_on(qa.explain(question, &context, &options, &Cancel::new())).unwrap();
    assert_eq!(got.answers, block_on(qa.answer(question, &context, &options, &Cancel::new())).unwrap());

    let windowed = Windowed::new(qa.tokenizer(), question, &context, 512, &options).unwrap();
    assert!(windowed.windows.len() > 3, "{:?}", windowed.windows);
    assert_eq!(got.context.len(), windowed.context.len());
    let mut want = vec![[0.0_f64; 2]; got.context.len()];
    let mut tokens = 0;
    for (window, sequence) in windowed.windows.iter().zip(windowed.sequences(qa.tokenizer())) {
        let mut batch = Batch::default();
        batch.push(&sequence.ids, &sequence.types);
        tokens += batch.tokens();
        let logits = block_on(qa.model().forward(&batch, &Cancel::new())).unwrap();
        let first = windowed.question.len() + 2;
        for side in 0..2 {
            let exp = |token: usize| f64::from(logits[2 * token + side]).exp();
            let sum: f64 = exp(0) + (first..first + window.len()).map(exp).sum::<f64>();
            for (i, token) in window.clone().enumerate() {
                want[token][side] = want[token][side].max(exp(first + i) / sum);
            }
        }
    }
    assert_eq!(got.tokens, tokens);
    for (i, (token, want)) in got.context.iter().zip(want).enumerate() {
        assert_eq!(token.bytes, windowed.context.offsets[i]);
        for (got, want) in [token.start, token.end].into_iter().zip(want) {
            assert!((f64::from(got) - want).abs() < 1e-5, "token {i}: {got}, not {want}");
        }
    }
    assert!(got.context.iter().any(|token| token.start > 0.1), "the model has an opinion");
}
