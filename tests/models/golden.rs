//! Compares the encoder and its heads with PyTorch: every activation, on every device.

use std::collections::BTreeMap;
use std::path::Path;

use cloze::activation::Activation;
use cloze::batch::Batch;
use cloze::block_on;
use cloze::checkpoint::{Checkpoint, Head};
use cloze::device::lockstep::{largest_difference, trace};
use cloze::device::{BatchSizes, Cancel, Cpu, Device, Rows};
use cloze::graph::Graph;
use cloze::model::Model;
use cloze::ops::matmul::matmul;
use cloze::tasks::question_answering::QuestionAnswering;
use cloze::tensor::{DType, HostTensor};
use safetensors::SafeTensors;

use crate::support::devices::{TestDevice, for_each_device};
use crate::support::fixture;

/// For logits and activations against PyTorch in f32: sums of some hundred products in another order.
pub const TOLERANCE: f32 = 1e-4;

/// Compares the default model in 8 bits with PyTorch on the same weights, dequantized, for 20 real questions and
/// passages. The text goes through our tokenizer.
#[test]
fn default_model_on_real_passages() {
    let qa = QuestionAnswering::embedded(Device::Cpu(Cpu::new(2))).expect("the default model");
    let expected = Expected::read(&fixture("passages.safetensors"));
    let texts = std::fs::read(fixture("passages.json")).expect("a committed fixture");
    let texts: Vec<serde_json::Value> = serde_json::from_slice(&texts).expect("JSON");
    let mut batch = Batch::default();
    for pair in &texts {
        let encode = |key: &str| qa.tokenizer().encode(pair[key].as_str().expect("a text")).expect("tokens").ids;
        let sequence = qa.tokenizer().pair(&encode("question"), &encode("context"));
        batch.push(&sequence.ids, &sequence.types);
    }
    assert_eq!(batch, expected.batch, "tokens");
    let logits = block_on(qa.model().forward(&batch, &Cancel::new())).expect("it runs");
    let difference = largest_difference(&expected.activations["logits"], &logits);
    assert!(difference <= TOLERANCE, "logits differ by {difference}");
}

/// Compares every activation that a configuration may name with PyTorch in f64, far out on both sides.
#[test]
fn named_activations_equal_pytorchs() {
    let bytes = std::fs::read(fixture("activations.safetensors")).expect("a committed fixture");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let values = |name: &str| floats(file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}")).data());
    let xs = values("x");
    for_each_device(|test| {
        let vector = |name, value: f32| {
            let bytes = value.to_le_bytes();
            test.device.upload_vector(name, &[HostTensor::new(DType::F32, 1, 1, &bytes, &[])]).expect("it fits")
        };
        let one = 1.0_f32.to_le_bytes();
        let w = test.device.upload_matrix("w", &[HostTensor::new(DType::F32, 1, 1, &one, &[])]).expect("it fits");
        let b = vector("b", 0.0);
        for (name, activation) in Activation::NAMES {
            let mut g = Graph::new();
            let x = g.input("x", Rows::Tokens, 1);
            let (w, b) = (g.weight(&w), g.weight(&b));
            let y = matmul(&mut g, name, x, w, b, activation, None);
            let tokens = xs.len() as u32;
            let sizes = BatchSizes { tokens, sequences: 1, longest: tokens, picked: 0 };
            let inputs = [(x.id, bytemuck::cast_slice(&xs))];
            let found = block_on(trace(&test.device, &g.finish(&[y]), sizes, &inputs)).expect("it runs").remove(0).1;
            for ((x, expected), found) in xs.iter().zip(values(name)).zip(found) {
                // A GPU's exp has an error of a few units in the last place of an argument of up to 100.
                let off = 1e-5 * expected.abs().max(1.0);
                assert!((found - expected).abs() <= off, "{name}({x}) on {}: {found}, not {expected}", test.name);
            }
        }
    });
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// A packed batch with PyTorch's results.
pub struct Expected {
    pub batch: Batch,
    pub activations: BTreeMap<String, Vec<f32>>,
}

impl Expected {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a committed fixture");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let words = |name: &str| -> Vec<u32> {
            let data = file.tensor(name).expect("an input").data().to_vec();
            data.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        };
        let picked = if file.tensor("picked").is_ok() { words("picked") } else { Vec::new() };
        let [ids, types, positions, bounds] = ["ids", "types", "positions", "offsets"].map(words);
        let skipped = vec![0; bounds.len() - 1];
        let batch = Batch { ids, types, positions, bounds, picked, skipped };
        let activations = file
            .tensors()
            .into_iter()
            .filter(|(_, t)| t.dtype() == safetensors::Dtype::F32)
            .map(|(name, t)| (name, floats(t.data())))
            .collect();
        Self { batch, activations }
    }
}

fn load(name: &str, head: Head, device: &TestDevice) -> (Model, Expected) {
    let dir = fixture("encoder").join(name);
    let checkpoint = Checkpoint::open(&dir).expect("a model");
    let model = Model::load(checkpoint, head, device.device.clone()).expect("it loads");
    (model, Expected::read(&dir.join("expected.safetensors")))
}

/// Checks every activation in the fixture, and every one that the model names, except those that the fixture omits.
fn check(name: &str, head: Head, device: &TestDevice) {
    let (model, expected) = load(name, head, device);
    let inputs = model.inputs(&expected.batch).expect("the batch fits");
    let mut found: BTreeMap<String, Vec<f32>> =
        block_on(trace(model.device(), model.list(), expected.batch.sizes(), &inputs.list()))
            .expect("it runs")
            .into_iter()
            .collect();
    found.insert("embeddings.sum".into(), inputs.embedding_sum().to_vec());
    let mut compared = 0;
    for (activation, values) in &expected.activations {
        // This list does not have it; heads.rs checks the pooler.
        if activation == "pooled" {
            continue;
        }
        let ours = found.get(activation).unwrap_or_else(|| panic!("{name} on {}: no {activation}", device.name));
        let difference = largest_difference(values, ours);
        assert!(difference <= TOLERANCE, "{name} on {}: {activation} differs by {difference}", device.name);
        compared += 1;
    }
    assert!(compared >= 2, "{name}: {compared} activations compared");
    let output = block_on(model.forward(&expected.batch, &Cancel::new())).expect("it runs");
    let last = if head == Head::Encoder {
        format!("layer.{}.output", model.config().num_hidden_layers - 1)
    } else {
        "logits".into()
    };
    let difference = largest_difference(&expected.activations[&last], &output);
    assert!(difference <= TOLERANCE, "{name} on {}: the planned forward differs by {difference}", device.name);
}

#[test]
fn every_activation_equals_pytorchs() {
    for_each_device(|device| {
        for name in ["tiny", "odd", "head32", "head64"] {
            check(name, Head::QuestionAnswering, device);
        }
        check("plain", Head::Encoder, device);
    });
}

#[test]
fn every_stored_type_and_spelling_loads() {
    for_each_device(|device| {
        for name in ["f16", "bf16", "i8", "prefixless", "sharded"] {
            check(name, Head::QuestionAnswering, device);
        }
    });
}

#[test]
fn every_activation_function() {
    for_each_device(|device| {
        for name in ["relu", "silu", "tanh", "gelu_pytorch_tanh", "gelu_fast", "quick_gelu"] {
            check(name, Head::QuestionAnswering, device);
        }
    });
}
