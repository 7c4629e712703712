//! The pieces of a Unigram model: their texts, ids and scores, and a trie over them.
//!
//! Everything is in a few flat arrays, which take 12 MB for the 250,000 pieces of XLM-R. The map of strings and the
//! tree of maps of the `tokenizers` crate would take about 200 MB.

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// The pieces in the order of their ids.
#[derive(Default)]
pub(super) struct Pieces {
    /// Their texts, one after another.
    text: String,
    /// The end of each piece in `text`.
    ends: Vec<u32>,
    scores: Vec<f64>,
}

impl Pieces {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn get(&self, id: u32) -> Option<&str> {
        let id = id as usize;
        let end = *self.ends.get(id)? as usize;
        let start = if id == 0 { 0 } else { *self.ends.get(id - 1)? as usize };
        self.text.get(start..end)
    }

    fn bytes(&self, id: u32) -> &[u8] {
        self.get(id).unwrap_or_default().as_bytes()
    }

    fn push(&mut self, piece: &str, score: f64) -> Option<()> {
        self.text.push_str(piece);
        self.ends.push(u32::try_from(self.text.len()).ok()?);
        self.scores.push(score);
        u32::try_from(self.ends.len()).ok().map(drop)
    }
}

/// Reads a list of pieces and scores directly into the arrays.
impl<'de> Deserialize<'de> for Pieces {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Pieces;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of pieces with their scores")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Pieces, A::Error> {
                let mut pieces = Pieces::default();
                while let Some((piece, score)) = list.next_element::<(std::borrow::Cow<'de, str>, f64)>()? {
                    pieces.push(&piece, score).ok_or_else(|| A::Error::custom("the pieces are too long"))?;
                }
                Ok(pieces)
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// A node of the trie. Its children are neighbours, in the order of their labels. They end where those of the next node
/// begin.
#[derive(Clone, Copy)]
struct Node {
    children: u32,
    /// The first piece, in byte order, that begins with the bytes on the way to this node.
    first: u32,
    /// The byte that leads to this node.
    label: u8,
    /// Whether `first` is the only such piece. Then the node has no children, and the rest of the piece is compared
    /// with the text.
    is_alone: bool,
}

/// The pieces, with a fast search for all pieces that a text begins with.
pub(super) struct Vocabulary {
    pieces: Pieces,
    /// The ids in the byte order of their pieces. Of equal pieces, only the last is kept, and no piece is empty.
    sorted: Vec<u32>,
    nodes: Vec<Node>,
    /// The length of the longest piece in bytes.
    longest: usize,
    least_score: f64,
}

impl Vocabulary {
    pub fn new(pieces: Pieces) -> Self {
        let mut sorted: Vec<u32> = (0..pieces.len() as u32).filter(|id| !pieces.bytes(*id).is_empty()).collect();
        sorted.sort_unstable_by(|a, b| pieces.bytes(*a).cmp(pieces.bytes(*b)).then(b.cmp(a)));
        sorted.dedup_by(|later, first| pieces.bytes(*later) == pieces.bytes(*first));
        let longest = sorted.iter().map(|id| pieces.bytes(*id).len()).max().unwrap_or(0);
        let least_score = pieces.scores.iter().copied().fold(f64::INFINITY, f64::min);
        let nodes = trie(&pieces, &sorted);
        Self { pieces, sorted, nodes, longest, least_score }
    }

    pub fn len(&self) -> usize {
        self.pieces.len()
    }

    pub fn longest(&self) -> usize {
        self.longest
    }

    pub fn least_score(&self) -> f64 {
        self.least_score
    }

    pub fn score(&self, id: u32) -> f64 {
        self.pieces.scores.get(id as usize).copied().unwrap_or_default()
    }

    pub fn piece(&self, id: u32) -> Option<&str> {
        self.pieces.get(id)
    }

    pub fn id(&self, piece: &str) -> Option<u32> {
        let mut id = None;
        self.prefixes(piece.as_bytes(), |len, found| id = (len == piece.len()).then_some(found));
        id
    }

    /// Passes the length and the id of each piece that `text` begins with to `found`, the shortest first.
    pub fn prefixes(&self, text: &[u8], mut found: impl FnMut(usize, u32)) {
        let mut at = 0;
        for depth in 0..=text.len() {
            let Some(node) = self.nodes.get(at) else { return };
            let Some(id) = self.sorted.get(node.first as usize).copied() else { return };
            let piece = self.pieces.bytes(id);
            if node.is_alone {
                if text.starts_with(piece) {
                    found(piece.len(), id);
                }
                return;
            }
            if piece.len() == depth && depth > 0 {
                found(depth, id);
            }
            let Some(byte) = text.get(depth) else { return };
            let end = self.nodes.get(at + 1).map_or(self.nodes.len(), |next| next.children as usize);
            let children = self.nodes.get(node.children as usize..end).unwrap_or_default();
            match children.binary_search_by_key(byte, |child| child.label) {
                Ok(child) => at = node.children as usize + child,
                Err(_) => return,
            }
        }
    }
}

/// Builds the trie level by level, so that the children of a node are neighbours.
fn trie(pieces: &Pieces, sorted: &[u32]) -> Vec<Node> {
    let root = Node { children: 0, first: 0, label: 0, is_alone: sorted.len() == 1 };
    let (mut nodes, mut begun, mut depth) = (vec![root], 0, 0);
    // The end of the last node's pieces. Those of the other nodes end where the next node's begin, or do not matter.
    let mut ends = vec![sorted.len()];
    while begun < nodes.len() {
        let level = begun..nodes.len();
        let mut next_ends = Vec::new();
        for (at, end) in level.clone().zip(ends) {
            nodes[at].children = nodes.len() as u32;
            let mut from = nodes[at].first as usize;
            if nodes[at].is_alone {
                continue;
            }
            if sorted.get(from).is_some_and(|id| pieces.bytes(*id).len() == depth) {
                from += 1;
            }
            while from < end {
                let label = pieces.bytes(sorted[from])[depth];
                let to = from + sorted[from..end].partition_point(|id| pieces.bytes(*id)[depth] == label);
                nodes.push(Node { children: 0, first: from as u32, label, is_alone: to == from + 1 });
                next_ends.push(to);
                from = to;
            }
        }
        begun = level.end;
        ends = next_ends;
        depth += 1;
    }
    nodes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(pieces: &[&str]) -> Vocabulary {
        let mut all = Pieces::default();
        for (id, piece) in pieces.iter().enumerate() {
            all.push(piece, -(id as f64)).unwrap();
        }
        Vocabulary::new(all)
    }

    fn found(vocabulary: &Vocabulary, text: &str) -> Vec<(usize, u32)> {
        let mut all = Vec::new();
        vocabulary.prefixes(text.as_bytes(), |len, id| all.push((len, id)));
        all
    }

    #[test]
    fn finds_every_piece_that_a_text_begins_with() {
        let v = vocabulary(&["<unk>", "a", "ab", "abcd", "abce", "b", "é", "éa", "", "ab", "▁", "▁ab"]);
        assert_eq!(found(&v, "abcdx"), [(1, 1), (2, 9), (4, 3)], "of equal pieces the last");
        assert_eq!(found(&v, "abc"), [(1, 1), (2, 9)]);
        assert_eq!(found(&v, "éab"), [(2, 6), (3, 7)]);
        assert_eq!(found(&v, "▁abc"), [(3, 10), (5, 11)]);
        assert_eq!(found(&v, "xa"), []);
        assert_eq!(found(&v, ""), []);
        assert_eq!((v.id("abce"), v.id("abc"), v.id(""), v.id("ab")), (Some(4), None, None, Some(9)));
        assert_eq!((v.piece(2), v.piece(8), v.piece(12)), (Some("ab"), Some(""), None));
        assert_eq!((v.longest(), v.least_score()), (5, -11.0));
        assert_eq!(found(&vocabulary(&[]), "a"), []);
        assert_eq!(found(&vocabulary(&["ab"]), "abc"), [(2, 0)]);
        assert_eq!(vocabulary(&["ab"]).id("a"), None);
    }
}
