//! Compares features with those of transformers' example scripts (tests/oracle/features.py).

use std::path::Path;

use cloze::tasks::squad::{Question, SquadOptions};
use cloze::text::Tokenizer;
use cloze::text::windows::WindowOptions;
use cloze::train::data::{At, Classes, tag};
use cloze::train::features::{self, Target};
use cloze::train::random::Random;
use serde_json::Value;

use crate::support::fixture;

fn tokenizer() -> Tokenizer {
    Tokenizer::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/minilm-l6-qa"), 30_522).unwrap()
}

fn expected() -> Value {
    serde_json::from_slice(&std::fs::read(fixture("train/features.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|s| s.as_str().unwrap().to_owned()).collect()
}

#[test]
fn windows_and_answers_are_those_of_run_qa() {
    let tokenizer = tokenizer();
    let file = expected();
    let cases = file["questions"].as_array().unwrap();
    let (mut with, mut without) = (0, 0);
    for case in cases {
        let context = case["context"].as_str().unwrap();
        let bytes: Vec<usize> = context.char_indices().map(|(at, _)| at).chain([context.len()]).collect();
        let place = case["answer"].as_array().map(|a| {
            let [start, end] = [0, 1].map(|i| bytes[a[i].as_u64().unwrap() as usize]);
            start..end
        });
        let text = case["question"].as_str().unwrap().to_owned();
        let question = Question { id: "1".into(), text, context: 0, answers: Vec::new(), place };
        let of = |name: &str| case[name].as_u64().unwrap() as usize;
        let lengths = WindowOptions { max_seq_len: of("length"), doc_stride: Some(of("stride")) };
        let options = SquadOptions { lengths, ..SquadOptions::default() };
        let got = features::question(&tokenizer, &question, context, &options).unwrap();
        let want = case["windows"].as_array().unwrap();
        assert_eq!(got.len(), want.len(), "{context:?}");
        for (got, want) in got.iter().zip(want) {
            assert_eq!(got.sequence.ids, numbers(&want["ids"]));
            assert_eq!(got.sequence.types, numbers(&want["types"]));
            let span = numbers(&want["span"]);
            assert_eq!(got.target, Target::Span([span[0], span[1]]), "{:?} of {context:?}", case["answer"]);
            *(if span[1] > 0 { &mut with } else { &mut without }) += 1;
        }
    }
    assert!(with > 20 && without >= 40, "{with} windows with answers, {without} without");
}

#[test]
fn words_and_tags_are_those_of_run_ner() {
    let tokenizer = tokenizer();
    let file = expected();
    let names = texts(&file["classes"]);
    let classes = Classes::of(names.iter().map(String::as_str));
    assert_eq!(classes.names(), names);
    for case in file["sentences"].as_array().unwrap() {
        let example = tag::Example { words: texts(&case["words"]), tags: texts(&case["tags"]) };
        let most = case["length"].as_u64().unwrap() as usize;
        let got = features::tagged(&tokenizer, &example, &classes, most, At { file: "t.conll", line: 1 }).unwrap();
        assert_eq!(got.sequence.ids, numbers(&case["ids"]), "{example:?}");
        let labels: Vec<_> = case["labels"].as_array().unwrap().iter().map(|l| l.as_u64().map(|l| l as u32)).collect();
        assert_eq!(got.target, Target::Tags(labels), "{example:?}");
    }
}

#[test]
fn masking_is_as_the_paper_says() {
    let tokenizer = tokenizer();
    let text = std::fs::read_to_string(fixture("answers/time-machine.txt")).unwrap();
    let chunks = features::chunks(&tokenizer, &text, 128).unwrap();
    assert!(chunks.len() > 20 && chunks[..chunks.len() - 1].iter().all(|chunk| chunk.ids.len() == 128));
    let special = tokenizer.special();
    let mask = special.mask.unwrap();
    let [mut tokens, mut asked, mut masked, mut same] = [0; 4];
    for (i, chunk) in chunks.iter().enumerate() {
        let draw =
            |epoch| features::masked(&tokenizer, chunk, 30_522, &mut Random::new(3, &[epoch, i as u64])).unwrap();
        let feature = draw(0);
        assert_eq!(feature, draw(0));
        assert_ne!(feature, draw(1));
        let Target::Words(words) = &feature.target else { panic!("words") };
        let mut restored = feature.sequence.clone();
        for (at, was) in words {
            let at = *at as usize;
            assert!(*was != special.cls && *was != special.sep);
            masked += usize::from(restored.ids[at] == mask);
            same += usize::from(restored.ids[at] == *was);
            restored.ids[at] = *was;
        }
        assert_eq!(&restored, chunk, "nothing else is touched");
        assert!(words.is_sorted());
        (tokens, asked) = (tokens + chunk.ids.len() - 2, asked + words.len());
    }
    let share = |part: usize, whole: usize| part as f64 / whole as f64;
    assert!((share(asked, tokens) - 0.15).abs() < 0.002, "{asked} of {tokens}");
    assert!((share(masked, asked) - 0.8).abs() < 0.05, "{masked} of {asked}");
    assert!((share(same, asked) - 0.1).abs() < 0.04, "{same} of {asked}");
}
