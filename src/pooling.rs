//! The ways to pool a sequence's hidden states into one vector.

/// A way of pooling `[S, H]` into `[H]`. As in sentence-transformers, every token counts, even `[CLS]` and `[SEP]`.
/// Only the tokens of a prompt may be ignored, if the model does so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The row of the first token that counts: `[CLS]`, or the token after the prompt.
    Cls,
    /// The sum divided by the number of tokens.
    Mean,
    /// The largest value of each column.
    Max,
    /// The sum divided by the square root of the number of tokens.
    MeanSqrtLen,
    /// The weighted mean. The weight of a token is its position in the sequence, counted from 1.
    WeightedMean,
    /// The row of the last token.
    LastToken,
}

impl Pooling {
    /// The poolings with their keys in older versions of sentence-transformers' `Pooling` module, in the order in which
    /// several are put side by side.
    pub const KEYS: [(&'static str, Pooling); 6] = [
        ("pooling_mode_cls_token", Pooling::Cls),
        ("pooling_mode_max_tokens", Pooling::Max),
        ("pooling_mode_mean_tokens", Pooling::Mean),
        ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
        ("pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
        ("pooling_mode_lasttoken", Pooling::LastToken),
    ];

    /// The poolings with their words in newer versions.
    pub const WORDS: [(&'static str, Pooling); 6] = [
        ("cls", Pooling::Cls),
        ("mean", Pooling::Mean),
        ("max", Pooling::Max),
        ("mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
        ("weightedmean", Pooling::WeightedMean),
        ("lasttoken", Pooling::LastToken),
    ];

    /// The most poolings side by side. Their numbers share one word of the op's parameters.
    pub const MOST: usize = 10;

    /// The pooling with this word in newer versions.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, pooling)| *pooling)
    }

    /// Its word in newer versions.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, pooling)| *pooling == self).map_or("", |(word, _)| word)
    }

    /// Its number in the op `pool` and its shader, of three bits.
    pub(crate) const fn id(self) -> u32 {
        match self {
            Pooling::Cls => 0,
            Pooling::Mean => 1,
            Pooling::Max => 2,
            Pooling::MeanSqrtLen => 3,
            Pooling::WeightedMean => 4,
            Pooling::LastToken => 5,
        }
    }
}
