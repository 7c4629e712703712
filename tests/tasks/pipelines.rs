//! Compares every task with the pipelines of transformers: 150 texts through small models with their own tokenizers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use cloze::Result;
use cloze::block_on;
use cloze::checkpoint::Head;
use cloze::config::Config;
use cloze::device::{Cancel, Cpu, Device};
use cloze::pooling::Pooling;
use cloze::sentence::Sentence;
use cloze::tasks::classify::{Classifier, Scored};
use cloze::tasks::embed::{EmbedOptions, Embedder};
use cloze::tasks::fill_mask::{FillMask, FillMaskOptions};
use cloze::tasks::next_sentence::NextSentence;
use cloze::tasks::run::{Task, run, run_one};
use cloze::tasks::tag::{Aggregation, Tagger};
use cloze::tasks::text_model::{TextModel, TextPair};
use cloze::tasks::zero_shot::{ZeroShot, ZeroShotOptions};
use cloze::text::{Offsets, Tokenizer};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::support::fixture;

/// For probabilities and vectors of models in f32, against PyTorch.
const TOLERANCE: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    task: String,
    model: String,
    input: Input,
    options: Map<String, Value>,
    /// The result of the pipeline, or its refusal.
    result: Value,
}

impl Case {
    fn is_refused(&self) -> bool {
        self.result == json!({ "raises": true })
    }
}

#[derive(Deserialize)]
struct Input {
    text: String,
    pair: Option<String>,
}

fn cases(task: &str) -> Vec<Case> {
    let bytes = std::fs::read(fixture("tasks/cases.json")).unwrap();
    let all: Vec<Case> = serde_json::from_slice(&bytes).unwrap();
    all.into_iter().filter(|case| case.task == task).collect()
}

fn model_dir(model: &str) -> PathBuf {
    fixture("tasks").join(model)
}

fn open(model: &str, head: Head) -> TextModel {
    TextModel::open(&model_dir(model), head, Device::Cpu(Cpu::new(1))).unwrap()
}

/// Runs every case of `task`. `answer` returns the result in the form of the fixture.
fn check(task: &str, at_least: usize, mut answer: impl FnMut(&Case) -> Result<Value>) {
    let all = cases(task);
    assert!(all.len() >= at_least, "{task}: {} cases", all.len());
    for case in &all {
        let what = format!("{task} {} {:?} {:?} {:?}", case.model, case.input.text, case.input.pair, case.options);
        match answer(case) {
            Ok(found) => {
                assert!(!case.is_refused(), "{what}: transformers refuses it");
                alike(&found, &case.result, &what);
            }
            Err(error) => assert!(case.is_refused(), "{what}: {error}"),
        }
    }
}

/// Checks that both values are equal, with numbers within the tolerance.
fn alike(found: &Value, expected: &Value, what: &str) {
    match (found, expected) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= TOLERANCE, "{what}: {a}, not {b}");
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{what}: {found}, not {expected}");
            a.iter().zip(b).for_each(|(a, b)| alike(a, b, what));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{what}: {found}, not {expected}");
            a.iter().for_each(|(key, a)| alike(a, &b[key], &format!("{what} {key}")));
        }
        _ => assert_eq!(found, expected, "{what}"),
    }
}

fn one<T: Task>(task: &T, input: T::Input, options: &T::Options) -> Result<T::Output> {
    block_on(run_one(task, &input, options, &Cancel::new()))
}

fn pair(case: &Case) -> TextPair {
    TextPair { text: case.input.text.clone(), pair: case.input.pair.clone() }
}

/// A list of strings, or one.
fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        other => serde_json::from_value(other.clone()).unwrap(),
    }
}

/// The models that were opened, by name.
struct Opened<T>(BTreeMap<String, T>);

impl<T> Opened<T> {
    fn get(&mut self, model: &str, open: impl FnOnce() -> T) -> &T {
        self.0.entry(model.to_owned()).or_insert_with(open)
    }
}

#[test]
fn masks_are_filled() {
    let mut models = Opened(BTreeMap::new());
    check("fill-mask", 30, |case| {
        let task = models.get(&case.model, || FillMask::new(open(&case.model, Head::MaskedLm)).unwrap());
        let targets = case.options.get("targets").map(|words| task.targets(&strings(words))).transpose()?;
        let top_k = case.options.get("top_k").map_or(5, |k| k.as_u64().unwrap() as usize);
        let rows = one(task, case.input.text.clone(), &FillMaskOptions { top_k, targets })?;
        let row = |r: &cloze::tasks::fill_mask::Filled| {
            json!({
                "mask": r.mask, "token": r.token_id, "token_str": r.token, "score": r.score, "sequence": r.sequence
            })
        };
        Ok(rows.iter().map(row).collect())
    });
}

fn scored(all: Vec<Scored>) -> Value {
    serde_json::to_value(all).unwrap()
}

#[test]
fn texts_are_classified() {
    let mut models = Opened(BTreeMap::new());
    check("classify", 20, |case| {
        let task = models.get(&case.model, || Classifier::new(open(&case.model, Head::SequenceClassification)));
        one(task, pair(case), &()).map(scored)
    });
}

#[test]
fn tokens_are_tagged() {
    let mut models = Opened(BTreeMap::new());
    check("tag", 35, |case| {
        let task = models.get(&case.model, || Tagger::new(open(&case.model, Head::TokenClassification)));
        let aggregation: Aggregation = case.options["aggregation"].as_str().unwrap().parse()?;
        let points = Offsets::in_code_points(&case.input.text);
        let entities = one(task, case.input.text.clone(), &aggregation)?.into_iter().map(|e| {
            let (start, end) = (points.at(e.span.start), points.at(e.span.end));
            match e.index {
                Some(index) => json!({
                    "entity": e.label, "score": e.score, "index": index, "word": e.word, "start": start, "end": end
                }),
                None => {
                    json!({ "entity_group": e.label, "score": e.score, "word": e.word, "start": start, "end": end })
                }
            }
        });
        Ok(entities.collect())
    });
}

#[test]
fn texts_are_embedded() {
    let mut seen = Vec::new();
    check("embed", 15, |case| {
        let mut sentence = Sentence::open(&model_dir(&case.model))?;
        let word = case.options["pooling"].as_str().unwrap();
        if word != "auto" {
            sentence.pool_by(vec![Pooling::from_word(word).unwrap()]);
        }
        seen.extend(sentence.poolings().to_owned());
        let normalize = Some(case.options["normalize"].as_bool().unwrap_or(sentence.normalize));
        let task = Embedder::open_with(&model_dir(&case.model), sentence, Device::Cpu(Cpu::new(1)))?;
        Ok(json!({ "embedding": one(&task, pair(case), &EmbedOptions { normalize, ..EmbedOptions::default() })? }))
    });
    assert!(
        [Pooling::Cls, Pooling::Mean, Pooling::Max, Pooling::MeanSqrtLen].iter().all(|p| seen.contains(p)),
        "{seen:?}"
    );
}

#[test]
fn next_sentences_are_judged() {
    let mut models = Opened(BTreeMap::new());
    check("next-sentence", 5, |case| {
        let task = models.get(&case.model, || NextSentence::new(open(&case.model, Head::NextSentence)));
        Ok(json!({ "is_next": one(task, pair(case), &())? }))
    });
}

#[test]
fn labels_of_ones_own_are_tried() {
    let mut models = Opened(BTreeMap::new());
    check("zero-shot", 10, |case| {
        let task = models.get(&case.model, || ZeroShot::new(open(&case.model, Head::SequenceClassification)).unwrap());
        let labels = match &case.options["labels"] {
            Value::String(list) => list.split(',').map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect(),
            list => strings(list),
        };
        let mut options = ZeroShotOptions { labels, ..ZeroShotOptions::default() };
        if let Some(template) = case.options.get("template") {
            options.template = template.as_str().unwrap().into();
        }
        options.multi_label = case.options.get("multi_label").is_some_and(|m| m.as_bool().unwrap());
        let all = one(task, case.input.text.clone(), &options)?;
        let (labels, scores): (Vec<_>, Vec<_>) = all.into_iter().map(|s| (s.label, s.score)).unzip();
        Ok(json!({ "labels": labels, "scores": scores }))
    });
}

#[test]
fn texts_are_tokenized() {
    check("tokenize", 10, |case| {
        let dir = model_dir(&case.model);
        let tokenizer = Tokenizer::load(&dir, Config::open(&dir)?.vocab_size)?;
        let first = tokenizer.encode(&case.input.text)?;
        let second = case.input.pair.as_ref().map(|text| tokenizer.encode(text)).transpose()?;
        let sequence = match &second {
            Some(second) => tokenizer.pair(&first.ids, &second.ids),
            None => tokenizer.single(&first.ids),
        };
        let (mut offsets, mut special) = (vec![[0, 0]], vec![1]);
        let texts = [Some((&case.input.text, &first)), case.input.pair.as_ref().zip(second.as_ref())];
        for (text, encoding) in texts.into_iter().flatten() {
            let points = Offsets::in_code_points(text);
            offsets.extend(encoding.offsets.iter().map(|o| [points.at(o.start), points.at(o.end)]));
            special.extend(vec![0; encoding.len()]);
            offsets.push([0, 0]);
            special.push(1);
        }
        let tokens: Vec<_> = sequence.ids.iter().map(|id| tokenizer.id_to_token(*id)).collect();
        Ok(json!({
            "ids": sequence.ids, "tokens": tokens, "offsets": offsets, "types": sequence.types, "special": special
        }))
    });
}

/// Each of many inputs gets the same result as alone, and bad ones get an error in their place.
#[test]
fn a_batch_gives_each_input_its_own() {
    let task = FillMask::new(open("mlm", Head::MaskedLm)).unwrap();
    let options = FillMaskOptions::default();
    let mut texts: Vec<String> = cases("fill-mask").into_iter().map(|case| case.input.text).collect();
    texts.insert(3, "there is none here".into());
    texts.extend(texts.clone());
    let together = block_on(run(&task, &texts, &options, &Cancel::new())).unwrap();
    assert_eq!(together.len(), texts.len());
    let mut bad = 0;
    for (text, found) in texts.iter().zip(together) {
        match (one(&task, text.clone(), &options), found) {
            (Ok(alone), Ok(found)) => assert_eq!(alone, found, "{text}"),
            (Err(alone), Err(found)) => {
                assert_eq!(alone.to_string(), found.to_string());
                bad += 1;
            }
            (alone, found) => panic!("{text}: {alone:?} alone, {found:?} in a batch"),
        }
    }
    assert!(bad >= 2);
    let cancel = Cancel::new();
    cancel.cancel();
    assert_eq!(block_on(run(&task, &texts, &options, &cancel)).unwrap_err().code(), "cancelled");
}
