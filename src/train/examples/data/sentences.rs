//! Sentences whose words have tags, independent of the file's format.

/// The words of a sentence, each with a tag such as `B-person`, `I-person` or `O`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// The words of the sentence.
    pub words: Vec<String>,
    /// One tag for each word.
    pub tags: Vec<String>,
}

impl Example {
    pub(super) fn push(&mut self, word: &str, tag: String) {
        self.words.push(word.into());
        self.tags.push(tag);
    }
}

/// The contents of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The sentences, each with its first line.
    pub examples: Vec<(u64, Example)>,
    /// Notes for people on how the file was read.
    pub notes: Vec<String>,
}
