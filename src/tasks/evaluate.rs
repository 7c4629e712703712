//! Measures a model on SQuAD: answers every question in packed batches, then computes the metrics.

use super::question_answering::{QuestionAnswering, Work};
use super::run::{Item, Task, run};
use super::squad::{Decoded, Metrics, Metrics2, Question, Squad, SquadOptions};
use crate::device::Cancel;
use crate::error::Result;
use crate::model::Model;

/// The number of questions whose windows run together.
const GROUP: usize = 32;

/// The results of a model on a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// Exact match and F1.
    pub counts: Counts,
    /// The id and the answer of each question, in the order of the data.
    pub predictions: Vec<(String, Decoded)>,
}

/// The metrics of the SQuAD version that the options name.
#[derive(Clone, Debug, PartialEq)]
pub enum Counts {
    /// SQuAD 1.1.
    V1(Metrics),
    /// SQuAD 2.0.
    V2(Metrics2),
}

/// Answers every question of `data`. It calls `progress` with the number of questions that are newly done.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) names a question whose text cannot be used. The device's errors also end the
/// run.
pub async fn squad(
    qa: &QuestionAnswering,
    data: &Squad,
    options: &SquadOptions,
    cancel: &Cancel,
    mut progress: impl FnMut(usize),
) -> Result<Evaluation> {
    let counts = if options.version_2 { Counts::V2(Metrics2::default()) } else { Counts::V1(Metrics::default()) };
    let mut done = Evaluation { counts, predictions: Vec::new() };
    let reading = Reading { qa, data };
    for group in data.questions.chunks(GROUP) {
        let group: Vec<&Question> = group.iter().collect();
        for (question, decoded) in group.iter().zip(run(&reading, &group, options, cancel).await?) {
            let decoded = decoded?;
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

/// The task that reads a data set: question answering with another decoding.
struct Reading<'a> {
    qa: &'a QuestionAnswering,
    data: &'a Squad,
}

impl<'a> Task for Reading<'a> {
    type Input = &'a Question;
    type Options = SquadOptions;
    type Work = Work;
    type Output = Decoded;

    fn model(&self) -> &Model {
        self.qa.model()
    }

    async fn begin(&self, question: &&'a Question, options: &SquadOptions, _: &Cancel) -> Result<Work> {
        let context = &self.data.contexts[question.context];
        let windowed = options.windows(self.qa.tokenizer(), &question.text, context);
        windowed.map(Work::new).map_err(|e| question.refused(&e))
    }

    fn item(&self, work: &Work, index: usize) -> Option<Item> {
        work.item(self.qa.tokenizer(), index)
    }

    fn take(&self, work: &mut Work, _: usize, values: &[f32], _: &SquadOptions) {
        work.take(values);
    }

    fn end(&self, work: Work, question: &&'a Question, options: &SquadOptions) -> Result<Decoded> {
        options.decode(&work.windowed, &self.data.contexts[question.context], &work.logits)
    }
}
