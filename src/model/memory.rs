//! What a model will take of memory, said before it is taken.

use crate::checkpoint::names::{self, Head};
use crate::config::Config;
pub use crate::device::memory::{available, total};
use crate::error::{Error, Remedy, Result, help};
use crate::tensor::DType;

/// Tokens of a batch whose words are predicted, as many as most texts have masks.
const PICKED: u64 = 8;

/// Bytes that a model needs on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Weights that are resident: all but the word embeddings.
    pub weights: u64,
    /// The word embeddings, as stored. They are gathered on the host from the file's mapping, of which the system keeps
    /// what it has room for, so they are not part of [`total`](Footprint::total).
    pub word_embeddings: u64,
    /// Intermediate results of one forward.
    pub activations: u64,
}

impl Footprint {
    /// Predicts the bytes for a model whose device keeps matrices as `dtype` (vectors and small tables as f32), and a packed
    /// batch of `tokens` tokens.
    pub fn predict(config: &Config, head: Head, dtype: DType, tokens: usize) -> Self {
        let mut footprint = Self { weights: 0, word_embeddings: 0, activations: 0 };
        for param in names::params(config, head) {
            let scalars = param.rows as u64 * param.cols as u64;
            let bytes = match dtype {
                _ if !param.in_i8 => scalars * 4,
                DType::I8 => scalars + param.rows as u64 * 4,
                other => scalars * other.size() as u64,
            };
            let is_table = param.name.ends_with("word_embeddings.weight");
            *(if is_table { &mut footprint.word_embeddings } else { &mut footprint.weights }) += bytes;
        }
        let (h, f, v) = (config.hidden_size as u64, config.intermediate_size as u64, config.vocab_size as u64);
        if head.has_language_model() {
            if config.tie_word_embeddings {
                // The table a second time, where a matmul can read it.
                footprint.weights += footprint.word_embeddings;
            }
            // On the device, and read back.
            footprint.activations = 2 * PICKED * v * 4;
        }
        // What lives at once, a token: the layer's input, Q, K, V and the heads' output in attention; the input, the inner and
        // the outer result in the feed-forward block. Then the logits of a span, ids, types and positions.
        let floats = (5 * h).max(2 * h + f) + 5;
        footprint.activations = footprint.activations.saturating_add((tokens as u64).saturating_mul(floats * 4));
        footprint
    }

    /// Weights and activations together.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.activations)
    }

    /// Checks that the machine has the memory; `what` begins the error's sentence.
    ///
    /// # Errors
    /// `Error::Memory`. Where the system does not say what it has, nothing is refused.
    pub fn check(&self, what: &str) -> Result<()> {
        self.check_against(what, available())
    }

    fn check_against(&self, what: &str, available: Option<u64>) -> Result<()> {
        let need = self.total();
        match available {
            Some(have) if need > have => Err(Error::Memory {
                what: what.into(),
                need,
                have,
                help: help!("Use a smaller model, shorter windows or a smaller batch, or ", Remedy::ConvertToI8),
            }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predicts_by_type_and_tokens() {
        // MiniLM-L6: 10,616,832 scalars in matrices, 20,736 of their rows; 11,720,448 in word embeddings.
        let json = br#"{"hidden_size": 384, "num_hidden_layers": 6, "intermediate_size": 1536}"#;
        let config = Config::from_json(json, "config.json").unwrap();
        let of = |dtype| Footprint::predict(&config, Head::QuestionAnswering, dtype, 128);
        let (f32s, f16s, i8s) = (of(DType::F32), of(DType::F16), of(DType::I8));
        assert_eq!(f32s.weights - f16s.weights, 2 * 10_616_832);
        assert_eq!(f16s.weights - i8s.weights, 10_616_832 - 4 * 20_736);
        assert_eq!(i8s.word_embeddings, 11_720_448 + 4 * 30_522);
        assert_eq!(f32s.activations, 128 * 4 * (2 * 384 + 1536 + 5));
        assert_eq!(Footprint::predict(&config, Head::Encoder, DType::F32, usize::MAX).total(), u64::MAX);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let footprint = Footprint { weights: 90, word_embeddings: 1000, activations: 10 };
        assert!(footprint.check_against("the model", Some(100)).is_ok());
        assert!(footprint.check_against("the model", None).is_ok());
        let error = footprint.check_against("the model", Some(99)).unwrap_err();
        assert!(error.to_string().starts_with("the model needs 100 bytes, 99 are available"), "{error}");
    }
}
