//! Token ids back to text, as `transformers` writes it.

use tokenizers::Decoder;
use tokenizers::decoders::wordpiece::WordPiece;

use super::Tokenizer;

/// What `clean_up_tokenization_spaces` does to a decoded text, in this order.
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

/// How a tokenizer's files want tokens joined.
#[derive(Clone, Debug)]
pub(super) struct Joining {
    /// What marks a piece that continues a word.
    pub prefix: String,
    /// Whether the decoder takes the space before a stop, token by token.
    pub decoder_cleans: bool,
    /// Whether the joined text is cleaned once more.
    pub text_is_cleaned: bool,
}

impl Tokenizer {
    /// The text of these tokens: pieces joined to words, words apart by spaces.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let tokens = ids.iter().filter(|id| !(skip_special && self.is_special(**id)));
        let text = self.join(tokens.filter_map(|id| self.id_to_token(*id)).collect());
        if !self.joining.text_is_cleaned {
            return text;
        }
        CLEANED.iter().fold(text, |text, (from, to)| text.replace(from, to))
    }

    /// Tokens joined to a text by the decoder alone.
    pub fn join(&self, tokens: Vec<String>) -> String {
        let decoder = WordPiece::new(self.joining.prefix.clone(), self.joining.decoder_cleans);
        // The decoder has no way to fail; should it get one, nothing is better than something wrong.
        decoder.decode_chain(tokens).map(|parts| parts.concat()).unwrap_or_default()
    }
}
