//! Valid checkpoints: every way of storing one gives the same tensors, and conversion keeps the model.

use std::fs;
use std::path::{Path, PathBuf};

use cloze::batch::Batch;
use cloze::checkpoint::{Checkpoint, Head, convert, names};
use cloze::device::{Cancel, Cpu, Device};
use cloze::model::Model;
use cloze::tensor::DType;
use half::f16;

use crate::support;
use crate::support::alloc::measure;
use crate::support::checkpoint::{self as fixture, CONFIG, Tensor};

fn opened(tensors: &[Tensor]) -> Checkpoint {
    Checkpoint::from_bytes(CONFIG.as_bytes(), fixture::safetensors(tensors)).unwrap()
}

fn default_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/minilm-l6-qa")
}

/// Every tensor of the checkpoint is `expected`, an F32 list, after `f`.
fn assert_values(checkpoint: &Checkpoint, expected: &[Tensor], f: impl Fn(f32) -> f32) {
    checkpoint.require(Head::QuestionAnswering).unwrap();
    for tensor in expected {
        let got = checkpoint.get(&tensor.name).unwrap();
        assert_eq!(got.rows * got.cols, tensor.shape.iter().product::<usize>(), "{}", tensor.name);
        assert_eq!(got.rows, if tensor.shape.len() == 2 { tensor.shape[0] } else { 1 }, "{}", tensor.name);
        let wanted: Vec<f32> = tensor.values().into_iter().map(&f).collect();
        assert_eq!(got.to_f32(), wanted, "{}", tensor.name);
    }
}

fn identity(x: f32) -> f32 {
    x
}

#[test]
fn float_types_are_read() {
    let f32s = fixture::tensors();
    assert_values(&opened(&f32s), &f32s, identity);
    for (dtype, round) in [
        (DType::F16, (|x| f16::from_f32(x).to_f32()) as fn(f32) -> f32),
        (DType::BF16, |x| half::bf16::from_f32(x).to_f32()),
    ] {
        let cast: Vec<Tensor> = f32s.iter().map(|t| t.cast(dtype)).collect();
        let checkpoint = opened(&cast);
        assert_eq!(checkpoint.dtype().unwrap(), dtype);
        assert_values(&checkpoint, &f32s, round);
    }
}

#[test]
fn doubles_are_read_as_floats() {
    let dir = tempfile::tempdir().unwrap();
    let f32s = fixture::tensors();
    let widen = |t: &Tensor| Tensor {
        dtype: "F64".into(),
        bytes: t.values().iter().flat_map(|v| (f64::from(*v) + 1e-12).to_le_bytes()).collect(),
        ..t.clone()
    };
    let f64s: Vec<Tensor> = f32s.iter().map(widen).collect();
    let rounded = |x: f32| (f64::from(x) + 1e-12) as f32;
    assert_values(&opened(&f64s), &f32s, rounded);
    fixture::save(&dir.path().join("src"), &f64s);
    convert(&dir.path().join("src"), &dir.path().join("out"), DType::F32).unwrap();
    assert_values(&Checkpoint::open(&dir.path().join("out")).unwrap(), &f32s, rounded);
}

#[test]
fn an_index_may_list_what_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let tensors = fixture::tensors();
    fixture::save_sharded(dir.path(), &tensors, 2);
    let (first, second) = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors");
    // The shards are swapped, one tensor is listed twice, and one is in no shard. transformers loads all of this.
    let mut map: Vec<String> = tensors.iter().map(|t| format!(r#""{}": "{first}""#, t.name)).collect();
    map.push(format!(r#""{}": "{second}""#, tensors[3].name));
    map.push(format!(r#""cls.predictions.decoder.weight": "{second}""#));
    fixture::save_index(dir.path(), &map.join(","));
    assert_values(&Checkpoint::open(dir.path()).unwrap(), &tensors, identity);
}

/// As in transformers, a row that no text uses may have any values. If a bad row is used, the error names it.
#[test]
fn a_row_that_no_text_uses_may_be_no_number() {
    let word = "bert.embeddings.word_embeddings.weight";
    let model = |row: Option<usize>| {
        let mut tensors = fixture::tensors();
        if let Some(row) = row {
            tensors[0].bytes[row * 32 + 4..row * 32 + 8].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        Model::load(opened(&tensors), Head::QuestionAnswering, Device::Cpu(Cpu::new(1))).unwrap()
    };
    let mut batch = Batch::default();
    batch.push(&[1, 5, 2], &[0; 3]);
    let run = |model: &Model| cloze::block_on(model.forward(&batch, &Cancel::new()));
    let bad = model(Some(7));
    assert_eq!(run(&bad).unwrap(), run(&model(None)).unwrap());
    let error = run(&model(Some(5))).unwrap_err();
    assert!(error.code() == "checkpoint" && error.to_string().contains(&format!("row 5 of {word}")), "{error}");
    // To decode words or to convert the table, all of it is checked.
    assert!(bad.checkpoint().get(word).unwrap_err().to_string().contains("NaN at index 57"));
}

/// As in the safetensors crate, the last of two equal names is used.
#[test]
fn a_name_may_be_in_the_header_twice() {
    let tensors = fixture::tensors();
    let bytes = fixture::safetensors(&tensors);
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&bytes[8..8 + length]).unwrap();
    let twice =
        format!(r#"{{"{}":{{"dtype":"F16","shape":[1],"data_offsets":[2,4]}},{}"#, tensors[4].name, &header[1..]);
    let bytes = fixture::with_header(&twice, &bytes[8 + length..]);
    assert!(safetensors::SafeTensors::deserialize(&bytes).is_ok(), "the reference reads it");
    assert_values(&Checkpoint::from_bytes(CONFIG.as_bytes(), bytes).unwrap(), &tensors, identity);
}

#[test]
fn tensors_need_not_be_aligned() {
    let mut tensors = fixture::tensors();
    tensors.insert(0, Tensor { name: "odd".into(), dtype: "U8".into(), shape: vec![3], bytes: vec![1, 2, 3] });
    assert_values(&opened(&tensors), &fixture::tensors(), identity);
}

#[test]
fn prefixes_and_old_names_are_found() {
    let wanted = fixture::tensors();
    let renamed = |rename: fn(&str) -> String| -> Vec<Tensor> {
        wanted.iter().map(|t| Tensor { name: rename(&t.name), ..t.clone() }).collect()
    };
    let bare: fn(&str) -> String = |n| n.trim_start_matches("bert.").into();
    let old: fn(&str) -> String =
        |n| n.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    let both: fn(&str) -> String =
        |n| n.trim_start_matches("bert.").replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta");
    for rename in [bare, old, both] {
        let checkpoint = opened(&renamed(rename));
        assert_values(&checkpoint, &wanted, identity);
        assert!(checkpoint.get("embeddings.LayerNorm.gamma").is_ok());
        assert!(checkpoint.has("bert.embeddings.LayerNorm.bias") && !checkpoint.has("bert.pooler.dense.weight"));
    }
}

#[test]
fn shards_are_one_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let tensors = fixture::tensors();
    fixture::save_sharded(dir.path(), &tensors, 3);
    assert_values(&Checkpoint::open(dir.path()).unwrap(), &tensors, identity);
}

#[test]
fn conversion_between_floats_rounds_once() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let f32s = fixture::tensors();
    fixture::save(&at("f32"), &f32s);
    fs::write(at("f32").join("vocab.txt"), "[PAD]\n").unwrap();
    fs::write(at("f32").join("optimizer.pt"), "not copied").unwrap();
    convert(&at("f32"), &at("f16"), DType::F16).unwrap();
    convert(&at("f16"), &at("again"), DType::F32).unwrap();
    for name in ["f16", "again"] {
        let checkpoint = Checkpoint::open(&at(name)).unwrap();
        assert_values(&checkpoint, &f32s, |x| f16::from_f32(x).to_f32());
    }
    assert_eq!(fs::read_to_string(at("again").join("vocab.txt")).unwrap(), "[PAD]\n");
    assert!(!at("again").join("optimizer.pt").exists());

    let bf16s: Vec<Tensor> = f32s.iter().map(|t| t.cast(DType::BF16)).collect();
    fixture::save(&at("bf16"), &bf16s);
    convert(&at("bf16"), &at("exact"), DType::F32).unwrap();
    assert_values(&Checkpoint::open(&at("exact")).unwrap(), &f32s, |x| half::bf16::from_f32(x).to_f32());
}

#[test]
fn eight_bits_are_within_half_a_step() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut f32s = fixture::tensors();
    let zero_row = |t: &mut Tensor| t.bytes[..8 * 4].fill(0);
    zero_row(&mut f32s[0]);
    fixture::save(&at("f32"), &f32s);
    convert(&at("f32"), &at("i8"), DType::I8).unwrap();
    let checkpoint = Checkpoint::open(&at("i8")).unwrap();
    assert_eq!(checkpoint.dtype().unwrap(), DType::I8);
    let mut in_i8 = 0;
    for tensor in &f32s {
        let got = checkpoint.get(&tensor.name).unwrap();
        let wanted = tensor.values();
        if !names::param(checkpoint.config(), &tensor.name).unwrap().in_i8 {
            assert_eq!((got.dtype, got.to_f32()), (DType::F32, wanted), "{}", tensor.name);
            continue;
        }
        assert_eq!(got.dtype, DType::I8, "{}", tensor.name);
        in_i8 += 1;
        for (r, row) in wanted.chunks(got.cols).enumerate() {
            let (q, scale) = got.row_i8(r);
            let largest = row.iter().fold(0f32, |m, w| m.max(w.abs()));
            assert_eq!(scale, if largest == 0.0 { 1.0 } else { largest / 127.0 });
            for (w, q) in row.iter().zip(q) {
                // 1e-5: w / scale is rounded to f32 before it is rounded to an integer.
                assert!((w - f32::from(*q) * scale).abs() <= scale * (0.5 + 1e-5), "{} {w} {q} {scale}", tensor.name);
            }
        }
    }
    assert_eq!(in_i8, 1 + 2 * 6, "word embeddings and six matrices a layer");

    // Converting again to 8 bits gives the same bytes, and converting to f32 gives the same values.
    convert(&at("i8"), &at("same"), DType::I8).unwrap();
    let weights = |name: &str| fs::read(at(name).join("model.safetensors")).unwrap();
    assert_eq!(weights("i8"), weights("same"));
    convert(&at("i8"), &at("wide"), DType::F32).unwrap();
    convert(&at("i8"), &at("half"), DType::F16).unwrap();
    let [wide, half] = ["wide", "half"].map(|name| Checkpoint::open(&at(name)).unwrap());
    for tensor in &f32s {
        let exact = checkpoint.get(&tensor.name).unwrap().to_f32();
        let rounded: Vec<f32> = exact.iter().map(|x| f16::from_f32(*x).to_f32()).collect();
        assert_eq!(wide.get(&tensor.name).unwrap().to_f32(), exact);
        assert_eq!(half.get(&tensor.name).unwrap().to_f32(), rounded);
    }
}

#[test]
fn conversion_says_what_it_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let [src, out, back] = ["src", "out", "back"].map(|name| dir.path().join(name));
    let mut tensors = fixture::tensors();
    tensors[3].name = "bert.embeddings.LayerNorm.gamma".into();
    tensors.push(Tensor {
        name: "bert.embeddings.position_ids".into(),
        dtype: "I64".into(),
        shape: vec![1, 2],
        bytes: vec![0; 16],
    });
    fixture::save(&src, &tensors);
    let converted = convert(&src, &out, DType::I8).unwrap();

    let bytes = fs::read(out.join("model.safetensors")).unwrap();
    assert_eq!(converted.bytes, bytes.len() as u64);
    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(reference.len(), converted.tensors);
    assert_eq!(converted.tensors, tensors.len() - 1 + 13, "scales beside 13 matrices, no position_ids");
    assert!(reference.tensor("bert.embeddings.LayerNorm.weight").is_ok());
    let scale = reference.tensor("bert.embeddings.word_embeddings.weight.scale").unwrap();
    assert_eq!((scale.dtype(), scale.shape()), (safetensors::Dtype::F32, &[19][..]));
    for (name, tensor) in reference.iter() {
        let at = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert_eq!(at % (tensor.dtype().bitsize() / 8), 0, "{name} is aligned in the file");
    }

    let config = |dir: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs::read(dir.join("config.json")).unwrap()).unwrap()
    };
    assert_eq!(config(&out)["quantization"]["format"], "i8-rows");
    assert_eq!(config(&out)["custom"]["kept"][1], 2);
    convert(&out, &back, DType::F16).unwrap();
    assert!(config(&back).get("quantization").is_none());
    assert_eq!(config(&back)["torch_dtype"], "float16");
}

#[test]
fn a_failed_conversion_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let [src, out] = ["src", "out"].map(|name| dir.path().join(name));
    let mut tensors = fixture::tensors();
    tensors[0].bytes[4 * 11..4 * 12].copy_from_slice(&70000f32.to_le_bytes());
    fixture::save(&src, &tensors);
    convert(&src, &out, DType::F32).unwrap();
    let before = fs::read(out.join("model.safetensors")).unwrap();

    let error = convert(&src, &out, DType::F16).unwrap_err();
    for part in ["word_embeddings", "70000", "index 11", "dtype to f32", "model.safetensors"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(fs::read(out.join("model.safetensors")).unwrap(), before);
    assert_eq!(convert(&src, &src, DType::F16).unwrap_err().code(), "option");
    assert_eq!(convert(&src, &src.join("../src"), DType::F16).unwrap_err().code(), "option");
    assert_eq!(convert(&src, &out, DType::BF16).unwrap_err().code(), "option");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing is left lying about");
}

#[test]
fn the_default_model_is_small_and_whole() {
    let dir = default_model();
    let size = fs::metadata(dir.join("model.safetensors")).unwrap().len();
    assert!(size <= 24_000_000, "{size}");
    let ((), usage) = measure(|| {
        let checkpoint = Checkpoint::open(&dir).unwrap();
        checkpoint.require(Head::QuestionAnswering).unwrap();
        let params: Vec<_> = names::params(checkpoint.config(), Head::QuestionAnswering).collect();
        for param in params {
            let tensor = checkpoint.get(&param.name).unwrap();
            assert_eq!((tensor.rows, tensor.cols), (param.rows, param.cols));
            assert_eq!(tensor.dtype, if param.in_i8 { DType::I8 } else { DType::F32 }, "{}", param.name);
        }
    });
    assert!(usage.peak < 128 << 10, "opened and checked where it lies: {usage:?}");
}

#[test]
fn conversion_takes_memory_for_rows_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (result, usage) = measure(|| convert(&default_model(), &dir.path().join("f32"), DType::F32));
    assert!(result.unwrap().bytes > 90_000_000);
    assert!(usage.peak < 1 << 20, "{usage:?}");
}

#[test]
fn a_sentence_model_keeps_all_its_files() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["mean", "cls"] {
        let (src, out) = (support::fixture("tasks").join(name), dir.path().join(name));
        convert(&src, &out, DType::I8).unwrap();
        for file in ["modules.json", "sentence_bert_config.json", "1_Pooling/config.json", "vocab.txt"] {
            let read = |dir: &Path| fs::read(dir.join(file)).ok();
            assert_eq!(read(&out), read(&src), "{file} of {name}");
        }
    }
    assert!(dir.path().join("mean").join("sentence_bert_config.json").is_file());
}
