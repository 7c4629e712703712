//! The expected results of a batch in the form that the losses take.

use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, Head};
use crate::config::ProblemType;
use crate::error::{Error, Result};
use crate::train::Labels;

/// The labels and weights for each loss of the head. The weights make means over everything that has a label, times
/// `share`.
///
/// # Errors
/// [`Error::Input`] for labels of another kind or number, for unknown classes, and if nothing has a label;
/// [`Error::Option`] for an invalid share.
pub(in crate::train) fn of(
    checkpoint: &Checkpoint,
    (head, problem): (Head, ProblemType),
    batch: &Batch,
    labels: &Labels<'_>,
    share: f32,
) -> Result<Vec<(Vec<u32>, Vec<f32>)>> {
    if !(share.is_finite() && share > 0.0) {
        return Err(Error::Option {
            name: "share",
            problem: format!("invalid share {share}: it must be finite and greater than 0"),
            help: "Give a number above 0, such as 0.25 for one batch of four".into(),
        });
    }
    let classes = checkpoint.config().num_labels() as u32;
    let vocabulary = checkpoint.config().vocab_size as u32;
    let sequences = batch.sequences();
    let single = |labels: &[u32], rows: usize, classes: u32| {
        let counted = |label: &u32| *label < classes;
        let bad = labels.iter().find(|label| !counted(label) && **label != Labels::NONE);
        if labels.len() != rows || bad.is_some() {
            return Err(misfit(labels.len(), rows, bad.copied()));
        }
        let count = labels.iter().filter(|l| counted(l)).count();
        if count == 0 {
            return Err(nothing());
        }
        Ok((labels.to_vec(), vec![share / count as f32; rows]))
    };
    match (head, labels) {
        (Head::QuestionAnswering, Labels::Spans(spans)) if spans.len() == sequences => {
            let lengths: Vec<u32> = batch.ranges().map(|range| range.len() as u32).collect();
            let counts = [0, 1].map(|side| spans.iter().zip(&lengths).filter(|(s, n)| s[side] < **n).count());
            if counts == [0, 0] {
                return Err(nothing());
            }
            let weights = counts.map(|count| 0.5 * share / count.max(1) as f32);
            Ok(vec![(spans.as_flattened().to_vec(), weights.repeat(sequences))])
        }
        (Head::SequenceClassification, Labels::Targets(targets)) if problem != ProblemType::SingleLabel => {
            if targets.len() != sequences * classes as usize {
                return Err(misfit(targets.len(), sequences * classes as usize, None));
            }
            let weight = share / targets.len().max(1) as f32;
            Ok(vec![(bytemuck::cast_slice(targets).to_vec(), vec![weight; sequences])])
        }
        (Head::SequenceClassification, Labels::Classes(labels)) if problem == ProblemType::SingleLabel => {
            Ok(vec![single(labels, sequences, classes)?])
        }
        (Head::TokenClassification, Labels::Classes(labels)) => Ok(vec![single(labels, batch.tokens(), classes)?]),
        (Head::MaskedLm, Labels::Classes(labels)) => Ok(vec![single(labels, batch.picked.len(), vocabulary)?]),
        (Head::NextSentence, Labels::Classes(labels)) => Ok(vec![single(labels, sequences, 2)?]),
        (Head::PreTraining, Labels::PreTraining { words, next }) => {
            Ok(vec![single(words, batch.picked.len(), vocabulary)?, single(next, sequences, 2)?])
        }
        _ => Err(Error::Input {
            problem: format!("these labels are not those of {}", head.architecture()),
            help: "Give labels of the kind that the head's loss takes, one for each row of its logits".into(),
        }),
    }
}

fn nothing() -> Error {
    Error::Input {
        problem: "no label in the batch counts: there is nothing to learn from".into(),
        help: "Give at least one that does".into(),
    }
}

fn misfit(found: usize, wanted: usize, bad: Option<u32>) -> Error {
    let problem = match bad {
        Some(label) => format!("the model has no label {label}"),
        None => format!("{found} labels were given where {wanted} are needed"),
    };
    Error::Input { problem, help: "Give one label for each row of the head's logits".into() }
}
