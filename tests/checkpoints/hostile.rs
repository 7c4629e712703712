//! Malformed files. Any content gives a typed error that names the file and the remedy: no panic, and no more memory
//! than the size of the file.

use std::fs;
use std::path::Path;

use cloze::checkpoint::{Checkpoint, Head, names};
use cloze::config::Config;
use cloze::{Error, Result};
use proptest::prelude::*;

use crate::support::alloc::measure;
use crate::support::checkpoint::{self as fixture, CONFIG, Tensor};

/// The memory allowed besides the size of the file: for names, messages and the configuration.
const SLACK: usize = 64 << 10;

/// Opens the bytes as a checkpoint and reads every tensor.
fn read_all(bytes: &[u8]) -> Result<()> {
    let held = bytes.to_vec();
    let (result, usage) = measure(|| {
        let checkpoint = Checkpoint::from_bytes(CONFIG.as_bytes(), held)?;
        checkpoint.require(Head::QuestionAnswering)?;
        let config = checkpoint.config();
        names::params(config, Head::QuestionAnswering).try_for_each(|p| checkpoint.get(&p.name).map(drop))
    });
    assert!(usage.peak <= bytes.len() + SLACK, "{usage:?} for a file of {} bytes", bytes.len());
    result
}

/// Checks for a typed error about a file, with its name and help.
fn assert_explained(error: &Error) {
    let (Error::Checkpoint { file, problem, help, .. } | Error::Config { file, problem, help }) = error else {
        panic!("{}: {error}", error.code())
    };
    assert!(!file.is_empty() && !problem.is_empty() && help.to_string().len() > 10, "{error}");
    assert!(error.to_string().contains(file.as_str()) && error.to_string().len() < 2000, "{error}");
}

fn assert_refused(bytes: &[u8], says: &[&str]) {
    let error = read_all(bytes).expect_err("a broken file");
    assert_explained(&error);
    for part in says {
        assert!(error.to_string().contains(part), "{part}: {error}");
    }
}

/// The fixture's file, as header text and data.
fn parts() -> (String, Vec<u8>) {
    let bytes = fixture::safetensors(&fixture::tensors());
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (String::from_utf8(bytes[8..8 + length].to_vec()).unwrap(), bytes[8 + length..].to_vec())
}

proptest! {
    #[test]
    fn truncated(cut in any::<prop::sample::Index>()) {
        let bytes = fixture::safetensors(&fixture::tensors());
        assert_refused(&bytes[..cut.index(bytes.len())], &["model.safetensors"]);
    }

    #[test]
    fn false_header_length(length in any::<u64>(), shift in 0u32..64) {
        let mut bytes = fixture::safetensors(&fixture::tensors());
        let length = length >> shift;
        prop_assume!(length.to_le_bytes() != bytes[..8]);
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        assert_refused(&bytes, &["model.safetensors"]);
    }

    /// Changes a few bytes of the header. The file is refused, or the reference implementation can read it too.
    #[test]
    fn mutated_header(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let (header, data) = parts();
        let mut bytes = fixture::with_header(&header, &data);
        for (at, byte) in changes {
            bytes[8 + at.index(header.len())] = byte;
        }
        match read_all(&bytes) {
            Ok(()) => prop_assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok()),
            Err(error) => assert_explained(&error),
        }
    }

    /// Gives one tensor another type, shape or place.
    #[test]
    fn lying_entry(
        which in any::<prop::sample::Index>(),
        dtype in prop::sample::select(vec!["F32", "F16", "BF16", "I8", "I64", "F4", "F8_E4M3", "BOOL", "X", ""]),
        shape in prop::collection::vec(prop_oneof![0u64..20, any::<u64>()], 0..5),
        start in prop_oneof![0u64..4000, any::<u64>()],
        end in prop_oneof![0u64..4000, any::<u64>()],
    ) {
        let mut header: serde_json::Value = serde_json::from_str(&parts().0).unwrap();
        let names: Vec<String> = header.as_object().unwrap().keys().cloned().collect();
        let name = which.get(&names);
        let lie = serde_json::json!({ "dtype": dtype, "shape": shape, "data_offsets": [start, end] });
        prop_assume!(header[name] != lie);
        header[name] = lie;
        assert_refused(&fixture::with_header(&header.to_string(), &parts().1), &["model.safetensors"]);
    }

    /// Random bytes.
    #[test]
    fn noise(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        assert_refused(&bytes, &["model.safetensors"]);
        let error = Config::from_json(&bytes, "config.json").expect_err("noise");
        assert_explained(&error);
    }

    /// Puts a value that is not finite anywhere in any tensor.
    #[test]
    fn not_finite(which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(), nan in any::<bool>()) {
        let mut tensors = fixture::tensors();
        let which = which.index(tensors.len());
        let tensor = &mut tensors[which];
        let i = at.index(tensor.bytes.len() / 4);
        let value = if nan { f32::NAN } else { f32::NEG_INFINITY };
        tensor.bytes[4 * i..4 * i + 4].copy_from_slice(&value.to_le_bytes());
        let name = tensor.name.clone();
        assert_refused(&fixture::safetensors(&tensors), &[&name, &format!("{value} at index {i}")]);
    }

    /// Gives one key of the configuration any value.
    #[test]
    fn lying_config(
        key in prop::sample::select(vec![
            "model_type", "architectures", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
            "intermediate_size", "hidden_act", "max_position_embeddings", "type_vocab_size", "layer_norm_eps",
            "pad_token_id", "hidden_dropout_prob", "position_embedding_type", "is_decoder", "quantization",
            "quantization_config", "id2label",
        ]),
        value in prop_oneof![
            any::<i64>().prop_map(serde_json::Value::from),
            (0i64..40).prop_map(serde_json::Value::from),
            any::<u64>().prop_map(serde_json::Value::from),
            any::<f64>().prop_map(serde_json::Value::from),
            any::<bool>().prop_map(serde_json::Value::from),
            ".{0,300}".prop_map(serde_json::Value::from),
            Just(serde_json::json!([[], {}, null])),
            Just(serde_json::json!({"format": {"a": []}})),
            Just(serde_json::Value::Null),
        ],
    ) {
        let mut config: serde_json::Value = serde_json::from_str(CONFIG).unwrap();
        config[key] = value;
        let config = config.to_string();
        let weights = fixture::safetensors(&fixture::tensors());
        let held = weights.clone();
        let (result, usage) = measure(|| Checkpoint::from_bytes(config.as_bytes(), held));
        prop_assert!(usage.peak <= weights.len() + SLACK, "{usage:?}");
        match result {
            Ok(_) => {}
            Err(Error::Unsupported { what, help }) => prop_assert!(!what.is_empty() && !help.to_string().is_empty()),
            Err(error) => assert_explained(&error),
        }
    }

    /// An index may give a shard any name, but nothing outside the directory is opened.
    #[test]
    fn lying_index(shard in prop_oneof!["[./a-z]{0,40}", ".{0,40}", Just("../outside.safetensors".to_string())]) {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model");
        let tensors = fixture::tensors();
        fixture::save(&model, &tensors);
        fs::rename(model.join("model.safetensors"), dir.path().join("outside.safetensors")).unwrap();
        let name = serde_json::Value::from(shard);
        let map: Vec<String> = tensors.iter().map(|t| format!(r#""{}": {name}"#, t.name)).collect();
        fixture::save_index(&model, &map.join(","));
        assert_explained(&Checkpoint::open(&model).expect_err("no such shard"));
    }
}

#[test]
fn header_too_dear() {
    // A careless reader would use many times the size of each of these files.
    let data = [0u8; 8];
    let deep = |open: &str| fixture::with_header(&format!(r#"{{"a":{}"#, open.repeat(1 << 20)), &data);
    assert_refused(&deep("["), &["nested too deeply"]);
    assert_refused(&deep(r#"{"a":"#), &["nested too deeply"]);
    let name = format!(r#"{{"{}":{{}}}}"#, r"\n".repeat(1 << 20));
    assert_refused(&fixture::with_header(&name, &data), &["not the name of a tensor"]);
    let dtype = format!(r#"{{"a":{{"dtype":"{}"}}}}"#, r"\n".repeat(1 << 20));
    assert_refused(&fixture::with_header(&dtype, &data), &["not the name of a tensor"]);
    let long = format!(r#"{{"a":{{"dtype":"I8","shape":[{}1],"data_offsets":[0,8]}}}}"#, "1,".repeat(1 << 20));
    assert_refused(&fixture::with_header(&long, &data), &["tensor a", "dimensions"]);
    let many: Vec<String> =
        (0..50_000).map(|i| format!(r#""{i:x}":{{"dtype":"I8","shape":[0],"data_offsets":[0,0]}}"#)).collect();
    assert_refused(&fixture::with_header(&format!("{{{}}}", many.join(",")), &[]), &["missing"]);
    let metadata: Vec<String> = (0..100_000).map(|i| format!(r#""{i}":"""#)).collect();
    let metadata = format!(r#"{{"__metadata__":{{{},"long":"{}"}}}}"#, metadata.join(","), r"\n".repeat(1 << 20));
    assert_refused(&fixture::with_header(&metadata, &[]), &["missing"]);
}

#[test]
fn tensor_faults_are_named() {
    let tensors = fixture::tensors();
    let changed = |change: &dyn Fn(&mut Vec<Tensor>)| {
        let mut tensors = tensors.clone();
        change(&mut tensors);
        fixture::safetensors(&tensors)
    };
    // All missing tensors are reported together, up to five by name.
    let few = changed(&|t| t.truncate(3));
    assert_refused(&few, &["embeddings.LayerNorm.weight is missing", "more", "BERT"]);
    let misshaped = changed(&|t| t[0].shape = vec![8, 19]);
    assert_refused(&misshaped, &["word_embeddings.weight has shape [8, 19]", "asks for [19, 8]"]);
    assert_refused(&changed(&|t| t[3].shape = vec![1, 8]), &["LayerNorm.weight has shape [1, 8]"]);
    let again = |t: &[Tensor]| Tensor { name: t[0].name.replace("bert.", ""), ..t[0].clone() };
    assert!(read_all(&changed(&|t| t.push(again(t)))).is_ok(), "the same values twice contradict nothing");
    let double = changed(&|t| {
        let mut other = again(t);
        other.bytes[0] ^= 1;
        t.push(other);
    });
    assert_refused(&double, &["both bert.embeddings.word_embeddings.weight and embeddings.word_embeddings.weight"]);
    // As in the safetensors crate, the last of two equal names is used, and its bytes must be in the file.
    assert_refused(&changed(&|t| t.push(t[0].clone())), &["608 bytes before the tensor bert.embeddings"]);
    assert_refused(
        &changed(&|t| t.retain(|t| !t.name.starts_with("qa"))),
        &["qa_outputs.weight is missing", "without a head"],
    );
    let other = changed(&|t| t[5].name = "classifier.weight".into());
    assert_refused(
        &other,
        &["qa_outputs.weight is missing", "a head for", "classification", "BertForQuestionAnswering"],
    );
    let wide = changed(&|t| (t[0].dtype, t[0].bytes) = ("I64".into(), vec![0; 19 * 8 * 8]));
    assert_refused(&wide, &["word_embeddings.weight is I64", "float32"]);
    let huge: Vec<u8> = [1.5f64, -1e300].iter().cycle().take(19 * 8).flat_map(|v| v.to_le_bytes()).collect();
    let huge = changed(&|t| (t[0].dtype, t[0].bytes) = ("F64".into(), huge.clone()));
    assert_refused(&huge, &["word_embeddings.weight has -1000000", "at index 1"]);
}

#[test]
fn eight_bit_faults_are_named() {
    let name = "bert.embeddings.word_embeddings.weight";
    let with = |q: u8, scales: Option<Tensor>| {
        let mut tensors = fixture::tensors();
        (tensors[0].dtype, tensors[0].bytes) = ("I8".into(), vec![q; 19 * 8]);
        tensors.extend(scales);
        fixture::safetensors(&tensors)
    };
    let scale = |value: f32| {
        let mut scales = [0.1; 19];
        scales[4] = value;
        Some(Tensor::f32s(&format!("{name}.scale"), &[19], &scales))
    };
    read_all(&with(1, scale(0.2))).unwrap();
    assert_refused(&with(1, None), &["word_embeddings.weight.scale is missing", "unquantized"]);
    for bad in [0.0, -0.5, f32::NAN, f32::INFINITY] {
        assert_refused(&with(1, scale(bad)), &["word_embeddings.weight.scale has", "index 4"]);
    }
    assert_refused(&with(0x80, scale(0.2)), &["word_embeddings.weight has -128 at index 0"]);
    let short = Tensor::f32s(&format!("{name}.scale"), &[18], &[0.1; 18]);
    assert_refused(&with(1, Some(short)), &["is F32 [18], not F32 [19]"]);
    let mut tensors = fixture::tensors();
    (tensors[3].dtype, tensors[3].bytes) = ("I8".into(), vec![1; 8]);
    assert_refused(&fixture::safetensors(&tensors), &["LayerNorm.weight is I8, which only matrices"]);
}

/// Writes three valid shards and their index, changes the directory with `spoil`, and opens it.
fn sharded(spoil: impl FnOnce(&Path)) -> Error {
    let dir = tempfile::tempdir().unwrap();
    fixture::save_sharded(dir.path(), &fixture::tensors(), 3);
    Checkpoint::open(dir.path()).unwrap();
    spoil(dir.path());
    let error = Checkpoint::open(dir.path()).expect_err("spoilt");
    assert!(error.to_string().contains(&*dir.path().to_string_lossy()), "{error}");
    error
}

#[test]
fn index_faults_are_named() {
    let index = |text: &'static str| sharded(move |dir| fixture::save_index(dir, text));
    let says = |error: Error, part: &str| {
        assert_explained(&error);
        assert!(error.to_string().contains(part), "{part}: {error}");
    };
    const FIRST: &str = "model-00001-of-00003.safetensors";
    const SECOND: &str = "model-00002-of-00003.safetensors";
    says(sharded(|dir| fs::remove_file(dir.join(SECOND)).unwrap()), SECOND);
    says(sharded(|dir| fs::write(dir.join(SECOND), "short").unwrap()), "too short");
    says(sharded(|dir| fs::write(dir.join(SECOND), "").unwrap()), SECOND);
    says(index(r#""a": "../x.safetensors""#), "not the name of a .safetensors file");
    says(index(r#""a": "/etc/x.safetensors""#), "not the name of a .safetensors file");
    says(index(r#""a": "model.safetensors.index.json""#), "not the name of a .safetensors file");
    says(index(r#""a": 1"#), "the index cannot be used");
    says(index(""), "names no file");
    says(sharded(|dir| fs::write(dir.join("model.safetensors.index.json"), "{}").unwrap()), "weight_map");
    says(
        sharded(|dir| fs::write(dir.join("model.safetensors.index.json"), "[".repeat(1 << 20)).unwrap()),
        "the index cannot be used",
    );
    let word = "bert.embeddings.word_embeddings.weight";
    let spoil = |map: String| sharded(move |dir| fixture::save_index(dir, &map));
    // A listed tensor counts, in whichever shard it is. One that is not listed does not.
    says(
        spoil(format!(r#""{word}": "{SECOND}", "absent": "{FIRST}", "{word}": "{FIRST}""#)),
        "embeddings.position_embeddings.weight is missing",
    );
    #[cfg(unix)]
    says(
        sharded(|dir| {
            fs::remove_file(dir.join(SECOND)).unwrap();
            std::os::unix::fs::symlink(SECOND, dir.join(SECOND)).unwrap();
        }),
        SECOND,
    );
    let folder = sharded(|dir| {
        fs::remove_file(dir.join(SECOND)).unwrap();
        fs::create_dir(dir.join(SECOND)).unwrap();
    });
    assert!(folder.code() == "io" && folder.to_string().contains("not a file"), "{folder}");
}

#[test]
fn other_formats_are_explained() {
    for (file, says) in [
        ("pytorch_model.bin", "neither a zip archive"),
        ("pytorch_model.bin.index.json", "the index cannot be used"),
        ("bert_model.ckpt.index", "from_tf"),
        ("tf_model.h5", "transformers.BertForQuestionAnswering.from_pretrained("),
        ("flax_model.msgpack", "from_flax"),
        ("model.onnx", "exported"),
        ("notes.txt", "Hugging Face BERT"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("config.json"), CONFIG).unwrap();
        fs::write(dir.path().join(file), "x").unwrap();
        let error = Checkpoint::open(dir.path()).expect_err(file);
        assert_explained(&error);
        assert!(error.to_string().contains(says), "{error}");
    }
    let dir = tempfile::tempdir().unwrap();
    let error = Checkpoint::open(&dir.path().join("none")).expect_err("nothing");
    assert!(error.to_string().contains("no such directory"), "{error}");
    fixture::save(dir.path(), &fixture::tensors());
    fs::remove_file(dir.path().join("config.json")).unwrap();
    assert!(Checkpoint::open(dir.path()).expect_err("no config").to_string().contains("config.json"));
}
