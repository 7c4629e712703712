//! How similar two vectors are.

/// A measure of similarity: larger means more similar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Similarity {
    /// The cosine of the angle between them.
    #[default]
    Cosine,
    /// The dot product.
    Dot,
    /// The negative Euclidean distance.
    Euclidean,
    /// The negative Manhattan distance: minus the sum of the absolute differences.
    Manhattan,
}

impl Similarity {
    /// Each measure with its name in sentence-transformers.
    pub const WORDS: [(&'static str, Similarity); 4] = [
        ("cosine", Similarity::Cosine),
        ("dot", Similarity::Dot),
        ("euclidean", Similarity::Euclidean),
        ("manhattan", Similarity::Manhattan),
    ];

    /// The measure with this name in sentence-transformers.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, similarity)| *similarity)
    }

    /// Its name in sentence-transformers.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, similarity)| *similarity == self).map_or("", |(word, _)| word)
    }

    /// The similarity of two vectors. If their lengths differ, only the common dimensions count.
    pub fn of(self, a: &[f32], b: &[f32]) -> f32 {
        let sum = |a: &[f32], b: &[f32], of: fn(f64, f64) -> f64| -> f64 {
            a.iter().zip(b).map(|(a, b)| of(f64::from(*a), f64::from(*b))).sum()
        };
        let product = |a: f64, b: f64| a * b;
        let found = match self {
            Similarity::Cosine => {
                // As in PyTorch, a vector of zeros has the similarity 0 to all others.
                let length = |x: &[f32]| sum(x, x, product).sqrt().max(1e-12);
                sum(a, b, product) / (length(a) * length(b))
            }
            Similarity::Dot => sum(a, b, product),
            Similarity::Euclidean => -sum(a, b, |a, b| (a - b) * (a - b)).sqrt(),
            Similarity::Manhattan => -sum(a, b, |a, b| (a - b).abs()),
        };
        found as f32
    }
}
