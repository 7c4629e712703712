//! The content of a vocabulary file, in the same form for every format.

use super::added::AddedToken;
use super::decode::Decoder;
use super::model::ModelParts;
use super::template::Template;

/// The content of the vocabulary file.
pub(super) struct Source {
    pub file: &'static str,
    pub model: ModelParts,
    /// Whether the casing comes from the tokenizer's class and not from the file.
    pub takes_casing: bool,
    /// The added tokens, with the ids in the file.
    pub added: Vec<(i64, AddedToken)>,
    /// The special tokens around texts. `None` means BERT's template with the tokens of these roles.
    pub template: Option<Template>,
    /// The tokens that begin and end a text. `None` means the tokens of these roles.
    pub ends: Option<[u32; 2]>,
    pub decoder: Decoder,
    /// The token that fills up short sequences.
    pub pad: Option<String>,
    /// Whether long texts are truncated at their beginning.
    pub cuts_left: bool,
}
