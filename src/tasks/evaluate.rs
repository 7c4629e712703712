//! A model measured on SQuAD: every question answered in packed batches, then counted.

use super::question_answering::QuestionAnswering;
use super::squad::{Metrics, Squad, SquadOptions};
use crate::device::Cancel;
use crate::error::{Error, Result, clip};

/// Questions whose windows are run together.
const GROUP: usize = 32;

/// What a model makes of a data set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    pub metrics: Metrics,
    /// Each question's id and answer, in the data's order.
    pub predictions: Vec<(String, String)>,
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
    let mut done = Evaluation::default();
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
            let text = &data.contexts[question.context][options.best(windowed, own)?];
            done.metrics.add(text, &question.answers);
            done.predictions.push((question.id.clone(), text.to_owned()));
        }
        progress(group.len());
    }
    Ok(done)
}
