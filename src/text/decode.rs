//! Converts token ids back to text, as `transformers` does.

use tokenizers::Decoder as _;
use tokenizers::decoders::wordpiece::WordPiece;

use super::Tokenizer;

/// The replacements of `clean_up_tokenization_spaces`, in order.
const CLEANED: [(&str, &str); 10] = [
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
];

/// The rules for joining tokens.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Decoder {
    WordPiece {
        /// The prefix of a piece that continues a word.
        prefix: String,
        /// Whether to remove the space before punctuation, token by token.
        cleans: bool,
    },
    /// `sign` becomes a space. In the first token it becomes nothing if `drops_first`.
    #[cfg(feature = "unigram")]
    Metaspace { sign: char, drops_first: bool },
    /// A space between tokens.
    Spaced,
}

/// The rules of a tokenizer's files for joining tokens.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    pub decoder: Decoder,
    /// Whether to clean the joined text once more.
    pub text_is_cleaned: bool,
}

impl Tokenizer {
    /// Returns the text of these tokens: joins pieces into words, and separates words by spaces.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let tokens = ids.iter().filter(|id| !(skip_special && self.is_special(**id)));
        let text = self.join(tokens.filter_map(|id| self.id_to_token(*id)).collect());
        if !self.joining.text_is_cleaned {
            return text;
        }
        CLEANED.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }

    /// Joins the tokens with the decoder alone.
    pub fn join(&self, tokens: Vec<String>) -> String {
        match &self.joining.decoder {
            Decoder::WordPiece { prefix, cleans } => {
                let decoder = WordPiece::new(prefix.clone(), *cleans);
                // The decoder cannot fail. If it ever does, an empty text is better than a wrong one.
                decoder.decode_chain(tokens).map(|parts| parts.concat()).unwrap_or_default()
            }
            #[cfg(feature = "unigram")]
            Decoder::Metaspace { sign, drops_first } => {
                let spaced =
                    |(at, token): (usize, String)| token.replace(*sign, if at == 0 && *drops_first { "" } else { " " });
                tokens.into_iter().enumerate().map(spaced).collect()
            }
            Decoder::Spaced => tokens.join(" "),
        }
    }
}
