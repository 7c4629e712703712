//! Compares directories of sentence-transformers with the vectors that the library computes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloze::block_on;
use cloze::checkpoint::convert;
use cloze::device::{Cancel, Cpu, Device};
use cloze::sentence::{Sentence, Similarity};
use cloze::tasks::embed::{EmbedOptions, Embedder};
use cloze::tasks::run::{run, run_one};
use cloze::tasks::text_model::TextPair;
use cloze::tensor::DType;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::command::run as run_command;
use crate::support::devices::for_each_device;
use crate::support::fixture;

/// For vectors of models in f32, against PyTorch.
const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    base: String,
    at: String,
    files: BTreeMap<String, Value>,
    weights: BTreeMap<String, String>,
    pub runs: Vec<Run>,
}

#[derive(Deserialize)]
pub struct Run {
    text: String,
    pair: Option<String>,
    prompt: Option<String>,
    dimensions: Option<usize>,
    normalize: bool,
    values: Vec<f32>,
}

pub fn cases() -> Vec<Case> {
    serde_json::from_slice(&fs::read(fixture("sentence/cases.json")).unwrap()).unwrap()
}

fn case(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap()
}

impl Case {
    /// Writes the case's directory.
    pub fn put(&self) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        for name in ["config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"] {
            let path: PathBuf = [&self.at, name].iter().collect();
            write(path.to_str().unwrap(), &fs::read(fixture("tasks").join(&self.base).join(name)).unwrap());
        }
        self.files.iter().for_each(|(name, value)| write(name, value.to_string().as_bytes()));
        self.weights.iter().for_each(|(name, hex)| write(name, &bytes(hex)));
        dir
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

impl Run {
    fn input(&self) -> TextPair {
        TextPair { text: self.text.clone(), pair: self.pair.clone() }
    }

    fn options(&self, sentence: &Sentence) -> EmbedOptions {
        // If the case does not ask for normalization, the last module decides.
        let normalize = match (self.normalize, sentence.similarity) {
            (true, _) => Some(true),
            (false, Similarity::Cosine) => Some(sentence.normalize),
            (false, _) => None,
        };
        EmbedOptions { normalize, prompt: self.prompt.clone(), dimensions: self.dimensions }
    }
}

fn cpu() -> Device {
    Device::Cpu(Cpu::new(1))
}

fn embed(task: &Embedder, text: &str, options: &EmbedOptions) -> cloze::Result<Vec<f32>> {
    block_on(run_one(task, &text.into(), options, &Cancel::new()))
}

/// Checks that the directory gives the case's vectors.
pub fn check(case: &Case, dir: &Path, device: Arc<Device>, on: &str, tolerance: f32) {
    let task = Embedder::open(dir, device).unwrap_or_else(|e| panic!("{}: {e}", case.name));
    assert!(!case.runs.is_empty());
    for one in &case.runs {
        let what = format!("{} on {on}: {:?} {:?} {:?}", case.name, one.text, one.prompt, one.dimensions);
        let options = one.options(task.sentence());
        let found = block_on(run_one(&task, &one.input(), &options, &Cancel::new()));
        let found = found.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(found.len(), one.values.len(), "{what}");
        assert_eq!(task.width(&options).unwrap(), found.len(), "{what}");
        for (found, expected) in found.iter().zip(&one.values) {
            assert!((found - expected).abs() <= tolerance, "{what}: {found}, not {expected}");
        }
    }
}

#[test]
fn directories_give_the_librarys_vectors_on_every_device() {
    let cases = cases();
    assert!(cases.len() >= 30);
    for_each_device(|test| {
        for case in &cases {
            check(case, case.put().path(), test.device.clone(), &test.name, TOLERANCE);
        }
    });
}

/// With or without its prompt, a text's vector has the same bits alone and among others of all lengths.
#[test]
fn a_vector_has_the_same_bits_alone_and_in_a_batch() {
    for_each_device(|test| {
        for case in cases().iter().filter(|case| case.runs.len() > 5) {
            let task = Embedder::open(case.put().path(), test.device.clone()).unwrap();
            let options =
                EmbedOptions { prompt: case.runs.iter().find_map(|r| r.prompt.clone()), ..Default::default() };
            let inputs: Vec<TextPair> = case.runs.iter().map(Run::input).collect();
            let together = block_on(run(&task, &inputs, &options, &Cancel::new())).unwrap();
            for (input, found) in inputs.iter().zip(together) {
                let alone = block_on(run_one(&task, input, &options, &Cancel::new())).unwrap();
                let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&found.unwrap()), bits(&alone), "{} on {}: {input:?}", case.name, test.name);
            }
        }
    });
}

#[test]
fn a_prompt_is_a_name_or_a_text() {
    let dir = case("prompts").put();
    let task = Embedder::open(dir.path(), cpu()).unwrap();
    let by = |prompt: Option<&str>, text: &str| {
        embed(&task, text, &EmbedOptions { prompt: prompt.map(Into::into), ..Default::default() })
    };
    let plain = by(Some(""), "query: the cat").unwrap();
    assert_eq!(by(None, "the cat").unwrap(), plain);
    assert_eq!(by(Some("query"), "the cat").unwrap(), plain);
    assert_eq!(by(Some("query: "), "the cat").unwrap(), plain);
    assert_ne!(by(Some("passage"), "the cat").unwrap(), plain);
    let error = by(Some("corpus"), "the cat").unwrap_err();
    assert_eq!(error.code(), "option");
    assert!(error.to_string().contains("query, document, passage"), "{error}");
}

#[test]
fn what_is_kept_of_a_vector_has_length_1() {
    let dir = case("kept").put();
    let task = Embedder::open(dir.path(), cpu()).unwrap();
    let by = |dimensions, normalize| embed(&task, "the cat", &EmbedOptions { dimensions, normalize, prompt: None });
    let (kept, whole) = (by(None, None).unwrap(), by(Some(48), Some(false)).unwrap());
    assert_eq!((kept.len(), whole.len()), (10, 48));
    assert!((kept.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
    assert_eq!(by(Some(3), Some(false)).unwrap(), whole[..3]);
    for wrong in [0, 49, usize::MAX] {
        assert_eq!(by(Some(wrong), None).unwrap_err().code(), "option", "{wrong}");
    }
}

/// A prompt that leaves no token for max pooling.
#[test]
fn an_empty_maximum_is_an_error() {
    let dir = case("no-prompt-max").put();
    let task = Embedder::open(dir.path(), cpu()).unwrap();
    // Its last word continues in the text, so it has one token less.
    let options = EmbedOptions { prompt: Some(", ca".into()), ..Default::default() };
    let error = embed(&task, "t", &options).unwrap_err();
    assert!(error.code() == "input" && error.to_string().contains("no token beside the prompt's"), "{error}");
}

/// A fault in a module's files is reported with its name, before anything runs.
#[test]
fn a_modules_broken_files_are_named() {
    let refused = |change: &dyn Fn(&mut Case), code: &str, says: &[&str]| {
        let mut case = case("dense");
        change(&mut case);
        let error = Embedder::open(case.put().path(), cpu()).expect_err(says[0]);
        assert_eq!(error.code(), code, "{error}");
        says.iter().for_each(|part| assert!(error.to_string().contains(part), "{part}: {error}"));
        assert!(error.to_string().len() < 1000);
    };
    const CONFIG: &str = "2_Dense/config.json";
    const WEIGHTS: &str = "2_Dense/model.safetensors";
    let set = |key: &'static str, value: Value| {
        move |case: &mut Case| {
            case.files.get_mut(CONFIG).unwrap()[key] = value.clone();
        }
    };
    refused(&set("in_features", json!(23)), "config", &[CONFIG, "reads 23 numbers", "gives 24"]);
    refused(&set("in_features", json!(-1)), "config", &[CONFIG, "in_features", "whole number"]);
    refused(&set("out_features", json!(1_u64 << 40)), "checkpoint", &["2_Dense", "linear.weight has shape [16, 24]"]);
    refused(&set("out_features", Value::Null), "config", &[CONFIG, "out_features is missing"]);
    refused(&set("bias", json!(false)), "checkpoint", &["2_Dense", "no tensor linear.bias"]);
    refused(&set("bias", json!(1)), "config", &[CONFIG, "bias is not true or false"]);
    refused(&set("activation_function", json!("torch.nn.Softmax")), "unsupported", &[CONFIG, "torch.nn.Softmax"]);
    refused(&set("gate", json!(true)), "unsupported", &[CONFIG, "gate"]);
    refused(&set("module_output_name", json!("other")), "unsupported", &[CONFIG, "sentence_embedding to other"]);
    refused(&|case| drop(case.files.remove(CONFIG)), "config", &[CONFIG, "missing"]);
    refused(&|case| drop(case.weights.remove(WEIGHTS)), "checkpoint", &["2_Dense", "model.safetensors"]);
    refused(&|case| case.weights.get_mut(WEIGHTS).unwrap().truncate(400), "checkpoint", &["2_Dense"]);
    let nan = |case: &mut Case| {
        let weights = case.weights.get_mut(WEIGHTS).unwrap();
        weights.replace_range(weights.len() - 8.., "0000c07f");
    };
    refused(&nan, "checkpoint", &["2_Dense", "NaN at index"]);
}

/// A converted directory gives the same vectors, so it has all its files.
#[test]
fn a_converted_directory_gives_the_same_vectors() {
    for case in cases() {
        let (dir, out) = (case.put(), tempfile::tempdir().unwrap());
        let out = out.path().join("out");
        convert(dir.path(), &out, DType::F32).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        check(&case, &out, Arc::new(cpu()), "cpu, converted", TOLERANCE);
        for name in case.files.keys().chain(case.weights.keys()) {
            let name = name.replace("pytorch_model.bin", "model.safetensors");
            assert!(out.join(&name).is_file(), "{}: {name}", case.name);
        }
        convert(dir.path(), &out.join("i8"), DType::I8).unwrap();
        Embedder::open(&out.join("i8"), cpu()).unwrap();
        // In place, which replaces the files of the same model.
        convert(dir.path(), &out, DType::F16).unwrap();
    }
}

/// A model that is trained from a directory keeps its modules beside the new head.
#[cfg(feature = "train")]
#[test]
fn a_trained_directory_keeps_its_modules() {
    let case = case("chain");
    let (dir, place) = (case.put(), tempfile::tempdir().unwrap());
    let at = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    fs::write(place.path().join("train.tsv"), "sentence\tlabel\na good cat\tgood\na bad day\tbad\n".repeat(8)).unwrap();
    let base = dir.path().to_str().unwrap();
    let (data, out) = (at("train.tsv"), at("out"));
    let args = [
        "train",
        "classify",
        "--model",
        base,
        "--data",
        &data,
        "--output",
        &out,
        "--max-steps",
        "2",
        "--device",
        "cpu",
    ];
    let ran = run_command(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    for name in case.files.keys().chain(case.weights.keys()) {
        assert_eq!(fs::read(dir.path().join(name)).unwrap(), fs::read(Path::new(&out).join(name)).unwrap(), "{name}");
    }
    let task = Embedder::open(Path::new(&out), cpu()).unwrap();
    assert_eq!(embed(&task, "the cat", &EmbedOptions::default()).unwrap().len(), 8);
}

#[test]
fn info_describes_a_directory() {
    let shown = |name: &str| {
        let dir = case(name).put();
        let ran = run_command(&["info", "--device", "cpu", "--model", dir.path().to_str().unwrap()]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran.out
    };
    let chain = shown("chain");
    let says = "mean, Dense 24 to 40 (Gelu), LayerNorm, Dense 40 to 8 (Linear): 8 numbers, compared by cosine, of at most 48 tokens";
    assert!(chain.contains(says) && !chain.contains("Prompts"), "{chain}");
    let prompts = shown("prompts");
    assert!(prompts.contains(r#"passage "a good text about ", query "query: "; by default query"#), "{prompts}");
    assert!(shown("old-paths").contains("max, Dense 24 to 12 (Relu), Normalize: 12 numbers"));
}

proptest! {
    /// Any contents of the files are read, or refused with a message.
    #[test]
    fn mutated_files_are_read_or_refused(
        which in any::<prop::sample::Index>(),
        file in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let all = cases();
        let case = which.get(&all);
        let names: Vec<&String> = case.files.keys().collect();
        let mut text = case.files[*file.get(&names)].to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(text.len());
            text[at] = byte;
        }
        let found = Sentence::read(&mut |name| {
            if name == *file.get(&names) {
                return Ok(Some(text.clone()));
            }
            Ok(case.files.get(name).map(|value| value.to_string().into_bytes()))
        });
        if let Err(error) = found {
            prop_assert!(["config", "unsupported"].contains(&error.code()), "{}", error);
            prop_assert!(error.to_string().len() < 2000, "{}", error);
        }
    }
}
