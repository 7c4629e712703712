//! The sizes of a batch, and numbers of rows that follow it.

/// The sizes of one packed batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSizes {
    /// T: tokens in the packed batch.
    pub tokens: u32,
    /// B: sequences.
    pub sequences: u32,
    /// The longest sequence's length.
    pub longest: u32,
    /// P: tokens picked for a head that reads only some, such as the masked ones.
    pub picked: u32,
}

/// A number of rows, fixed or following the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    Fixed(u32),
    /// T
    Tokens,
    /// B
    Sequences,
    /// B + 1, the bounds of the packed sequences.
    Bounds,
    /// P
    Picked,
    /// T, B or P, rounded up to a multiple: what a kernel takes a few of at a time, filled up with zeros.
    TokensTo(u32),
    SequencesTo(u32),
    PickedTo(u32),
}

impl BatchSizes {
    /// Whether a plan for this batch runs the other one too.
    pub fn holds(self, other: BatchSizes) -> bool {
        self.tokens >= other.tokens && self.sequences >= other.sequences && self.picked >= other.picked
    }
}

impl Rows {
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

    /// The number rounded up to a multiple of `unit`.
    ///
    /// # Panics
    /// For bounds, of which no kernel takes several at a time.
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
