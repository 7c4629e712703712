//! Packs features into a batch: the encoder's input, and the labels in the form of the head's loss.

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::train::Labels;
use crate::train::examples::features::{Feature, Target};

/// A batch with its labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Collated {
    /// The sequences.
    pub batch: Batch,
    /// The number of sequences, labelled tokens or masked tokens that the mean of the loss is taken over. It weights
    /// the batches of one step.
    pub counted: usize,
    targets: Targets,
}

#[derive(Clone, Debug, PartialEq)]
enum Targets {
    Spans(Vec<[u32; 2]>),
    Classes(Vec<u32>),
    Values(Vec<f32>),
}

impl Collated {
    /// One batch of these features, in their order.
    ///
    /// # Errors
    /// [`Error::Input`] if they belong to different tasks.
    pub fn of<'a>(features: impl IntoIterator<Item = &'a Feature>) -> Result<Self> {
        let mut collated = Self { batch: Batch::default(), counted: 0, targets: Targets::Classes(Vec::new()) };
        for Feature { sequence, target } in features {
            let Self { batch, counted, targets } = &mut collated;
            if batch.sequences() == 0 {
                *targets = match target {
                    Target::Span(_) => Targets::Spans(Vec::new()),
                    Target::Class(_) | Target::Tags(_) | Target::Words(_) => Targets::Classes(Vec::new()),
                    Target::Classes(..) | Target::Value(_) => Targets::Values(Vec::new()),
                };
            }
            batch.push(&sequence.ids, &sequence.types);
            *counted += 1;
            match (target, targets) {
                (Target::Span(span), Targets::Spans(spans)) => spans.push(*span),
                (Target::Class(class), Targets::Classes(classes)) => classes.push(*class),
                (Target::Value(value), Targets::Values(values)) => values.push(*value),
                (Target::Classes(apply, of), Targets::Values(values)) => {
                    values.extend((0..*of).map(|class| f32::from(u8::from(apply.binary_search(&class).is_ok()))));
                }
                (Target::Tags(tags), Targets::Classes(classes)) => {
                    *counted += tags.iter().flatten().count();
                    *counted -= 1;
                    classes.extend(tags.iter().map(|tag| tag.unwrap_or(Labels::NONE)));
                }
                (Target::Words(words), Targets::Classes(classes)) => {
                    *counted += words.len();
                    *counted -= 1;
                    for (at, word) in words {
                        batch.pick(*at as usize);
                        classes.push(*word);
                    }
                }
                _ => {
                    return Err(Error::Input {
                        problem: "a batch has examples of different tasks".into(),
                        help: "Give those of one".into(),
                    });
                }
            }
        }
        Ok(collated)
    }

    /// The labels in the form that a [`Trainer`](crate::train::trainer::step::Trainer) takes.
    pub fn labels(&self) -> Labels<'_> {
        match &self.targets {
            Targets::Spans(spans) => Labels::Spans(spans),
            Targets::Classes(classes) => Labels::Classes(classes),
            Targets::Values(values) => Labels::Targets(values),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Sequence;

    fn feature(len: usize, target: Target) -> Feature {
        Feature { sequence: Sequence { ids: vec![7; len], types: vec![0; len] }, target }
    }

    #[test]
    fn every_task_has_labels_of_its_form() {
        let tags = [
            feature(3, Target::Tags(vec![None, Some(2), None])),
            feature(4, Target::Tags(vec![None, Some(0), Some(1), None])),
        ];
        let batch = Collated::of(&tags).unwrap();
        assert_eq!((batch.counted, batch.batch.tokens(), batch.batch.sequences()), (3, 7, 2));
        let none = Labels::NONE;
        assert!(matches!(batch.labels(), Labels::Classes(c) if c == [none, 2, none, none, 0, 1, none]));
        let words = [feature(3, Target::Words(vec![(1, 9)])), feature(4, Target::Words(vec![(0, 5), (2, 6)]))];
        let batch = Collated::of(&words).unwrap();
        assert_eq!((batch.counted, &batch.batch.picked[..]), (3, &[1, 3, 5][..]));
        assert!(matches!(batch.labels(), Labels::Classes([9, 5, 6])));
        let several = [feature(2, Target::Classes(vec![0], 2)), feature(2, Target::Classes(vec![], 2))];
        let batch = Collated::of(&several).unwrap();
        assert!(batch.counted == 2 && matches!(batch.labels(), Labels::Targets(t) if t == [1.0, 0.0, 0.0, 0.0]));
        let mixed = [feature(2, Target::Class(1)), feature(2, Target::Value(1.0))];
        assert_eq!(Collated::of(&mixed).unwrap_err().code(), "input");
    }
}
