//! A model measured on SQuAD: every question answered in packed batches, then counted.

use super::question_answering::QuestionAnswering;
use super::squad::{Decoded, Metrics, Metrics2, Squad, SquadOptions};
use crate::device::Cancel;
use crate::error::{Error, Result, clip};

/// Questions whose windows are run together.
const GROUP: usize = 32;

/// What a model makes of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    pub counts: Counts,
    /// Each question's id and answer, in the data's order.
    pub predictions: Vec<(String, Decoded)>,
}

/// The metrics of the version that the options name.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    V1(Metrics),
    V2(Metrics2),
}

/// Answers every question of `data`. `progress` is told how many more are done.
///
/// # Errors
/// [`Error::Data`] that names the question whose text cannot be worked on, and the device's own errors.
pub async fn squad(
    qa: &QuestionAnswering,
    data: &Squad,
    options: &SquadOptions,
    cancel: &Cancel,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation> {
    let counts = if options.version_2 { Counts::V2(Metrics2::default()) } else { Counts::V1(Metrics::default()) };
    let mut done = Evaluation { counts, predictions: Vec::new() };
    for group in data.questions.chunks(GROUP) {
        let mut cut = Vec::with_capacity(group.len());
        for question in group {
            let context = &data.contexts[question.context];
            cut.push(options.windows(qa.tokenizer(), &question.text, context).map_err(|e| Error::Data {
                file: format!("question {:?}", clip(&question.id)),
                problem: e.to_string(),
                mend: "Mend or remove it".into(),
            })?);
        }
        let sequences = cut.iter().flat_map(|w| w.sequences(qa.tokenizer()));
        let logits = qa.logits(sequences, cancel).await?;
        let mut rest = logits.as_slice();
        for (question, windowed) in group.iter().zip(&cut) {
            let (own, others) = rest.split_at(windowed.windows.len());
            rest = others;
            let decoded = options.decode(windowed, &data.contexts[question.context], own)?;
            match &mut done.counts {
                Counts::V1(metrics) => metrics.add(&decoded.text, &question.answers),
                Counts::V2(metrics) => {
                    metrics.add(&decoded.text, &question.answers, decoded.null_odds.unwrap_or_default());
                }
            }
            done.predictions.push((question.id.clone(), decoded));
        }
        progress(group.len());
    }
    Ok(done)
}
