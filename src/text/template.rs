//! The special tokens around one text and around two texts.

use super::encoding::Sequence;

/// Adjacent special tokens, each with its type.
pub(super) type Specials = Vec<(u32, u32)>;

/// The special tokens before and after one text, and before, between and after two texts; and the types of the texts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    pub(super) single: ([Specials; 2], [u32; 1]),
    pub(super) pair: ([Specials; 3], [u32; 2]),
}

impl Template {
    /// `[CLS] A [SEP]` of type 0, and `[CLS] A [SEP]` of type 0 with `B [SEP]` of type 1.
    pub fn bert(cls: u32, sep: u32) -> Self {
        Self {
            single: ([vec![(cls, 0)], vec![(sep, 0)]], [0]),
            pair: ([vec![(cls, 0)], vec![(sep, 0)], vec![(sep, 1)]], [0, 1]),
        }
    }

    /// The same, with another type for the second text.
    pub fn with_second_type(mut self, kind: u32) -> Self {
        self.pair.0[2].iter_mut().for_each(|(_, own)| *own = kind);
        self.pair.1[1] = kind;
        self
    }

    /// Sets all types to 0, for tokenizers of models without types.
    pub fn without_types(mut self) -> Self {
        self.single.0.iter_mut().chain(&mut self.pair.0).flatten().for_each(|(_, kind)| *kind = 0);
        Self { single: (self.single.0, [0]), pair: (self.pair.0, [0, 0]) }
    }

    /// The largest id.
    pub fn last(&self) -> Option<u32> {
        self.single.0.iter().chain(&self.pair.0).flatten().map(|(id, _)| *id).max()
    }

    pub fn single(&self, a: &[u32]) -> Sequence {
        fill(&self.single.0, &[a], &self.single.1)
    }

    pub fn pair(&self, a: &[u32], b: &[u32]) -> Sequence {
        fill(&self.pair.0, &[a, b], &self.pair.1)
    }

    /// The number of special tokens before a single text, or before the first of two.
    pub fn before(&self, is_pair: bool) -> usize {
        if is_pair { self.pair.0[0].len() } else { self.single.0[0].len() }
    }

    /// The number of special tokens between two texts.
    pub fn between(&self) -> usize {
        self.pair.0[1].len()
    }

    /// The number of special tokens in a sequence.
    pub fn count(&self, is_pair: bool) -> usize {
        let specials: &[Specials] = if is_pair { &self.pair.0 } else { &self.single.0 };
        specials.iter().map(Vec::len).sum()
    }
}

fn fill(specials: &[Specials], texts: &[&[u32]], kinds: &[u32]) -> Sequence {
    let (mut ids, mut types) = (Vec::new(), Vec::new());
    for (at, specials) in specials.iter().enumerate() {
        ids.extend(specials.iter().map(|(id, _)| *id));
        types.extend(specials.iter().map(|(_, kind)| *kind));
        if let (Some(text), Some(kind)) = (texts.get(at), kinds.get(at)) {
            ids.extend_from_slice(text);
            types.resize(ids.len(), *kind);
        }
    }
    Sequence { ids, types }
}
