//! Compares Unigram tokenizers with transformers (tests/oracle/unigram.py), and runs every task with a model that has
//! one.

use std::path::Path;

use cloze::block_on;
use cloze::checkpoint::Head;
use cloze::device::{Cancel, Cpu, Device};
use cloze::tasks::answer::AnswerOptions;
use cloze::tasks::classify::Classifier;
use cloze::tasks::fill_mask::{FillMask, FillMaskOptions};
use cloze::tasks::question_answering::QuestionAnswering;
use cloze::tasks::run::run_one;
use cloze::tasks::tag::{Aggregation, Tagger};
use cloze::tasks::text_model::{TextModel, TextPair};
use cloze::text::{Encoding, Offsets, Tokenizer, TokenizerFiles};
use serde_json::{Value, json};

use crate::support::command::run;
use crate::support::fixture;

/// More than any vocabulary of the fixtures.
const VOCAB: usize = 10_000;

/// For scores and vectors in f32, against PyTorch.
const TOLERANCE: f64 = 1e-4;

fn read(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(fixture("unigram").join(name)).unwrap()).unwrap()
}

/// The sentences in fourteen languages and the tricky strings, as the oracle has them.
fn texts() -> Vec<String> {
    let own: Vec<String> = serde_json::from_value(read("texts.json")).unwrap();
    let tricky = std::fs::read(fixture("tricky/strings.json")).unwrap();
    let tricky: Vec<String> = serde_json::from_slice(&tricky).unwrap();
    assert!(own.len() == 28 && tricky.len() >= 200);
    own.into_iter().chain(tricky).collect()
}

fn in_points(text: &str, encoding: &Encoding) -> Value {
    let points = Offsets::in_code_points(text);
    let offsets = encoding.offsets.iter().flat_map(|r| [points.at(r.start), points.at(r.end)]);
    json!([encoding.ids, offsets.collect::<Vec<_>>()])
}

fn in_pieces(tokenizer: &Tokenizer, text: &str, bytes: usize) -> Encoding {
    let mut encoder = tokenizer.encoder(text).in_pieces(bytes);
    while encoder.step().unwrap() {}
    encoder.finish()
}

fn from_json(file: &Value) -> cloze::Result<Tokenizer> {
    let bytes = serde_json::to_vec(file).unwrap();
    Tokenizer::from_files(&TokenizerFiles { json: Some(&bytes), ..Default::default() }, VOCAB)
}

#[test]
fn tokens_equal_those_of_the_fast_tokenizer() {
    let tokenizer = Tokenizer::load(&fixture("unigram/xlmr"), VOCAB).unwrap();
    let expected = read("xlmr/tokens.json");
    for (text, expected) in texts().iter().zip(expected.as_array().unwrap()) {
        let encoding = tokenizer.encode(text).unwrap();
        assert_eq!(&in_points(text, &encoding), expected, "{text:?}");
        assert!(encoding.offsets.iter().all(|r| text.get(r.clone()).is_some()), "{text:?}");
        for bytes in [1, 5, 40] {
            assert_eq!(in_pieces(&tokenizer, text, bytes), encoding, "{text:?} by {bytes}");
        }
    }
}

/// The same normalizers, pre-tokenizers and models under other names and in other places.
#[test]
fn files_that_differ_give_other_tokens() {
    let base = read("small/tokenizer.json");
    let texts = texts();
    for entry in read("variants.json").as_array().unwrap() {
        let mut file = base.clone();
        entry[0].as_object().unwrap().iter().for_each(|(name, section)| file[name] = section.clone());
        let tokenizer = from_json(&file).unwrap();
        let expected = entry[1].as_array().unwrap();
        for (text, expected) in texts.iter().step_by(11).zip(expected) {
            let what = format!("{:.300} {text:?}", entry[0].to_string());
            let encoding = tokenizer.encode(text).unwrap();
            assert_eq!(&in_points(text, &encoding), expected, "{what}");
            assert_eq!(in_pieces(&tokenizer, text, 6), encoding, "{what}");
            for most in [0, 1, 7] {
                let mut first = encoding.clone();
                first.truncate(most);
                assert_eq!(tokenizer.encode_first(text, most).unwrap(), first, "{what}");
            }
        }
    }
}

/// Metaspace tokens are joined as the tokenizers crate joins them.
#[test]
fn ids_become_text_again() {
    let tokenizer = Tokenizer::load(&fixture("unigram/small"), VOCAB).unwrap();
    let ids = tokenizer.encode("The clerk  waited.").unwrap().ids;
    assert_eq!(tokenizer.decode(&tokenizer.single(&ids).ids, true), "The clerk waited.");
    assert_eq!(tokenizer.decode(&tokenizer.single(&ids).ids, false), "<s> The clerk waited.</s>");
    let special = tokenizer.special();
    assert_eq!((special.cls, special.pad, special.sep, special.unk), (0, 1, 2, 3));
    let pair = tokenizer.pair(&[7], &[8, 9]);
    assert_eq!((pair.ids, pair.types), (vec![0, 7, 2, 2, 8, 9, 2], vec![0; 7]));
}

/// If tokenizer_config.json names no mask, XLM-R's class has one that takes the white space before it.
#[test]
fn a_mask_that_no_file_describes_takes_the_space_before_it() {
    let json = std::fs::read(fixture("unigram/small/tokenizer.json")).unwrap();
    let starts = |config: &str| {
        let files = TokenizerFiles { json: Some(&json), config: Some(config.as_bytes()), ..Default::default() };
        let tokenizer = Tokenizer::from_files(&files, VOCAB).unwrap();
        let encoding = tokenizer.encode("The <mask>").unwrap();
        encoding.offsets[encoding.len() - 1].start
    };
    assert_eq!(starts(r#"{"tokenizer_class": "XLMRobertaTokenizer", "mask_token": "<mask>"}"#), 4);
    assert_eq!(starts(r#"{"tokenizer_class": "XLMRobertaTokenizerFast"}"#), 3);
    assert_eq!(starts(r#"{"tokenizer_class": "PreTrainedTokenizerFast"}"#), 4);
}

#[test]
fn files_that_cannot_be_used_are_refused() {
    let base = read("small/tokenizer.json");
    let with = |section: &str, value: Value| {
        let mut file = base.clone();
        file[section] = value;
        from_json(&file).unwrap_err()
    };
    let model = |change: &dyn Fn(&mut Value)| {
        let mut file = base.clone();
        change(&mut file["model"]);
        from_json(&file).unwrap_err()
    };
    let metaspace = |name: &str, value: Value| {
        let mut section = json!({"type": "Metaspace", "replacement": "▁"});
        section[name] = value;
        section
    };
    for (error, code, says) in [
        (model(&|m| m["unk_id"] = json!(9999)), "tokenizer", "unk_id"),
        (model(&|m| m["vocab"] = json!([["a", "b"]])), "tokenizer", "section model"),
        (model(&|m| m["vocab"] = json!([["a"]])), "tokenizer", "section model"),
        (model(&|m| m["vocab"] = json!({"a": 1})), "tokenizer", "section model"),
        (model(&|m| m["vocab"] = json!([])), "tokenizer", "unk_id"),
        (model(&|m| m["type"] = json!("BPE")), "unsupported", "BPE"),
        (with("normalizer", json!({"type": "ByteLevel"})), "unsupported", "ByteLevel"),
        (with("normalizer", json!({"type": "Sequence"})), "tokenizer", "Sequence"),
        (with("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAA"})), "tokenizer", "charsmap"),
        (with("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": 3})), "tokenizer", "charsmap"),
        (with("normalizer", json!({"type": "Strip", "strip_left": true})), "tokenizer", "strip_right"),
        (
            with("normalizer", json!({"type": "Replace", "pattern": {"Regex": "a|b"}, "content": ""})),
            "unsupported",
            "a|b",
        ),
        (with("pre_tokenizer", json!({"type": "ByteLevel"})), "unsupported", "ByteLevel"),
        (with("pre_tokenizer", metaspace("replacement", json!("ab"))), "tokenizer", "replacement"),
        (with("pre_tokenizer", metaspace("prepend_scheme", json!("last"))), "tokenizer", "prepend_scheme"),
        (with("decoder", json!({"type": "ByteFallback"})), "unsupported", "ByteFallback"),
        (with("post_processor", json!({"type": "ByteLevel"})), "unsupported", "ByteLevel"),
        (
            with("post_processor", json!({"type": "RobertaProcessing", "cls": ["<s>", 0], "sep": ["</s>", 99_999]})),
            "tokenizer",
            "vocab_size",
        ),
    ] {
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    let mut deep = json!({"type": "NFC"});
    for _ in 0..20 {
        deep = json!({"type": "Sequence", "normalizers": [deep]});
    }
    assert_eq!(with("normalizer", deep).code(), "tokenizer");
    // A text can fail only if the vocabulary has no unknown token.
    let mut file = base.clone();
    file["model"]["unk_id"] = Value::Null;
    let tokenizer = from_json(&file).unwrap();
    assert!(tokenizer.encode("The clerk").is_ok());
    let error = tokenizer.encode("The ☃").unwrap_err();
    assert!(error.to_string().contains('☃'), "{error}");
}

/// One word as long as a book, in pieces and at once: the time must grow linearly with it.
#[test]
fn words_without_an_end_take_no_longer() {
    let tokenizer = Tokenizer::load(&fixture("unigram/xlmr"), VOCAB).unwrap();
    let begun = std::time::Instant::now();
    for text in ["这座石桥建于一六〇五年全长约三百二十米", "....", "☃", "ab\u{301}", "\u{1}", "<mask>", " "]
    {
        let short = text.repeat(500);
        let long = text.repeat(100_000);
        let tokens = tokenizer.encode(&long).unwrap();
        assert_eq!(in_pieces(&tokenizer, &short, 32), tokenizer.encode(&short).unwrap(), "{text:?}");
        assert_eq!(tokenizer.encode_first(&long, 5).unwrap().ids, tokens.ids[..tokens.len().min(5)], "{text:?}");
    }
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

/// A model of `heads/` with the small tokenizer.
fn model_dir(head: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for from in [fixture("unigram/heads").join(head), fixture("unigram/small")] {
        for file in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()) {
            std::fs::copy(&file, dir.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    dir
}

fn open(dir: &Path, head: Head) -> TextModel {
    TextModel::open(dir, head, Device::Cpu(Cpu::new(1))).unwrap()
}

fn cases(task: &str) -> Vec<Value> {
    let all = read("tasks.json").as_array().unwrap().clone();
    let cases: Vec<Value> = all.into_iter().filter(|case| case["task"] == task).collect();
    assert!(cases.len() >= 4, "{task}");
    cases
}

/// Both may be a list, an object or a value; numbers agree up to the tolerance.
fn alike(found: &Value, expected: &Value, what: &str) {
    match (found, expected) {
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{what}: {found} {expected}");
            a.iter().zip(b).for_each(|(a, b)| alike(a, b, what));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.len(), b.len(), "{what}: {found} {expected}");
            a.iter().for_each(|(name, a)| alike(a, &b[name], &format!("{what} {name}")));
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() <= TOLERANCE, "{what}: {a} {b}");
        }
        _ => assert_eq!(found, expected, "{what}"),
    }
}

#[test]
fn answers_are_those_of_the_pipeline() {
    let dir = model_dir("answer");
    let qa = QuestionAnswering::open(dir.path(), Device::Cpu(Cpu::new(1))).unwrap();
    for case in cases("answer") {
        let number = |name: &str| case["options"][name].as_u64().map(|n| n as usize);
        let options = AnswerOptions {
            top_k: number("top_k").unwrap(),
            max_seq_len: number("max_seq_len"),
            doc_stride: number("doc_stride"),
            align_to_words: case["options"]["align_to_words"] != false,
            no_answer: case["options"]["handle_impossible_answer"] == true,
            ..Default::default()
        };
        let text = |name: &str| case["input"][name].as_str().unwrap();
        let answers = block_on(qa.answer(text("question"), text("context"), &options, &Cancel::new())).unwrap();
        let points = Offsets::in_code_points(text("context"));
        let found: Vec<Value> = answers
            .iter()
            .map(|a| json!({"score": a.score, "start": points.at(a.start), "end": points.at(a.end), "answer": a.text}))
            .collect();
        alike(&json!(found), &case["result"], &case["input"].to_string());
    }
}

#[test]
fn masks_are_filled_as_by_the_pipeline() {
    let dir = model_dir("words");
    let model = FillMask::new(open(dir.path(), Head::MaskedLm)).unwrap();
    for case in cases("fill-mask") {
        let text = case["input"].as_str().unwrap().to_owned();
        let options = FillMaskOptions { top_k: 3, targets: None };
        let rows = block_on(run_one(&model, &text, &options, &Cancel::new())).unwrap();
        let row = |r: &cloze::tasks::fill_mask::Filled| json!({"score": r.score, "token": r.token_id, "token_str": r.token, "sequence": r.sequence});
        let masks = rows.iter().map(|r| r.mask).max().unwrap() + 1;
        let of = |mask: usize| rows.iter().filter(|r| r.mask == mask).map(row).collect::<Vec<_>>();
        let found = if masks == 1 { json!(of(0)) } else { json!((0..masks).map(of).collect::<Vec<_>>()) };
        alike(&found, &case["result"], &text);
    }
    let unmasked = block_on(run_one(&model, &"none".to_owned(), &FillMaskOptions::default(), &Cancel::new()));
    assert!(unmasked.unwrap_err().to_string().contains("<mask>"));
}

#[test]
fn classes_are_those_of_the_pipeline() {
    let dir = model_dir("classify");
    let model = Classifier::new(open(dir.path(), Head::SequenceClassification));
    for case in cases("classify") {
        let text = |at: usize| case["input"][at].as_str().map(str::to_owned);
        let input = TextPair { text: text(0).unwrap(), pair: text(1) };
        let scored = block_on(run_one(&model, &input, &Default::default(), &Cancel::new())).unwrap();
        let found: Vec<Value> = scored.iter().map(|s| json!({"label": s.label, "score": s.score})).collect();
        alike(&json!(found), &case["result"], &case["input"].to_string());
    }
}

#[test]
fn tags_are_those_of_the_pipeline() {
    let dir = model_dir("tag");
    let tagger = Tagger::new(open(dir.path(), Head::TokenClassification));
    for case in cases("tag") {
        let strategy = match case["options"]["aggregation"].as_str().unwrap() {
            "none" => Aggregation::None,
            "simple" => Aggregation::Simple,
            "first" => Aggregation::First,
            "average" => Aggregation::Average,
            _ => Aggregation::Max,
        };
        let text = case["input"].as_str().unwrap().to_owned();
        let entities = block_on(run_one(&tagger, &text, &strategy, &Cancel::new())).unwrap();
        let points = Offsets::in_code_points(&text);
        let found: Vec<Value> = entities
            .iter()
            .map(|e| {
                let (start, end) = (points.at(e.span.start), points.at(e.span.end));
                match e.index {
                    Some(index) => json!({"entity": e.label, "score": e.score, "index": index, "word": e.word, "start": start, "end": end}),
                    None => json!({"entity_group": e.label, "score": e.score, "word": e.word, "start": start, "end": end}),
                }
            })
            .collect();
        alike(&json!(found), &case["result"], &format!("{strategy:?} {text}"));
    }
}

#[test]
fn vectors_are_those_of_the_model() {
    let dir = model_dir("embed");
    for case in cases("embed") {
        let text = case["input"].as_str().unwrap();
        let model = dir.path().to_str().unwrap();
        let args = ["embed", text, "--no-normalize", "--model", model, "--device", "cpu", "--quiet"];
        let found = &run(&args).lines()[0];
        alike(&found["embedding"], &case["result"], text);
    }
}
