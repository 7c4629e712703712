//! Compares every head with PyTorch on every device, and checks for the same bits in any batch.

use std::sync::Arc;

use cloze::batch::Batch;
use cloze::block_on;
use cloze::checkpoint::{Checkpoint, Head};
use cloze::device::lockstep::largest_difference;
use cloze::device::{Cancel, Cpu, Device};
use cloze::model::{Model, Output};
use cloze::pooling::Pooling;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::models::golden::{Expected, TOLERANCE};
use crate::support::devices::{TestDevice, for_each_device};
use crate::support::fixture;

/// The fixture, the head, and the fixture's name for each of the head's outputs.
const CASES: [(&str, Head, &[&str]); 15] = [
    ("pooler", Head::Pooler, &["pooled"]),
    ("pooler", Head::Embedding(Pooling::Mean), &["mean"]),
    ("pooler", Head::Embedding(Pooling::Max), &["max"]),
    ("pooler", Head::Embedding(Pooling::MeanSqrtLen), &["mean_sqrt_len"]),
    ("pooler", Head::Embedding(Pooling::Cls), &["cls"]),
    ("masked-lm", Head::MaskedLm, &["prediction_logits"]),
    ("masked-lm-untied", Head::MaskedLm, &["prediction_logits"]),
    ("masked-lm-i8", Head::MaskedLm, &["prediction_logits"]),
    ("next-sentence", Head::NextSentence, &["seq_relationship_logits"]),
    ("pre-training", Head::PreTraining, &["prediction_logits", "seq_relationship_logits"]),
    ("classification", Head::SequenceClassification, &["logits"]),
    ("regression", Head::SequenceClassification, &["logits"]),
    ("multi-label", Head::SequenceClassification, &["logits"]),
    ("token-classification", Head::TokenClassification, &["logits"]),
    ("multiple-choice", Head::MultipleChoice, &["logits"]),
];

fn load(name: &str, head: Head, test: &TestDevice) -> (Model, Expected) {
    let dir = fixture("heads").join(name);
    let checkpoint = Checkpoint::open(&dir).expect("a model");
    let model = Model::load(checkpoint, head, test.device.clone()).expect("it loads");
    (model, Expected::read(&dir.join("expected.safetensors")))
}

fn run(model: &Model, batch: &Batch) -> Vec<Output> {
    block_on(model.outputs(batch, &Cancel::new())).expect("it runs")
}

#[test]
fn every_head_equals_pytorchs() {
    for_each_device(|test| {
        for (name, head, outputs) in CASES {
            let (model, expected) = load(name, head, test);
            let found = run(&model, &expected.batch);
            assert_eq!(found.len(), outputs.len(), "{name}");
            for (found, output) in found.iter().zip(outputs) {
                let difference = largest_difference(&expected.activations[*output], &found.values);
                assert!(difference <= TOLERANCE, "{name} {head:?} on {}: {output} differs by {difference}", test.name);
            }
        }
    });
}

/// The sequences `order` of `batch`, with their picked tokens.
fn pick(batch: &Batch, order: &[usize]) -> Batch {
    let ranges: Vec<_> = batch.ranges().collect();
    let mut picked = Batch::default();
    for range in order.iter().map(|&i| ranges[i].clone()) {
        picked.push(&batch.ids[range.clone()], &batch.types[range.clone()]);
        for at in batch.picked.iter().map(|at| *at as usize).filter(|at| range.contains(at)) {
            picked.pick(at - range.start);
        }
    }
    picked
}

/// The results of each sequence, row by row.
fn bits(outputs: &[Output]) -> Vec<Vec<u32>> {
    outputs.iter().map(|o| o.values.iter().map(|v| v.to_bits()).collect()).collect()
}

/// The results of a sequence have the same bits alone and in any batch.
#[test]
fn same_bits_alone_and_in_any_batch() {
    for_each_device(|test| {
        let encoders =
            ["tiny", "odd", "head32", "i8"].map(|name| (format!("../encoder/{name}"), Head::QuestionAnswering));
        let heads = CASES.iter().map(|(name, head, _)| (name.to_string(), *head));
        for (name, head) in heads.chain(encoders) {
            let (model, Expected { batch, .. }) = load(&name, head, test);
            let count = batch.sequences();
            let alone: Vec<_> = (0..count).map(|i| bits(&run(&model, &pick(&batch, &[i])))).collect();
            for order in [(0..count).collect::<Vec<_>>(), (0..count).rev().collect()] {
                let together = bits(&run(&model, &pick(&batch, &order)));
                for (at, found) in together.iter().enumerate() {
                    let expected = order.iter().flat_map(|&i| alone[i][at].iter().copied()).collect::<Vec<_>>();
                    assert!(!found.is_empty(), "{name}");
                    assert_eq!(*found, expected, "{name} {head:?} on {}", test.name);
                }
            }
        }
    });
}

/// If a tensor of the head is missing or has another shape, the error names it and the class that has it.
#[test]
fn a_heads_missing_tensor_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for (name, head, _) in CASES {
        let source = fixture("heads").join(name);
        let bytes = std::fs::read(source.join("model.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        std::fs::copy(source.join("config.json"), dir.path().join("config.json")).unwrap();
        let encoder = |tensor: &str| ["embeddings.", "encoder.", ".scale"].iter().any(|part| tensor.contains(part));
        for (tensor, view) in file.tensors().into_iter().filter(|(tensor, _)| !encoder(tensor)) {
            let others: Vec<_> = file.tensors().into_iter().filter(|(other, _)| *other != tensor).collect();
            let narrow =
                TensorView::new(view.dtype(), vec![1, 1, 1], &view.data()[..view.dtype().bitsize() / 8]).unwrap();
            let misshapen = [others.clone(), vec![(tensor.clone(), narrow)]].concat();
            for (what, tensors) in [("is missing", others), ("has shape", misshapen)] {
                let bytes = safetensors::serialize(tensors, None).unwrap();
                std::fs::write(dir.path().join("model.safetensors"), bytes).unwrap();
                let checkpoint = Checkpoint::open(dir.path()).unwrap();
                let loaded = Model::load(checkpoint, head, Arc::new(Device::Cpu(Cpu::new(1))));
                // Some tensors occur twice, or belong to a head that is not requested.
                let Err(error) = loaded else { continue };
                let says = error.to_string();
                assert_eq!(error.code(), "checkpoint", "{says}");
                assert!(says.contains(what) || says.contains("and they differ"), "{name} {tensor}: {says}");
                let mends = [head.architecture(), "tie_word_embeddings"];
                assert!(
                    what != "is missing" || mends.iter().any(|help| says.contains(help)),
                    "{name} {tensor}: {says}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused >= 60, "{refused}");
}
