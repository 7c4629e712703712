//! How a sequence's hidden states become one vector.

/// A way of pooling `[S, H]` into `[H]`. Every token counts, `[CLS]` and `[SEP]` too, as in sentence-transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pooling {
    /// The row of `[CLS]`.
    Cls,
    /// The sum divided by the number of tokens.
    Mean,
    /// The largest value of each column.
    Max,
    /// The sum divided by the square root of the number of tokens.
    MeanSqrtLen,
}

impl Pooling {
    /// Each with the key that sentence-transformers' `Pooling` module has for it.
    pub const KEYS: [(&'static str, Pooling); 4] = [
        ("pooling_mode_cls_token", Pooling::Cls),
        ("pooling_mode_mean_tokens", Pooling::Mean),
        ("pooling_mode_max_tokens", Pooling::Max),
        ("pooling_mode_mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ];

    /// Each with the word that newer versions have for it.
    pub const WORDS: [(&'static str, Pooling); 4] = [
        ("cls", Pooling::Cls),
        ("mean", Pooling::Mean),
        ("max", Pooling::Max),
        ("mean_sqrt_len_tokens", Pooling::MeanSqrtLen),
    ];

    /// The number that the op `pool` and its shader know it by.
    pub(crate) const fn id(self) -> u32 {
        match self {
            Pooling::Cls => 0,
            Pooling::Mean => 1,
            Pooling::Max => 2,
            Pooling::MeanSqrtLen => 3,
        }
    }
}
