//! The ways to turn a sequence's hidden states into one vector.

/// A way of pooling `[S, H]` into `[H]`. Every token counts, `[CLS]` and `[SEP]` too, as in sentence-transformers; but for
/// those of a prompt, where the model leaves them out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The row of the first token that counts: `[CLS]`, or the one after the prompt.
    Cls,
    /// The sum divided by the number of tokens.
    Mean,
    /// The largest value of each column.
    Max,
    /// The sum divided by the square root of the number of tokens.
    MeanSqrtLen,
    /// The mean in which a token weighs as much as its place in the sequence, counted from 1.
    WeightedMean,
    /// The row of the last token.
    LastToken,
}

impl Pooling {
    /// Each with the key that older versions of sentence-transformers' `Pooling` module have for it, in the order in which
    /// several are put side by side.
    pub const KEYS: [(&'static str, Pooling); 6] = [
        ("pooling_mode_cls_token", Pooling::Cls),
        ("pooling_mode_max_tokens", Pooling::Max),
        ("pooling_mode_mean_tokens", Pooling::Mean),
        ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
        ("pooling_mode_weightedmean_tokens", Pooling::WeightedMean),
        ("pooling_mode_lasttoken", Pooling::LastToken),
    ];

    /// Each with the word that newer versions have for it.
    pub const WORDS: [(&'static str, Pooling); 6] = [
        ("cls", Pooling::Cls),
        ("mean", Pooling::Mean),
        ("max", Pooling::Max),
        ("mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
        ("weightedmean", Pooling::WeightedMean),
        ("lasttoken", Pooling::LastToken),
    ];

    /// As many may be put side by side: their numbers share a word of the op's parameters.
    pub const MOST: usize = 10;

    /// The pooling that newer versions call `word`.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, pooling)| *pooling)
    }

    /// The word that newer versions have for it.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, pooling)| *pooling == self).map_or("", |(word, _)| word)
    }

    /// The number that the op `pool` and its shader know it by; three bits.
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
