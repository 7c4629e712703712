//! Predicts the memory that a model needs before it is allocated.

use crate::checkpoint::names::{self, Head};
use crate::config::Config;
pub use crate::device::memory::{available, total};
use crate::error::{Error, Remedy, Result, help};
use crate::tensor::DType;

/// The tokens of a batch whose words are predicted: as many masks as most texts have.
const PICKED: u64 = 8;

/// The bytes that a model needs on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// The weights in memory: all except the word embeddings.
    pub weights: u64,
    /// The word embeddings, as they are stored. The host gathers rows from the mapped file, and the system keeps only
    /// what fits into memory. So they are not part of [`total`](Footprint::total).
    pub word_embeddings: u64,
    /// The intermediate results of one forward pass.
    pub activations: u64,
}

impl Footprint {
    /// Predicts the bytes of a model and a packed batch of `tokens` tokens. The device keeps matrices as `dtype`, and
    /// vectors and small tables as f32.
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
                // The table a second time, for the matmul.
                footprint.weights += footprint.word_embeddings;
            }
            // Once on the device, and once read back.
            footprint.activations = 2 * PICKED * v * 4;
        }
        // The floats of one token that exist at the same time. In attention: the layer's input, Q, K, V and the heads'
        // output. In the feed-forward block: the input, the inner and the outer result. Then the logits of a span, ids,
        // types and positions.
        let floats = (5 * h).max(2 * h + f) + 5;
        footprint.activations = footprint.activations.saturating_add((tokens as u64).saturating_mul(floats * 4));
        footprint
    }

    /// Weights and activations together.
    pub fn total(&self) -> u64 {
        self.weights.saturating_add(self.activations)
    }

    /// Checks that the machine has enough memory. `what` begins the error's sentence.
    ///
    /// # Errors
    /// `Error::Memory`. If the system does not report its memory, the check passes.
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
