//! Tokenizes a text in steps, for callers that must do other work in between or need only some of the tokens.

use super::encoding::Encoding;
use super::model::Stream;
use super::tokenizer::Tokenizer;
use crate::error::{Error, Result, clip};

/// The approximate bytes that one step tokenizes. It takes a few milliseconds.
const PIECE: usize = 16 << 10;

/// A text that is being tokenized. The tokens do not depend on the steps. Memory grows with the tokens that are kept, not with the text.
#[derive(Debug)]
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    text: &'a str,
    piece: usize,
    stream: Stream,
    encoding: Encoding,
    /// The number of tokens so far.
    count: usize,
    /// The maximum number of tokens to keep.
    most: usize,
    is_done: bool,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer, text: &'a str) -> Self {
        Self {
            tokenizer,
            text,
            piece: PIECE,
            stream: tokenizer.stream(),
            encoding: Encoding::default(),
            count: 0,
            most: usize::MAX,
            is_done: false,
        }
    }

    /// Keeps at most this many tokens: the first ones, or the last ones if the tokenizer truncates at the beginning.
    pub fn keeping(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// Sets the approximate bytes of each step. The tokens do not change.
    pub fn in_pieces(self, bytes: usize) -> Self {
        Self { piece: bytes.max(1), ..self }
    }

    /// Tokenizes the next piece. Returns whether more text remains.
    ///
    /// # Errors
    /// The errors of [`Tokenizer::encode`].
    pub fn step(&mut self) -> Result<bool> {
        if self.is_done {
            return Ok(false);
        }
        // A piece gives few more tokens than this. If there is too little memory, this returns an error instead of
        // ending the program.
        let Encoding { ids, offsets, words } = &mut self.encoding;
        let reserved = ids.try_reserve(self.piece).and_then(|()| offsets.try_reserve(self.piece));
        if reserved.and_then(|()| words.try_reserve(self.piece)).is_err() {
            let size = size_of::<std::ops::Range<usize>>() + 2 * size_of::<u32>();
            return Err(Error::Memory {
                what: "the tokens of the text".into(),
                need: (self.encoding.len() * 2 * size) as u64,
                have: (self.encoding.len() * size) as u64,
                help: "Give a shorter text".into(),
            });
        }
        let before = self.encoding.len();
        self.is_done = !self.tokenizer.step(&mut self.stream, self.text, self.piece, &mut self.encoding)?;
        let more = &self.encoding.ids[before..];
        self.count += more.len();
        if let Some(id) = more.iter().find(|id| !self.tokenizer.has_row(**id)) {
            return Err(Error::Input {
                problem: format!(
                    "the text has the token {:?}, whose id {id} the model does not have",
                    clip(&self.tokenizer.id_to_token(*id).unwrap_or_default())
                ),
                help: "Leave it out, or use the tokenizer that belongs to the model".into(),
            });
        }
        if self.tokenizer.cuts_left() {
            // Moving the kept tokens takes time, so it is done for many at once.
            if self.is_done || self.encoding.len() / 2 > self.most {
                self.encoding.keep_last(self.most);
            }
        } else {
            self.encoding.truncate(self.most);
        }
        Ok(!self.is_done)
    }

    /// The number of tokens of the text so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The kept ids so far.
    pub fn ids(&self) -> &[u32] {
        &self.encoding.ids
    }

    /// Returns the kept tokens once the whole text is tokenized.
    pub fn finish(self) -> Encoding {
        self.encoding
    }
}

impl Tokenizer {
    /// Tokenizes one text, without special tokens around it. Special tokens inside the text, such as a literal `[SEP]`, become those tokens, as in
    /// Hugging Face tokenizers.
    ///
    /// # Errors
    /// [`Error::Input`] if the text contains an added token that the model has no row for; [`Error::Tokenizer`] if a vocabulary without an
    /// unknown token cannot spell the text; [`Error::Memory`].
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        let mut encoder = self.encoder(text);
        while encoder.step()? {}
        Ok(encoder.finish())
    }

    /// Tokenizes a text in steps, for callers that must do other work in between.
    pub fn encoder<'a>(&'a self, text: &'a str) -> Encoder<'a> {
        Encoder::new(self, text)
    }

    /// Returns the first `most` tokens of a text, or the last ones if [`cuts_left`](Self::cuts_left). Memory grows with `most`, not with the text. For the
    /// first tokens, it reads only the text that they need.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    pub fn encode_first(&self, text: &str, most: usize) -> Result<Encoding> {
        let mut encoder = self.encoder(text).keeping(most);
        while (self.cuts_left() || encoder.count() < most) && encoder.step()? {}
        Ok(encoder.finish())
    }

    /// Returns all tokens of a text with at most `most` tokens, or `None` for a longer text, without reading all of it.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode).
    pub fn encode_short(&self, text: &str, most: usize) -> Result<Option<Encoding>> {
        let mut encoder = self.encoder(text);
        while encoder.count() <= most && encoder.step()? {}
        Ok((encoder.count() <= most).then(|| encoder.finish()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};
    use tokenizers::Normalizer as _;

    use super::*;
    use crate::text::TokenizerFiles;

    const ROWS: usize = 2000;

    fn base() -> Value {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text/json/tokenizer.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// The same file for this crate, without any class's rules, and for the `tokenizers` crate.
    fn both(file: &Value) -> (Tokenizer, tokenizers::Tokenizer) {
        let bytes = serde_json::to_vec(file).unwrap();
        let config: &[u8] = br#"{"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {}}"#;
        let files = TokenizerFiles { json: Some(&bytes), config: Some(config), ..Default::default() };
        let mut theirs = tokenizers::Tokenizer::from_bytes(&bytes).unwrap();
        theirs.with_truncation(None).unwrap().with_padding(None);
        (Tokenizer::from_files(&files, ROWS).unwrap(), theirs)
    }

    fn pieces(tokenizer: &Tokenizer, text: &str, piece: usize) -> Encoding {
        let mut encoder = tokenizer.encoder(text).in_pieces(piece);
        while encoder.step().unwrap() {}
        encoder.finish()
    }

    /// `None` if the crate panics. Its rules have a gap for white space that two tokens include.
    fn theirs(tokenizer: &tokenizers::Tokenizer, text: &str) -> Option<Encoding> {
        let encode = std::panic::AssertUnwindSafe(|| tokenizer.encode(text, false).unwrap());
        let got = std::panic::catch_unwind(encode).ok()?;
        Some(Encoding {
            ids: got.get_ids().to_vec(),
            offsets: got.get_offsets().iter().map(|(start, end)| *start..*end).collect(),
            words: got.get_word_ids().iter().map(|word| word.unwrap()).collect(),
        })
    }

    const SOME: [&str; 44] = [
        "the",
        "cat",
        " ",
        "  ",
        "\n",
        "\t",
        "a",
        "ab",
        "b",
        ".",
        "[MASK]",
        "[SEP]",
        "<new>",
        "New",
        "漢",
        "字",
        "é",
        "e\u{301}",
        "\u{301}",
        "\u{323}\u{308}",
        "\u{308}\u{323}",
        "ạ\u{308}",
        "\u{344}",
        "\u{f73}\u{f72}",
        "\u{302e}",
        "\u{1d165}\u{301}",
        "가",
        "각",
        "İ",
        "ẞ",
        "Σ",
        "\0",
        "\u{200b}",
        "\u{ad}",
        "\u{3000}",
        "\u{85}",
        "。",
        "¿",
        "豈",
        "\u{fffd}",
        "\u{1f469}\u{200d}\u{1f680}",
        "ﬁ",
        "½",
        "_",
    ];

    fn text() -> impl Strategy<Value = String> {
        let some = prop::sample::select(&SOME[..]).prop_map(str::to_owned);
        let any = any::<char>().prop_map(String::from);
        let long = (prop::sample::select(&SOME[..]), 90usize..120).prop_map(|(some, count)| some.repeat(count));
        prop::collection::vec(prop_oneof![20 => some, 4 => any, 1 => long], 0..40).prop_map(|parts| parts.concat())
    }

    fn token() -> impl Strategy<Value = Value> {
        let content = prop::sample::select(vec![
            " ",
            "a",
            "ab",
            "the",
            "the cat",
            "É",
            "e\u{301}",
            "漢",
            ".",
            "..",
            "<new>",
            "New",
            " x",
            "A\u{301}b",
            "\t",
            "½",
            "\u{301}",
        ]);
        (content, any::<[bool; 5]>()).prop_map(|(content, [single_word, lstrip, rstrip, normalized, special])| {
            json!({"id": 0, "content": content, "single_word": single_word, "lstrip": lstrip, "rstrip": rstrip,
                "normalized": normalized, "special": special})
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// With any added tokens and any pieces, the tokens equal those of the crate for the whole text.
        #[test]
        fn tokens_are_the_crates(
            added in prop::collection::vec(token(), 0..5),
            flags in any::<[bool; 3]>(),
            accents in any::<Option<bool>>(),
            text in text(),
            is_lowercased in any::<bool>(),
            piece in 1usize..60,
        ) {
            let mut file = base();
            // If a token is listed twice with different flags, the crate searches for it with both, and this crate with
            // the last ones.
            let mut contents = std::collections::HashSet::new();
            let added = added.into_iter().filter(|token| contents.insert(token["content"].to_string()));
            file["added_tokens"].as_array_mut().unwrap().extend(added);
            let [clean, chinese, lowercase] = flags;
            file["normalizer"] = json!({"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese,
                "strip_accents": accents, "lowercase": lowercase});
            let (mut tokenizer, mut crates) = both(&file);
            if is_lowercased {
                // As sentence-transformers does for `do_lower_case`.
                tokenizer = tokenizer.lowercased();
                let own = crates.get_normalizer().unwrap().clone();
                crates.with_normalizer(Some(tokenizers::normalizers::Sequence::new(vec![tokenizers::normalizers::Lowercase.into(), own])));
            }
            let whole = tokenizer.encode(&text).unwrap();
            prop_assert_eq!(&pieces(&tokenizer, &text, piece), &whole);
            // If the normalized content of a token is empty, the crate finds it between all bytes and panics within a
            // character. Here it matches nothing.
            let is_gone = |token: &Value| {
                let mut content = tokenizers::NormalizedString::from(token["content"].as_str().unwrap());
                crates.get_normalizer().unwrap().normalize(&mut content).unwrap();
                token["normalized"] == true && content.is_empty()
            };
            let comparable = !file["added_tokens"].as_array().unwrap().iter().any(is_gone);
            if let Some(theirs) = theirs(&crates, &text).filter(|_| comparable) {
                prop_assert_eq!(&whole.ids, &theirs.ids);
                // A mark that lower case splits off may change places with the next one, which moves offsets. Nobody reads them there.
                prop_assert!(is_lowercased || whole == theirs, "{whole:?} {theirs:?}");
            }
        }
    }

    /// Every code point alone, in a word, and beside an added token that must stand alone.
    #[test]
    fn every_code_point_is_the_crates() {
        let mut file = base();
        let token = json!({"id": 0, "content": "<x>", "single_word": true, "lstrip": false, "rstrip": false, "normalized": false,
            "special": false});
        file["added_tokens"].as_array_mut().unwrap().push(token);
        let (tokenizer, crates) = both(&file);
        let text = |c: char| format!("{c} a{c}b ẹ{c}\u{301} {c}<x>");
        let is_same = |text: &str| Some(tokenizer.encode(text).unwrap()) == theirs(&crates, text);
        let all: Vec<char> = ('\0'..=char::MAX).collect();
        let chunks = all.chunks(400).filter(|chunk| !is_same(&chunk.iter().map(|c| text(*c)).collect::<String>()));
        let wrong: Vec<char> = chunks.flatten().copied().filter(|c| !is_same(&text(*c))).collect();
        assert!(wrong.is_empty(), "{wrong:x?}");
    }

    fn linear(file: &Value, text: &str) -> Encoding {
        let begun = std::time::Instant::now();
        let (tokenizer, _) = both(file);
        let encoding = tokenizer.encode(text).unwrap();
        // Code with quadratic time would take hours.
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
        encoding
    }

    /// Each of these once took quadratic time: white space before a token, white space after it, a token that may begin
    /// at every byte.
    #[test]
    fn long_texts_take_linear_time() {
        for flags in [
            ["lstrip"].as_slice(),
            &["rstrip"],
            &["lstrip", "rstrip"],
            &["lstrip", "normalized"],
            &["rstrip", "normalized"],
        ] {
            let mut file = base();
            let mut token = json!({"id": 0, "content": " ", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": false});
            flags.iter().for_each(|flag| token[*flag] = true.into());
            file["added_tokens"].as_array_mut().unwrap().push(token);
            linear(&file, &" ".repeat(1 << 20));
            linear(&file, &"\u{a0}".repeat(1 << 20));
            linear(&file, &"a ".repeat(1 << 19));
        }
        let file = base();
        assert_eq!(linear(&file, &"a".repeat(4 << 20)).offsets.first(), Some(&(0..4 << 20)));
        assert_eq!(linear(&file, &".".repeat(1 << 20)).len(), 1 << 20);
        assert_eq!(linear(&file, &"e\u{301}".repeat(1 << 20)).len(), 1);
        assert_eq!(linear(&file, &"\u{301}".repeat(1 << 20)).len(), 0);
    }

    #[test]
    fn what_is_kept_is_the_first_or_the_last_of_the_text() {
        let (tokenizer, _) = both(&base());
        let mut left = base();
        left["truncation"]["direction"] = "Left".into();
        let (from_the_end, _) = both(&left);
        let text = "the cat sat on a mat. ".repeat(3000);
        let whole = tokenizer.encode(&text).unwrap();
        for most in [0, 1, 7, 512] {
            let mut first = whole.clone();
            first.truncate(most);
            assert_eq!(tokenizer.encode_first(&text, most).unwrap(), first);
            let mut last = whole.clone();
            last.keep_last(most);
            assert_eq!(from_the_end.encode_first(&text, most).unwrap(), last);
            assert_eq!(tokenizer.encode_short(&text, most).unwrap(), None);
        }
        assert_eq!(tokenizer.encode_short(&text, whole.len()).unwrap(), Some(whole));
    }
}
