//! `pytorch_model.bin`: loading, converting, and refusing files that have more than tensors.

use std::fs;
use std::path::Path;

use cloze::checkpoint::{Checkpoint, Head, convert, names};
use cloze::tensor::DType;

use crate::support::checkpoint::{self as fixture, CONFIG, Tensor};
use crate::support::torch::{self, Record};

/// A model's directory with these files beside its configuration.
fn directory(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), CONFIG).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(dir.path().join(name), bytes).unwrap());
    dir
}

fn assert_values(dir: &Path, wanted: &[Tensor]) {
    let checkpoint = Checkpoint::open(dir).unwrap();
    checkpoint.require(Head::QuestionAnswering).unwrap();
    for tensor in wanted {
        assert_eq!(checkpoint.get(&tensor.name).unwrap().to_f32(), tensor.values(), "{}", tensor.name);
    }
    assert_eq!(names::params(checkpoint.config(), Head::QuestionAnswering).count(), wanted.len());
}

#[test]
fn a_model_loads_and_converts() {
    let tensors = fixture::tensors();
    let dir = directory(&[("pytorch_model.bin", torch::bin(&tensors))]);
    assert_values(dir.path(), &tensors);
    let out = dir.path().with_extension("converted");
    let converted = convert(dir.path(), &out, DType::F32).unwrap();
    assert_eq!(converted.tensors, tensors.len());
    assert!(out.join("model.safetensors").is_file() && !out.join("pytorch_model.bin").exists());
    assert_values(&out, &tensors);
    fs::remove_dir_all(out).unwrap();
    // As in transformers, safetensors is preferred if both exist.
    let mut other = tensors.clone();
    other[0].bytes[3] ^= 0x80;
    fs::write(dir.path().join("model.safetensors"), fixture::safetensors(&other)).unwrap();
    assert_values(dir.path(), &other);
}

#[test]
fn bytes_in_memory_are_read_by_their_name() {
    let tensors = fixture::tensors();
    let files = [("pytorch_model.bin".to_owned(), torch::bin(&tensors).into())];
    let checkpoint = Checkpoint::from_files(CONFIG.as_bytes(), files).unwrap();
    assert_eq!(checkpoint.get(&tensors[5].name).unwrap().to_f32(), tensors[5].values());
}

#[test]
fn shards_are_one_model() {
    let tensors = fixture::tensors();
    let shard = |i: usize| format!("pytorch_model-{:05}-of-00002.bin", i + 1);
    let map: Vec<String> =
        tensors.iter().enumerate().map(|(i, t)| format!(r#""{}": "{}""#, t.name, shard(i % 2))).collect();
    let index = format!(r#"{{"weight_map": {{{}}}}}"#, map.join(","));
    let part = |i: usize| torch::bin(&tensors.iter().skip(i).step_by(2).cloned().collect::<Vec<_>>());
    let dir = directory(&[
        ("pytorch_model.bin.index.json", index.clone().into_bytes()),
        (&shard(0), part(0)),
        (&shard(1), part(1)),
    ]);
    assert_values(dir.path(), &tensors);
    // An index of .bin files cannot name other files.
    fs::write(dir.path().join("pytorch_model.bin.index.json"), index.replace(".bin", ".safetensors")).unwrap();
    let error = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("is not the name of a .bin file beside it"), "{error}");
}

#[test]
fn other_archives_are_refused_by_what_is_wrong() {
    let tensors = fixture::tensors();
    let refused = |change: &dyn Fn(&mut Vec<Record>), says: &str| {
        let mut records = torch::records(&tensors);
        change(&mut records);
        let dir = directory(&[("pytorch_model.bin", torch::zip(&records))]);
        let error = Checkpoint::open(dir.path()).expect_err(says);
        let text = error.to_string();
        assert!(error.code() == "checkpoint" && text.contains(says), "{says}: {text}");
        // The remedy names the model's own class, which keeps the head.
        assert!(
            text.contains("pytorch_model.bin: ") && text.contains("transformers.BertForQuestionAnswering"),
            "{text}"
        );
    };
    let pickle = |text: &str| text.as_bytes().to_vec();
    refused(&|r| r[1].bytes = b"big".to_vec(), "big-endian");
    refused(&|r| r[2].method = 8, "compressed");
    refused(&|r| r.truncate(4), "is missing");
    refused(&|r| r[3].bytes.truncate(8), "does not lie inside its storage");
    refused(&|r| r[4].name = r[3].name.clone(), "is there twice");
    refused(&|r| r[0].name = "archive/data.txt".into(), "must have one data.pkl");
    refused(&|r| r[1].name = "other/data.pkl".into(), "must have one data.pkl");
    refused(&|r| r[0].bytes = pickle("cos\nsystem\n(S'id'\ntR."), "os.system");
    refused(&|r| r[0].bytes = pickle("cbuiltins\neval\n."), "builtins.eval");
    refused(&|r| r[0].bytes = pickle("ctorch.storage\n_load_from_bytes\n."), "torch.storage._load_from_bytes");
    refused(&|r| r[0].bytes = pickle("\u{1b}]0;x\u{7}."), "instruction 0x1b");
    refused(&|r| r[0].bytes = pickle("}."), "no tensors");
    refused(&|r| r[0].bytes = pickle("]."), "not a dictionary");
    refused(&|r| r[0].bytes = pickle("("), "truncated");
    refused(&|r| r[0].bytes = b"2".repeat(1 << 21), "damaged");
    refused(&|r| r[0].bytes = [b"N".as_slice(), &b"2".repeat(1 << 21)].concat(), "more than any model's tensors");
    refused(&|r| r[0].bytes = torch::pickle(&tensors, "collections\nCounter\n"), "collections.Counter");
}

/// Changing any bytes gives an error or a model, and never takes more memory than a few times the file.
#[test]
fn changed_bytes_are_an_error_or_a_model() {
    let whole = torch::bin(&fixture::tensors());
    let mut state = 7u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut good, mut bad) = (0, 0);
    for _ in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + next(4) {
            let at = next(bytes.len());
            bytes[at] = if next(2) == 0 { next(256) as u8 } else { bytes[at] ^ (1 << next(8)) };
        }
        let files = [("pytorch_model.bin".to_owned(), bytes.into())];
        let (result, usage) =
            crate::support::alloc::measure(|| Checkpoint::from_files(CONFIG.as_bytes(), files).map(drop));
        assert!(usage.peak <= 2 * whole.len() + (64 << 10), "{usage:?}");
        match result {
            Ok(()) => good += 1,
            Err(error) => {
                assert_eq!(error.code(), "checkpoint", "{error}");
                bad += 1;
            }
        }
    }
    assert!(good > 100 && bad > 100, "{good} models, {bad} errors");
}
