//! LoRA adapters that peft wrote: read, run on every device, written again and merged. Also files that are not
//! adapters.

use std::path::{Path, PathBuf};

use cloze::batch::Batch;
use cloze::checkpoint::adapter::{Adapter, Tensor};
use cloze::checkpoint::{Checkpoint, Head, convert};
use cloze::device::lockstep::largest_difference;
use cloze::device::{Cancel, Cpu, Device};
use cloze::model::Model;
use cloze::tensor::DType;
use cloze::train::{TrainOptions, Trainer};
use cloze::{Error, Result, block_on};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use crate::models::golden::{Expected, TOLERANCE};
use crate::support::command::run;
use crate::support::devices::for_each_device;
use crate::support::fixture;

/// The adapter, its head, and the number of its matrices that are in 8 bits on a device.
const CASES: [(&str, Head, usize); 20] = [
    ("answer", Head::QuestionAnswering, 0),
    ("answer-i8", Head::QuestionAnswering, 4),
    ("answer-half", Head::QuestionAnswering, 0),
    ("classify", Head::SequenceClassification, 0),
    ("classify-i8", Head::SequenceClassification, 4),
    ("classify-linear", Head::SequenceClassification, 0),
    ("tag", Head::TokenClassification, 0),
    ("tag-i8", Head::TokenClassification, 4),
    ("words", Head::MaskedLm, 0),
    ("embed", Head::Encoder, 0),
    ("dora", Head::QuestionAnswering, 0),
    ("dora-i8", Head::QuestionAnswering, 0),
    ("patterns", Head::QuestionAnswering, 0),
    ("patterns-bare", Head::Encoder, 0),
    ("bias-all", Head::SequenceClassification, 0),
    ("bias-lora", Head::QuestionAnswering, 4),
    ("bias-b", Head::QuestionAnswering, 4),
    ("tables", Head::MaskedLm, 0),
    ("tables-i8", Head::QuestionAnswering, 4),
    ("words-whole", Head::MaskedLm, 0),
];

/// The number of those that are plain adapters, in the form that is written here.
const PLAIN: usize = 10;

const FILES: [&str; 2] = ["adapter_config.json", "adapter_model.safetensors"];

fn directory(name: &str) -> PathBuf {
    fixture("adapters").join(name)
}

/// The results of peft; those of a language model for every token.
fn expected(name: &str, head: Head) -> (Batch, Vec<f32>) {
    let Expected { mut batch, mut activations } = Expected::read(&directory(name).join("expected.safetensors"));
    if head == Head::MaskedLm {
        batch.picked = (0..batch.tokens() as u32).collect();
    }
    (batch, activations.remove("logits").expect("logits"))
}

fn logits(model: &Model, batch: &Batch) -> Vec<f32> {
    block_on(model.forward(batch, &Cancel::new())).expect("it runs")
}

fn on_cpu(dir: &Path, head: Head) -> Model {
    Model::load(Checkpoint::open(dir).expect("a model"), head, Device::Cpu(Cpu::new(1))).expect("it loads")
}

#[test]
fn every_adapter_gives_pefts_logits() {
    for_each_device(|test| {
        for (name, head, in_i8) in CASES {
            let checkpoint = Checkpoint::open(&directory(name)).expect("an adapter");
            assert_eq!(checkpoint.head().architecture(), head.architecture(), "{name}");
            let model = Model::load(checkpoint, head, test.device.clone()).expect("it loads");
            let (batch, expected) = expected(name, head);
            let found = logits(&model, &batch);
            let difference = largest_difference(&expected, &found);
            assert!(difference <= TOLERANCE, "{name} on {}: logits differ by {difference}", test.name);
            // Over an 8-bit base, the weights stay in 8 bits, with the adapter beside them.
            let eights = model.weights().filter(|w| w.dtype() == DType::I8).count();
            let beside = model.weights().filter(|w| w.name().ends_with(".lora_A")).count();
            assert_eq!((eights, beside > 0), (in_i8, in_i8 > 0), "{name}");
            // The bits are the same alone and in the batch.
            if head.architecture() == Head::QuestionAnswering.architecture() {
                let mut alone = Vec::new();
                for range in batch.ranges() {
                    let mut one = Batch::default();
                    one.push(&batch.ids[range.clone()], &batch.types[range]);
                    alone.extend(logits(&model, &one));
                }
                let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&alone), bits(&found), "{name} on {}", test.name);
            }
        }
    });
}

#[test]
fn an_adapter_matters() {
    for (name, base) in [("answer", "tiny"), ("answer-i8", "i8"), ("answer-half", "f16")] {
        let (batch, expected) = expected(name, Head::QuestionAnswering);
        let plain = logits(&on_cpu(&fixture("encoder").join(base), Head::QuestionAnswering), &batch);
        assert!(largest_difference(&expected, &plain) > 0.1, "{name}");
    }
}

#[test]
fn a_converted_adapter_is_one_model() {
    let dir = tempfile::tempdir().unwrap();
    for (name, head, _) in CASES {
        let out = dir.path().join(name);
        let converted = convert(&directory(name), &out, DType::F32).unwrap();
        assert!(converted.is_merged, "{name}");
        let (batch, expected) = expected(name, head);
        let difference = largest_difference(&expected, &logits(&on_cpu(&out, head), &batch));
        assert!(difference <= TOLERANCE, "{name}: {difference}");
        // transformers can read a file whose names all lack `bert.`, but not one with both kinds of names.
        let bytes = std::fs::read(out.join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let names = file.names();
        assert!(names.iter().any(|name| name.starts_with("bert.encoder.")), "{name}");
        assert!(!names.iter().any(|name| name.starts_with("encoder.") || name.starts_with("embeddings.")), "{names:?}");
    }
    let half = dir.path().join("half");
    convert(&directory("answer-i8"), &half, DType::F16).unwrap();
    let (batch, expected) = expected("answer-i8", Head::QuestionAnswering);
    let difference = largest_difference(&expected, &logits(&on_cpu(&half, Head::QuestionAnswering), &batch));
    assert!(difference <= 0.05, "f16: {difference}");
    assert!(!convert(&fixture("encoder/i8"), &dir.path().join("plain"), DType::F32).unwrap().is_merged);
    // A program that looks for an adapter's files first would take such a model for an adapter.
    std::fs::copy(directory("answer").join(FILES[0]), half.join(FILES[0])).unwrap();
    assert_eq!(convert(&fixture("encoder/i8"), &half, DType::F32).unwrap_err().code(), "option");
}

#[test]
fn what_peft_wrote_is_written_again() {
    // A kind of adapter that was converted while reading cannot be written.
    let dora = Adapter::open(&directory("dora")).unwrap();
    assert!(
        !dora.beside.is_plain() && dora.write().unwrap_err().to_string().contains("merge the adapter into its base")
    );
    for (name, ..) in CASES.into_iter().take(PLAIN) {
        let adapter = Adapter::open(&directory(name)).unwrap();
        let [config, weights] = adapter.write().unwrap();
        let again = Adapter::read(&config, &weights, FILES).unwrap();
        assert_eq!(again.tensors, adapter.tensors, "{name}");
        assert_eq!(again, adapter, "{name}");
        let file = |bytes: &[u8]| -> Vec<(String, Vec<usize>, Vec<u8>)> {
            let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
            let mut tensors: Vec<_> = file
                .tensors()
                .into_iter()
                .map(|(name, view)| (name, view.shape().to_vec(), view.data().to_vec()))
                .collect();
            tensors.sort();
            tensors
        };
        let theirs = std::fs::read(directory(name).join(FILES[1])).unwrap();
        assert_eq!(file(&theirs), file(&weights), "{name}: peft's names, shapes and bytes");
    }
}

/// A directory with a changed copy of the adapter `name`, beside a link to its base.
fn changed(name: &str, change: impl FnOnce(&mut Adapter, &mut Value)) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut adapter = Adapter::open(&directory(name)).unwrap();
    adapter.base.model = directory(name).join(&adapter.base.model).to_str().unwrap().into();
    let mut keys = json!({});
    change(&mut adapter, &mut keys);
    let [config, weights] = adapter.write().unwrap();
    let mut config: Value = serde_json::from_slice(&config).unwrap();
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    std::fs::write(dir.path().join(FILES[0]), config.to_string()).unwrap();
    std::fs::write(dir.path().join(FILES[1]), weights).unwrap();
    std::fs::copy(directory(name).join("config.json"), dir.path().join("config.json")).unwrap();
    dir
}

fn refused(dir: &Path, code: &str, says: &[&str]) {
    let error = Checkpoint::open(dir).expect_err(says[0]);
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    for part in says {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn another_base_is_refused() {
    let base = Checkpoint::open(&fixture("encoder/tiny")).unwrap();
    let sum = base.sha256();
    assert_eq!(sum.len(), 64);
    let of = |sum: &str| changed("answer", |adapter, _| adapter.base.sha256 = Some(sum.into()));
    Checkpoint::open(of(&sum).path()).unwrap();
    let other = Checkpoint::open(&fixture("encoder/i8")).unwrap().sha256();
    refused(of(&other).path(), "checkpoint", &[&other, "another base", "base_model_name_or_path"]);
    let nowhere = changed("answer", |adapter, _| adapter.base.model = "no/where".into());
    let error = Checkpoint::open(nowhere.path()).unwrap_err();
    assert!(["config", "hub_not_cached"].contains(&error.code()) && error.to_string().contains("no/where"), "{error}");
    refused(changed("answer", |a, _| a.base.model.clear()).path(), "config", &["base_model_name_or_path"]);
    let nested = changed("answer", |a, _| a.base.model = directory("answer").to_str().unwrap().into());
    refused(nested.path(), "unsupported", &["an adapter itself", "merge the adapter"]);
    // Layers of another width.
    let wider = fixture("encoder/odd").to_str().unwrap().to_owned();
    refused(changed("answer", |a, _| a.base.model = wider).path(), "checkpoint", &["has shape"]);
}

#[test]
fn what_is_no_such_adapter_is_refused() {
    let with = |key: &str, value: Value| changed("classify-i8", |_, keys| keys[key] = value);
    for (key, value, code) in [
        ("peft_type", json!("IA3"), "unsupported"),
        ("bias", json!("some"), "unsupported"),
        ("use_qalora", json!(true), "unsupported"),
        ("use_\u{1b}]0;x\n", json!(true), "unsupported"),
        ("rank_pattern", json!({"query": "2"}), "config"),
        ("r", json!(0), "config"),
        ("lora_alpha", json!(null), ""),
    ] {
        match code {
            "" => drop(Checkpoint::open(with(key, value).path()).unwrap()),
            code => refused(with(key, value).path(), code, &["adapter_config.json"]),
        }
    }
    let escape = Checkpoint::open(with("use_\u{1b}]0;x\n", json!(true)).path()).unwrap_err().to_string();
    assert!(!escape.contains(char::is_control), "{escape:?}");
    refused(with("use_dora", json!(true)).path(), "checkpoint", &["lora_magnitude_vector"]);
    refused(with("rank_pattern", json!({"query": 2})).path(), "checkpoint", &["a rank of 2 as rank_pattern says"]);
    refused(with("rank_pattern", json!({"query": -1})).path(), "checkpoint", &["rank_pattern"]);
    refused(with("r", json!(4)).path(), "checkpoint", &["with r = 4"]);
    refused(with("target_modules", json!(["key"])).path(), "checkpoint", &["target_modules does not name it"]);

    let query = "bert.encoder.layer.0.attention.self.query";
    let edit = |change: &dyn Fn(&mut Vec<Tensor>)| changed("classify-i8", |adapter, _| change(&mut adapter.tensors));
    let named = |tensors: &mut Vec<Tensor>, from: &str, to: &str| {
        for tensor in tensors {
            tensor.name = tensor.name.replace(from, to);
        }
    };
    refused(edit(&|t| named(t, query, "bert.encoder.layer.9.attention.self.query")).path(), "checkpoint", &["layer.9"]);
    refused(edit(&|t| named(t, "classifier.", "score.")).path(), "checkpoint", &["score."]);
    refused(edit(&|t| t[0].values[3] = f32::NAN).path(), "checkpoint", &["NaN at index 3"]);
    // An overflow that happens only in the merge is found, like any weight that is not finite.
    let huge = changed("answer", |a, _| a.tensors.iter_mut().for_each(|t| t.values.fill(3e38)));
    let checkpoint = Checkpoint::open(huge.path()).unwrap();
    let error = Model::load(checkpoint, Head::QuestionAnswering, Device::Cpu(Cpu::new(1))).unwrap_err();
    assert!(error.code() == "checkpoint" && error.to_string().contains("inf"), "{error}");
}

/// The format that PEFT wrote before 0.7.
#[test]
fn the_weights_of_an_adapter_may_be_pytorchs() {
    let dir = changed("answer", |_, _| {});
    let bin = dir.path().join("adapter_model.bin");
    std::fs::copy(fixture("torch/adapter_model.bin"), &bin).unwrap();
    std::fs::remove_file(dir.path().join(FILES[1])).unwrap();
    let (batch, expected) = expected("answer", Head::QuestionAnswering);
    let found = logits(&on_cpu(dir.path(), Head::QuestionAnswering), &batch);
    assert!(largest_difference(&expected, &found) <= TOLERANCE);
    let out = tempfile::tempdir().unwrap();
    assert!(convert(dir.path(), &out.path().join("merged"), DType::F32).unwrap().is_merged);
    std::fs::copy(fixture("torch/code.bin"), &bin).unwrap();
    refused(dir.path(), "checkpoint", &["adapter_model.bin", "posix.system", "PeftModel"]);
    std::fs::remove_file(&bin).unwrap();
    refused(dir.path(), "checkpoint", &["neither adapter_model.safetensors nor adapter_model.bin"]);
}

/// Training continues only from a plain adapter. It would learn any other kind as something else.
#[test]
fn an_adapter_of_another_kind_is_not_trained_on() {
    let out = tempfile::tempdir().unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (model, data, output) = (directory("patterns"), fixture("squad2/dev.json"), out.path().join("out"));
    let args = ["train", "qa", "--method", "lora", "--device", "cpu", "--json"];
    let paths = ["--model", &path(&model), "--data", &path(&data), "--output", &path(&output)];
    let (code, text) = run(&[args.as_slice(), &paths].concat()).error();
    assert!(code == "unsupported" && text.contains("plain LoRA") && text.contains("merge the adapter"), "{text}");
}

#[test]
fn an_adapter_beside_its_base_is_not_trained_through() {
    let checkpoint = Checkpoint::open(&directory("tag-i8")).unwrap();
    let error = Trainer::new(checkpoint, Head::TokenClassification, Device::Cpu(Cpu::new(1)), TrainOptions::default());
    let error = error.unwrap_err();
    assert!(error.code() == "unsupported" && error.to_string().contains("merge the adapter into its base"), "{error}");
}

/// Cuts a file at every place, and changes its bytes.
#[test]
fn damaged_files_are_errors() {
    let [config, weights] = Adapter::open(&directory("classify-i8")).unwrap().write().unwrap();
    let read = |config: &[u8], weights: &[u8]| -> Result<Adapter> { Adapter::read(config, weights, FILES) };
    let mut refused = 0;
    for end in (0..weights.len()).step_by(37).chain([weights.len() - 1]) {
        let error = read(&config, &weights[..end]).expect_err("cut");
        assert!(matches!(&error, Error::Checkpoint { file, .. } if file == FILES[1]), "{error}");
    }
    for end in (0..config.len() - 2).step_by(23) {
        let error = read(&config[..end], &weights).expect_err("cut");
        assert!(matches!(&error, Error::Config { file, .. } if file == FILES[0]), "{error}");
    }
    let header = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    for at in (0..header).step_by(3) {
        let mut other = weights.clone();
        other[at] ^= 0x15;
        // A changed byte may be in a blank part of the header, or make another valid name.
        refused += usize::from(read(&config, &other).is_err());
    }
    assert!(refused > header / 6, "{refused} of {header}");
    assert_eq!(read(&config, b"").unwrap_err().code(), "checkpoint");
}

#[test]
fn commands_take_an_adapters_directory() {
    let dir = tempfile::tempdir().unwrap();
    let (base, out, merged) = (fixture("tasks/moods"), dir.path().join("adapter"), dir.path().join("merged"));
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    // The state after training: both files, the base's tokenizer, and the configuration of the trained model.
    let mut adapter = Adapter::open(&directory("classify")).unwrap();
    let opened = Checkpoint::open(&base).unwrap();
    let hidden = opened.config().hidden_size;
    adapter.base.model = path(&base);
    adapter.base.sha256 = Some(opened.sha256());
    adapter.lora.targets = vec!["query".into()];
    let values = |len: usize| (0..len).map(|i| ((i * 7 % 13) as f32 - 6.0) / 9.0).collect::<Vec<_>>();
    let r = adapter.lora.r;
    adapter.tensors = [("lora_A", [r, hidden]), ("lora_B", [hidden, r])]
        .map(|(kind, shape)| Tensor {
            name: format!("bert.encoder.layer.1.attention.self.query.{kind}.weight"),
            shape: shape.into(),
            values: values(r * hidden),
        })
        .into();
    let config = std::fs::read(base.join("config.json")).unwrap();
    adapter.save(&base, &out, &config).unwrap();
    assert_eq!(Adapter::open(&out).unwrap(), adapter);

    let classify = |model: &Path| {
        let args = ["classify", "--json", "--device", "cpu", "--model", &path(model), "a great movie"];
        let lines = run(&args).lines();
        assert_eq!(lines.len(), 3, "a line for each class");
        format!("{lines:?}")
    };
    let adapted = classify(&out);
    assert_ne!(adapted, classify(&base));
    let args = ["convert", "--json", "--model", &path(&out), "--dtype", "f32", "--output", &path(&merged)];
    let converted = run(&args).lines();
    assert_eq!(converted[0]["merged"], json!(true));
    assert_eq!(classify(&merged), adapted, "merged in f32 when it is loaded, or before");
    // Beside the weights of a whole model, an adapter would not be found.
    assert_eq!(adapter.save(&base, &merged, &config).unwrap_err().code(), "option");
    let error = Checkpoint::open(&merged).unwrap().adapt(&adapter, opened.config().clone()).unwrap_err();
    assert!(error.to_string().contains("another base"), "{error}");
}
