//! The sizes of a batch, and numbers of rows that follow from them.

/// The sizes of one packed batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSizes {
    /// T, the tokens of the packed batch.
    pub tokens: u32,
    /// B, the sequences.
    pub sequences: u32,
    /// S of the longest sequence.
    pub longest: u32,
    /// P, the picked tokens: some heads read only a few tokens, such as the masked ones.
    pub picked: u32,
}

/// A number of rows. It is fixed or follows the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// A fixed number.
    Fixed(u32),
    /// T, the tokens.
    Tokens,
    /// B, the sequences.
    Sequences,
    /// B + 1, the bounds of the packed sequences.
    Bounds,
    /// P, the picked tokens.
    Picked,
    /// T rounded up to a multiple of this number. A kernel takes several rows at a time; zeros fill the last group.
    TokensTo(u32),
    /// B rounded up in the same way.
    SequencesTo(u32),
    /// P rounded up in the same way.
    PickedTo(u32),
}

impl BatchSizes {
    /// Whether a plan for this batch can also run `other`.
    pub fn holds(self, other: BatchSizes) -> bool {
        self.tokens >= other.tokens && self.sequences >= other.sequences && self.picked >= other.picked
    }
}

impl Rows {
    /// The number of rows for a batch of these sizes.
    pub fn resolve(self, sizes: BatchSizes) -> u32 {
        match self {
            Rows::Fixed(n) => n,
            Rows::Tokens => sizes.tokens,
            Rows::Sequences => sizes.sequences,
            Rows::Bounds => sizes.sequences + 1,
            Rows::Picked => sizes.picked,
            Rows::TokensTo(unit) => sizes.tokens.next_multiple_of(unit),
            Rows::SequencesTo(unit) => sizes.sequences.next_multiple_of(unit),
            Rows::PickedTo(unit) => sizes.picked.next_multiple_of(unit),
        }
    }

    /// Whether the number is a multiple of `unit` in every batch.
    pub fn is_multiple_of(self, unit: u32) -> bool {
        match self {
            Rows::Fixed(n) | Rows::TokensTo(n) | Rows::SequencesTo(n) | Rows::PickedTo(n) => n.is_multiple_of(unit),
            Rows::Tokens | Rows::Sequences | Rows::Bounds | Rows::Picked => false,
        }
    }

    /// Rounds the number up to a multiple of `unit`.
    ///
    /// # Panics
    /// For [`Rows::Bounds`]: no kernel reads several bounds at a time.
    pub fn to(self, unit: u32) -> Self {
        match self {
            Rows::Fixed(n) => Rows::Fixed(n.next_multiple_of(unit)),
            Rows::Tokens | Rows::TokensTo(_) => Rows::TokensTo(unit),
            Rows::Sequences | Rows::SequencesTo(_) => Rows::SequencesTo(unit),
            Rows::Picked | Rows::PickedTo(_) => Rows::PickedTo(unit),
            Rows::Bounds => unreachable!("bounds are read one by one"),
        }
    }
}
