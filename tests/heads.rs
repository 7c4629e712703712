//! Every head against PyTorch on every device, and the same bits in any batch.

use cloze::batch::Batch;
use cloze::block_on;
use cloze::checkpoint::{Checkpoint, Head};
use cloze::device::Cancel;
use cloze::device::lockstep::largest_difference;
use cloze::model::{Model, Output};
use cloze::pooling::Pooling;

use crate::golden::{Expected, TOLERANCE};
use crate::support::devices::{TestDevice, for_each_device};
use crate::support::fixture;

/// Fixture, head, and the fixture's name for each of the head's outputs.
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

/// The sequences `order` of `batch`, with the tokens that were picked of them.
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

/// A sequence's results, row after row; a batch's are its sequences' one after another.
fn bits(outputs: &[Output]) -> Vec<Vec<u32>> {
    outputs.iter().map(|o| o.values.iter().map(|v| v.to_bits()).collect()).collect()
}

/// A sequence's results have the same bits alone and in any batch.
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
