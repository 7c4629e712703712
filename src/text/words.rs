//! The words of a text, as BERT tokenizers split it before they use a vocabulary.

use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::tokenizer::pre_tokenizer::{OffsetType, PreTokenizedString};
use tokenizers::{Normalizer, OffsetReferential, PreTokenizer};

/// The ranges between white space, punctuation and Chinese characters, and each punctuation sign and Chinese character
/// alone.
pub(crate) fn words(text: &str) -> Vec<&str> {
    let mut cut = PreTokenizedString::from(text);
    let spaced = BertNormalizer::new(false, true, Some(false), false);
    let done = cut.normalize(|part| spaced.normalize(part)).and_then(|()| BertPreTokenizer.pre_tokenize(&mut cut));
    if done.is_err() {
        // Neither step can fail.
        return text.split_whitespace().collect();
    }
    let places = cut.get_splits(OffsetReferential::Original, OffsetType::Byte).into_iter().map(|(_, place, _)| place);
    places.filter_map(|(start, end)| text.get(start..end)).filter(|word| !word.trim().is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_cut_as_bert_cuts_them() {
        assert_eq!(words("Zoë’s in  New York-City."), ["Zoë", "’", "s", "in", "New", "York", "-", "City", "."]);
        // Signs that are not punctuation, and marks on letters, stay where they are.
        assert_eq!(
            words("हिन्दी cost 5€ at 20°C, ca\u{300}t $3"),
            ["हिन्दी", "cost", "5€", "at", "20°C", ",", "ca\u{300}t", "$", "3"]
        );
        assert_eq!(words("in 東京 now"), ["in", "東", "京", "now"]);
        assert_eq!(words(" \n"), [""; 0]);
    }
}
