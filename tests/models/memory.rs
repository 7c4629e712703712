//! The memory that a model takes: i8 stays i8, a warm forward pass takes almost nothing, and the prediction holds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cloze::batch::Batch;
use cloze::block_on;
use cloze::checkpoint::{Checkpoint, Head, convert, names};
use cloze::config::Config;
use cloze::device::{Cancel, Cpu, Device, Role, Rows};
use cloze::model::Model;
use cloze::model::memory::Footprint;
use cloze::tensor::DType;

use crate::support::alloc::{alone, largest_anywhere, measure};
use crate::support::checkpoint::{Tensor, safetensors};
use crate::support::devices::for_each_device;

/// H = F, so that the largest matrix in i8 (Q, K and V together, 3 H²) is smaller than the smallest in f32 (4 H²).
const H: usize = 256;
const SMALLEST_IN_F32: usize = 4 * H * H;

/// A two-layer model of this shape, in i8.
fn i8_model(dir: &Path) -> PathBuf {
    let json = format!(
        r#"{{"model_type": "bert", "architectures": ["BertForQuestionAnswering"], "vocab_size": 50, "hidden_size": {H},
        "num_hidden_layers": 2, "num_attention_heads": 8, "intermediate_size": {H}, "max_position_embeddings": 64}}"#
    );
    let config = Config::from_json(json.as_bytes(), "config.json").unwrap();
    let tensors: Vec<Tensor> = names::params(&config, Head::QuestionAnswering)
        .map(|p| {
            let values: Vec<f32> = (0..p.rows * p.cols).map(|i| (i * 7919 % 251) as f32 / 2510.0 - 0.05).collect();
            let shape = if p.rows == 1 { vec![p.cols] } else { vec![p.rows, p.cols] };
            Tensor::f32s(&p.name, &shape, &values)
        })
        .collect();
    let (wide, narrow) = (dir.join("f32"), dir.join("i8"));
    std::fs::create_dir(&wide).unwrap();
    std::fs::write(wide.join("config.json"), json).unwrap();
    std::fs::write(wide.join("model.safetensors"), safetensors(&tensors)).unwrap();
    convert(&wide, &narrow, DType::I8).unwrap();
    narrow
}

fn load(dir: &Path, device: impl Into<Arc<Device>>) -> Model {
    Model::load(Checkpoint::open(dir).unwrap(), Head::QuestionAnswering, device).unwrap()
}

fn default_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/minilm-l6-qa")
}

fn batch(tokens: u32) -> Batch {
    let mut batch = Batch::default();
    batch.push(&(0..tokens).map(|i| i % 50).collect::<Vec<_>>(), &vec![0; tokens as usize]);
    batch
}

fn forward(model: &Model, batch: &Batch) -> Vec<f32> {
    block_on(model.forward(batch, &Cancel::new())).unwrap()
}

/// From loading to a second answer, no thread allocates as many bytes at once as the smallest matrix would take in f32.
#[test]
fn no_f32_buffer_has_a_weights_size() {
    let dir = tempfile::tempdir().unwrap();
    let narrow = i8_model(dir.path());
    alone("models::memory::no_f32_buffer_has_a_weights_size", || {
        for threads in [1, 2] {
            let device = Device::Cpu(Cpu::new(threads));
            let (model, largest) = largest_anywhere(|| {
                let model = load(&narrow, device);
                forward(&model, &batch(20));
                forward(&model, &batch(33));
                model
            });
            let matrices = model.weights().filter(|w| w.dtype() == DType::I8).count();
            assert_eq!(matrices, 2 * 4, "Q, K and V are one");
            assert!(largest >= 3 * H * H, "{largest}: the weights themselves were not seen");
            assert!(largest < SMALLEST_IN_F32, "{largest} bytes at once, an f32 matrix has {SMALLEST_IN_F32}");
        }
        // In the default model, no allocation is larger than its largest matrix, 1536 x 384 in i8. In f32 that would
        // take four times as much.
        let (_, largest) = largest_anywhere(|| forward(&load(&default_model(), Device::Cpu(Cpu::new(2))), &batch(40)));
        assert_eq!(largest, 1536 * 384);
    });
}

/// On every device, a matrix takes only its bytes and its scales, and no computed tensor has a fixed size, as an
/// expanded weight would have.
#[test]
fn i8_stays_i8_on_every_device() {
    let dir = tempfile::tempdir().unwrap();
    let narrow = i8_model(dir.path());
    for_each_device(|device| {
        let (model, usage) = measure(|| {
            let model = load(&narrow, device.device.clone());
            forward(&model, &batch(20));
            model
        });
        assert!(usage.largest < SMALLEST_IN_F32, "{}: {usage:?}", device.name);
        let mut matrices = 0;
        for weight in model.weights().filter(|w| w.rows() > 2) {
            assert_eq!(weight.dtype(), DType::I8, "{}: {weight:?}", device.name);
            // Padded to a multiple of 64 rows, each with its scale.
            let (rows, cols) = (weight.rows().next_multiple_of(64), weight.cols().next_multiple_of(16));
            assert!(weight.bytes() <= (rows * cols + rows * 4) as u64, "{}: {weight:?}", device.name);
            matrices += 1;
        }
        assert_eq!(matrices, 2 * 4, "{}", device.name);
        for tensor in &model.list().tensors {
            let computed = matches!(tensor.role, Role::Temp);
            assert!(!computed || tensor.rows == Rows::Tokens, "{}: {}", device.name, tensor.name);
        }
    });
}

/// A warm forward pass takes memory for its inputs and outputs, and nothing that grows with the model.
#[test]
fn a_warm_forward_takes_little() {
    let dir = tempfile::tempdir().unwrap();
    let narrow = i8_model(dir.path());
    for_each_device(|device| {
        let model = load(&narrow, device.device.clone());
        let batch = batch(20);
        let cold = forward(&model, &batch);
        let (warm, usage) = measure(|| forward(&model, &batch));
        assert_eq!(warm, cold, "{}", device.name);
        let embedding_sum = 20 * H * 4;
        // The rest is one embedding row, the bounds, the logits, and on a GPU the driver interface's own records.
        let rest = if device.device.kind() == "cpu" { 2 * H * 4 } else { 64 << 10 };
        assert!(usage.peak <= embedding_sum + rest, "{}: {usage:?}", device.name);
    });
}

/// The same for all threads, with the default model.
#[test]
fn no_thread_of_a_warm_forward_takes_more() {
    alone("models::memory::no_thread_of_a_warm_forward_takes_more", || {
        let model = load(&default_model(), Device::Cpu(Cpu::new(2)));
        let batch = batch(40);
        forward(&model, &batch);
        let (_, largest) = largest_anywhere(|| forward(&model, &batch));
        assert_eq!(largest, 40 * 384 * 4, "the embedding sum is the largest");
    });
}

/// Weights in memory are not stored twice or copied as a whole: those on the device are released.
#[test]
fn a_model_from_memory_keeps_its_embedding_tables_alone() {
    let dir = tempfile::tempdir().unwrap();
    let narrow = i8_model(dir.path());
    let config = std::fs::read(narrow.join("config.json")).unwrap();
    let weights = std::fs::read(narrow.join("model.safetensors")).unwrap();
    let file = weights.len();
    let device = || Device::Cpu(Cpu::new(1));
    let (mapped, of_mapped) = measure(|| load(&narrow, device()));
    let (held, of_held) = measure(|| {
        let checkpoint = Checkpoint::from_bytes(&config, weights).unwrap();
        Model::load(checkpoint, Head::QuestionAnswering, device()).unwrap()
    });
    let table = |name: &str| {
        let table = held.checkpoint().get(name).unwrap();
        table.bytes.len() + table.scales.len()
    };
    let tables: usize = ["word", "token_type", "position"]
        .into_iter()
        .map(|name| table(&format!("bert.embeddings.{name}_embeddings.weight")))
        .sum();
    assert!(tables < file / 4, "{tables} of {file}: the model is not mostly tables");
    // The file was allocated before the measurement and released during it, except for the tables.
    let difference = of_held.kept + (file - tables) as isize - of_mapped.kept;
    assert!(difference.abs() < 4096, "{of_held:?} against {of_mapped:?}, with {tables} of {file}");
    // The tables are moved, and may be in both places for a moment.
    assert!(of_held.peak <= of_mapped.peak + tables, "{of_held:?} against {of_mapped:?}, with {tables}");
    assert!(!held.checkpoint().has("bert.encoder.layer.0.output.dense.weight"));
    assert_eq!(forward(&held, &batch(33)), forward(&mapped, &batch(33)));
}

#[test]
fn the_prediction_holds() {
    let dir = tempfile::tempdir().unwrap();
    let wide = dir.path().join("f16");
    convert(&default_model(), &wide, DType::F16).unwrap();
    for_each_device(|device| {
        for (name, dir) in [("i8", default_model()), ("f16", wide.clone())] {
            let model = load(&dir, device.device.clone());
            let kept = model.checkpoint().dtype().unwrap().uploaded();
            let predicted = Footprint::predict(model.config(), Head::QuestionAnswering, kept, 384);
            let weights: u64 = model.weights().map(|w| w.bytes()).sum();
            let most = weights + weights / 4;
            assert!(
                (weights..=most).contains(&predicted.weights),
                "{name} on {}: {weights} taken, {} predicted",
                device.name,
                predicted.weights
            );
        }
    });
}
