//! Compares tokens, offsets and decoded answers with transformers (tests/oracle/text.py), and tests broken tokenizer
//! files.

use std::path::{Path, PathBuf};

use cloze::Error;
use cloze::tasks::answer::{Answer, AnswerOptions, SpanLogits, Windowed};
use cloze::text::{Offsets, Tokenizer, TokenizerFiles};
use proptest::prelude::*;
use serde_json::Value;

/// More than any vocabulary of the fixtures.
const VOCAB: usize = 1000;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text")
}

fn json(name: &str) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(fixtures().join(name)).unwrap()).unwrap()
}

fn tokenizer(name: &str) -> Tokenizer {
    Tokenizer::load(&fixtures().join(name), VOCAB).unwrap()
}

#[test]
fn tokens_equal_the_fast_tokenizers() {
    for name in ["uncased", "cased", "plain", "json"] {
        let tokenizer = tokenizer(name);
        let texts = json("tokens.json");
        assert!(texts.len() > 200);
        for entry in texts {
            let text = entry["text"].as_str().unwrap();
            let encoding = tokenizer.encode(text).unwrap();
            let points = Offsets::in_code_points(text);
            let offsets = encoding.offsets.iter().flat_map(|r| [points.at(r.start), points.at(r.end)]);
            let got = serde_json::json!([encoding.ids, offsets.collect::<Vec<_>>(), encoding.words]);
            assert_eq!(got, entry[name], "{name}: {text:?}");
            assert!(encoding.offsets.iter().all(|r| text.get(r.clone()).is_some()), "{name}: {text:?}");
        }
    }
}

/// Files of `tokenizers` before 0.9 do not name the kind of their model, but its fields show it.
#[test]
fn a_model_without_a_type_is_told_by_its_fields() {
    let good: Value = serde_json::from_slice(&std::fs::read(fixtures().join("json/tokenizer.json")).unwrap()).unwrap();
    let load = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut file = good.clone();
        let model = file["model"].as_object_mut().unwrap();
        model.remove("type");
        change(model);
        let bytes = serde_json::to_vec(&file).unwrap();
        Tokenizer::from_files(&TokenizerFiles { json: Some(&bytes), ..Default::default() }, VOCAB)
    };
    let old = load(&|_| ()).unwrap();
    for entry in json("tokens.json") {
        let ids = old.encode(entry["text"].as_str().unwrap()).unwrap().ids;
        assert_eq!(serde_json::json!(ids), entry["json"][0]);
    }
    let fails = |change: &dyn Fn(&mut serde_json::Map<String, Value>), kind: &str| {
        let error = load(change).unwrap_err().to_string();
        assert!(error.contains(&format!("model of type {kind}")), "{error}");
    };
    fails(&|model| drop(model.insert("merges".into(), serde_json::json!(["a b"]))), "BPE");
    fails(&|model| drop(model.remove("max_input_chars_per_word")), "WordLevel");
    fails(&|model| drop(model.remove("vocab")), "none");
}

/// The first tokens of a text equal those of the whole text, wherever it is cut to get them.
#[test]
fn first_tokens_are_the_whole_texts() {
    let tokenizer = tokenizer("uncased");
    let strange = "the cat, é\u{301}! [SEP]漢字 unbelievably\u{200b}x \u{1f980}a".repeat(40);
    let runs = format!("{}the{}cat", "x".repeat(5000), " ".repeat(20_000));
    for text in [strange, runs, "a".repeat(50_000), "the ".repeat(3000), String::new()] {
        let whole = tokenizer.encode(&text).unwrap();
        for most in [0, 1, 2, 7, 60, 510] {
            let mut expected = whole.clone();
            expected.truncate(most);
            assert_eq!(tokenizer.encode_first(&text, most).unwrap(), expected, "{most} of {} bytes", text.len());
        }
    }
}

/// 270 awkward strings with the vocabularies of three published models (reduced to what those strings need).
#[test]
fn tricky_strings_equal_the_fast_tokenizers() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tricky");
    let read = |path: PathBuf| std::fs::read(path).unwrap();
    let strings: Vec<String> = serde_json::from_slice(&read(dir.join("strings.json"))).unwrap();
    assert!(strings.len() >= 200);
    for name in ["bert-base-uncased", "bert-base-multilingual-cased", "bert-base-chinese"] {
        let tokenizer = Tokenizer::load(&dir.join(name), 10_000).unwrap();
        let expected: Vec<(Vec<u32>, Vec<usize>)> =
            serde_json::from_slice(&read(dir.join(name).join("tokens.json"))).unwrap();
        assert_eq!(expected.len(), strings.len());
        for (text, (ids, offsets)) in strings.iter().zip(expected) {
            let encoding = tokenizer.encode(text).unwrap();
            let points = Offsets::in_code_points(text);
            let found: Vec<_> = encoding.offsets.iter().flat_map(|r| [points.at(r.start), points.at(r.end)]).collect();
            assert_eq!((encoding.ids, found), (ids, offsets), "{name}: {text:?}");
        }
    }
}

/// An answer of the pipeline: text, first and last code point, score.
pub fn answer(value: &Value) -> (&str, usize, usize, f64) {
    let number = |key: &str| value[key].as_u64().unwrap() as usize;
    (value["answer"].as_str().unwrap(), number("start"), number("end"), value["score"].as_f64().unwrap())
}

pub fn options(value: &Value) -> AnswerOptions {
    let number = |key: &str| value.get(key).map(|n| n.as_u64().unwrap() as usize);
    let flag = |key: &str| value.get(key).map(|b| b.as_bool().unwrap());
    AnswerOptions {
        top_k: number("top_k").unwrap_or(1),
        max_answer_tokens: number("max_answer_len").unwrap_or(15),
        no_answer: flag("handle_impossible_answer").unwrap_or(false),
        align_to_words: flag("align_to_words").unwrap_or(true),
        max_seq_len: number("max_seq_len"),
        doc_stride: number("doc_stride"),
    }
}

#[test]
fn answers_equal_the_pipelines_on_given_logits() {
    let tokenizer = tokenizer("uncased");
    let cases = json("decode.json");
    assert!(cases.len() >= 20);
    for case in cases {
        let context = case["context"].as_str().unwrap();
        let question = case["question"].as_str().unwrap();
        let options = options(&case["options"]);
        let windowed = Windowed::new(&tokenizer, question, context, 512, &options).unwrap();
        let numbers = |v: &Value| v.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
        let logits = case["logits"].as_array().unwrap();
        let logits: Vec<_> = logits.iter().map(|w| SpanLogits { start: numbers(&w[0]), end: numbers(&w[1]) }).collect();
        let got = windowed.answers(context, &logits, &options).unwrap();
        let want: Vec<_> = case["answers"].as_array().unwrap().iter().map(answer).collect();
        let what = format!("{question:?} {context:?} {options:?}");
        same_answers(context, &got, &want, 1e-6, &what);
    }
}

pub fn same_answers(context: &str, got: &[Answer], want: &[(&str, usize, usize, f64)], tolerance: f64, what: &str) {
    let points = Offsets::in_code_points(context);
    assert_eq!(got.len(), want.len(), "{what}: {got:?} {want:?}");
    for (got, (text, start, end, score)) in got.iter().zip(want) {
        assert_eq!((got.text.as_str(), points.at(got.start), points.at(got.end)), (*text, *start, *end), "{what}");
        assert_eq!(&context[got.start..got.end], got.text);
        assert!((got.score - score).abs() <= tolerance, "{what}: {} {score}", got.score);
    }
}

#[test]
fn what_cannot_be_asked_is_an_error() {
    let tokenizer = tokenizer("uncased");
    let ask = |question: &str, context: &str, options: AnswerOptions| {
        let error = Windowed::new(&tokenizer, question, context, 64, &options).unwrap_err();
        (error.code(), error.to_string())
    };
    let check = |question: &str, context: &str, options: AnswerOptions, code: &str, says: &str| {
        let (got, message) = ask(question, context, options);
        assert_eq!(got, code, "{message}");
        assert!(message.contains(says), "{message}");
    };
    let usual = AnswerOptions::default;
    check("", "the cat", usual(), "input", "the question is empty");
    check("who?", "", usual(), "input", "the context is empty");
    check("who?", " \r\n\t\u{200b}", usual(), "input", "white space");
    check(&"who ".repeat(61), "the cat", usual(), "input", "leave no room");
    check("who?", "the cat", AnswerOptions { top_k: 0, ..usual() }, "option", "top_k");
    check("who?", "the cat", AnswerOptions { max_answer_tokens: 0, ..usual() }, "option", "max_answer_tokens");
    check("who?", "the cat", AnswerOptions { max_seq_len: Some(65), ..usual() }, "option", "max_seq_len");
    check("who?", "the cat", AnswerOptions { doc_stride: Some(64), ..usual() }, "option", "doc_stride");
    let long = "the cat ".repeat(60);
    check("who?", &long, AnswerOptions { doc_stride: Some(59), ..usual() }, "option", "cannot overlap by 59");
}

#[test]
fn logits_that_are_not_finite_are_an_error() {
    let tokenizer = tokenizer("uncased");
    let windowed = Windowed::new(&tokenizer, "who", "the cat", 64, &AnswerOptions::default()).unwrap();
    let logits = SpanLogits { start: vec![f32::NAN; 6], end: vec![0.0; 6] };
    let error = windowed.answers("the cat", &[logits], &AnswerOptions::default()).unwrap_err();
    assert_eq!(error.code(), "not_finite");
}

const NO_TOKENIZER: &str = "there is neither tokenizer.json nor vocab.txt";

#[test]
fn tokenizer_errors_name_the_file_and_the_mend() {
    let good = std::fs::read_to_string(fixtures().join("json/tokenizer.json")).unwrap();
    let json = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        let changed = good.replace(from, to);
        Tokenizer::from_files(&TokenizerFiles { json: Some(changed.as_bytes()), ..Default::default() }, VOCAB)
    };
    let check = |result: Result<Tokenizer, Error>, code: &str, says: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    };
    check(json("WordPiece", "BPE"), "unsupported", "tokenizer.json: model of type BPE");
    check(json("BertNormalizer", "NFC"), "unsupported", "normalizer of type NFC");
    check(json("BertPreTokenizer", "Whitespace"), "unsupported", "pre_tokenizer of type Whitespace");
    check(json("TemplateProcessing", "RobertaProcessing"), "unsupported", "post_processor of type RobertaProcessing");
    check(json(r#""id":"B""#, r#""id":"A""#), "unsupported", "post_processor other than");
    check(
        json(r#""post_processor":{"#, r#""post_processor":null,"x":{"#),
        "unsupported",
        "post_processor of type none",
    );
    check(json(r#""single":["#, r#""single":[],"x":["#), "unsupported", "post_processor other than");
    check(json(r#""decoder":{"type":"WordPiece""#, r#""decoder":{"type":"BPE""#), "unsupported", "decoder of type BPE");
    check(json(r#""max_input_chars_per_word":100"#, r#""max_input_chars_per_word":4000000000"#), "unsupported", "100");
    check(json(r#""version""#, "version"), "tokenizer", "line 1");
    check(json(r#""the":5"#, r#""the":-5"#), "tokenizer", "section model");
    check(json(r#""the":5"#, r#""the":1000"#), "tokenizer", r#"token "the" has id 1000"#);

    let vocab = |vocab: &[u8], config: &[u8]| {
        let files = TokenizerFiles { vocab: Some(vocab), config: Some(config), ..Default::default() };
        Tokenizer::from_files(&files, VOCAB)
    };
    let small = b"[PAD]\n[UNK]\n[CLS]\n[SEP]\nthe\n";
    assert_eq!(vocab(small, b"{}").unwrap().encode("The x").unwrap().ids, [4, 1]);
    assert_eq!(vocab(b"[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nthe", b"{}").unwrap().encode("the").unwrap().ids, [4]);
    check(vocab(b"[PAD]\n[UNK]\n[SEP]\n", b"{}"), "tokenizer", "vocab.txt: the vocabulary has no [CLS]");
    check(vocab(b"[PAD]\n\xff\n", b"{}"), "tokenizer", "vocab.txt: it is not UTF-8 at byte 6");
    check(vocab(small, br#"{"do_lower_case": 3}"#), "tokenizer", "tokenizer_config.json");
    check(vocab(small, br#"{"tokenizer_class": "BertJapaneseTokenizer"}"#), "unsupported", "BertJapaneseTokenizer");
    check(Tokenizer::from_files(&TokenizerFiles::default(), VOCAB), "tokenizer", NO_TOKENIZER);
    check(Tokenizer::load(&fixtures(), VOCAB), "tokenizer", NO_TOKENIZER);
    check(Tokenizer::load(&fixtures().join("json"), 20), "tokenizer", "vocab_size is 20");
}

#[test]
fn special_token_names_come_from_the_config() {
    let files = TokenizerFiles {
        json: None,
        vocab: Some(b"<p>\n<u>\n<c>\n<s>\nthe\n"),
        config: Some(
            br#"{"cls_token": "<c>", "sep_token": {"content": "<s>", "special": true}, "pad_token": "<p>", "unk_token": "<u>", "mask_token": null}"#,
        ),
        ..Default::default()
    };
    let tokenizer = Tokenizer::from_files(&files, 5).unwrap();
    let special = tokenizer.special();
    assert_eq!((special.cls, special.sep, special.pad, special.unk, special.mask), (2, 3, 0, 1, None));
    let pair = tokenizer.pair(&tokenizer.encode("the").unwrap().ids, &tokenizer.encode("x<s>").unwrap().ids);
    assert_eq!((pair.ids, pair.types), (vec![2, 4, 3, 1, 3, 3], vec![0, 0, 0, 1, 1, 1]));
    assert_eq!(tokenizer.single(&[4]).ids, [2, 4, 3]);
}

/// Changes a file: replaces, removes and repeats bytes.
fn mutate(mut bytes: Vec<u8>, edits: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    for (at, kind, byte) in edits {
        if bytes.is_empty() {
            break;
        }
        let at = at.index(bytes.len());
        let end = (at + usize::from(*byte)).min(bytes.len());
        match kind % 5 {
            0 => bytes[at] = *byte,
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ => bytes[at] = b"0123456789{}[]\",:-enullt"[usize::from(*byte) % 24],
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Any contents of the files give an error that names one of them, or a tokenizer that works as documented.
    #[test]
    fn broken_files_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 1..6),
        which in 0usize..3,
        text in "\\PC{0,40}|[a-zA-Z<>\\[\\] \u{301}漢\u{1f980}]{0,40}",
    ) {
        let read = |name: &str| std::fs::read(fixtures().join(name)).unwrap();
        let mut files = [read("json/tokenizer.json"), read("uncased/vocab.txt"), read("uncased/tokenizer_config.json")];
        files[which] = mutate(std::mem::take(&mut files[which]), &edits);
        let [json, vocab, config] = &files;
        let json = if which == 0 { Some(json.as_slice()) } else { None };
        match Tokenizer::from_files(&TokenizerFiles { json, vocab: Some(vocab), config: Some(config), ..Default::default() }, VOCAB) {
            Ok(tokenizer) => {
                let encoding = tokenizer.encode(&text).unwrap();
                prop_assert!(encoding.ids.iter().all(|id| (*id as usize) < VOCAB));
                prop_assert!(encoding.offsets.iter().all(|r| text.get(r.clone()).is_some()));
                prop_assert!(encoding.words.is_sorted());
            }
            Err(error) => {
                let names = ["tokenizer.json", "vocab.txt", "tokenizer_config.json"];
                prop_assert!(matches!(error.code(), "tokenizer" | "unsupported"), "{}", error);
                prop_assert!(names.iter().any(|name| error.to_string().contains(name)), "{}", error);
            }
        }
    }

    /// Windows cover the context, overlap as requested, and fit.
    #[test]
    fn windows_cover_the_context(question in 0usize..20, context in 1usize..400, length in 4usize..70, stride in 0usize..70) {
        use cloze::text::windows::{WindowOptions, cut};
        let options = WindowOptions { max_seq_len: length, doc_stride: Some(stride) };
        let Ok(windows) = cut(question, context, &options) else {
            let room = length.saturating_sub(question + 3);
            // More than 256 windows with little new in each are refused.
            prop_assert!(context > room && (stride >= room || (context - room) / (room - stride) >= 255));
            return Ok(());
        };
        prop_assert_eq!((windows[0].start, windows.last().unwrap().end), (0, context));
        prop_assert!(windows.iter().all(|w| !w.is_empty() && w.len() + question + 3 <= length));
        for pair in windows.windows(2) {
            prop_assert_eq!(pair[0].end - pair[1].start, stride);
            prop_assert!(pair[0].end < pair[1].end);
        }
    }
}

/// For any number of requested answers, a long text does not take all memory.
#[test]
fn an_absurd_number_of_answers_is_refused() {
    let tokenizer = tokenizer("uncased");
    let context = (0..8000).map(|n| format!("{n} ")).collect::<String>();
    let options = AnswerOptions { top_k: usize::MAX, max_answer_tokens: usize::MAX, ..AnswerOptions::default() };
    let windowed = Windowed::new(&tokenizer, "who", &context, 512, &options).unwrap();
    let logits: Vec<SpanLogits> = windowed
        .sequences(&tokenizer)
        .map(|s| SpanLogits { start: vec![0.0; s.ids.len()], end: vec![0.0; s.ids.len()] })
        .collect();
    // Not unwrapped, because the answers would fill the log.
    let error = windowed.answers(&context, &logits, &options).err().unwrap();
    assert!(error.code() == "option" && error.to_string().starts_with("top_k"), "{error}");
    let few = AnswerOptions { top_k: 3, ..options };
    assert_eq!(windowed.answers(&context, &logits, &few).unwrap().len(), 3);
}
