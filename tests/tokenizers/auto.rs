//! Compares tokenizers with contradictory, missing or different files with AutoTokenizer of transformers
//! (tests/oracle/auto.py).

use cloze::Error;
use cloze::tasks::text_model::{TextPair, sequence};
use cloze::text::{Offsets, Tokenizer, TokenizerFiles};
use serde_json::{Map, Value, json};

use crate::support::fixture;

/// The number of rows of a case's embedding table, from its config.json.
fn rows(case: &Value) -> usize {
    case["files"]["config.json"]["vocab_size"].as_u64().unwrap() as usize
}

struct Cases {
    shared: Value,
    cases: Vec<Value>,
}

impl Cases {
    fn read() -> Self {
        let mut all: Vec<Value> = serde_json::from_slice(&std::fs::read(fixture("auto.json")).unwrap()).unwrap();
        let shared = all.remove(0);
        Self { shared, cases: all }
    }

    fn named(&self, name: &str) -> &Value {
        self.cases.iter().find(|case| case["name"] == name).unwrap()
    }

    /// The files of a case, by their names.
    fn files(&self, case: &Value) -> Map<String, Value> {
        let mut files = case["files"].as_object().unwrap().clone();
        let left_out = files.remove("left out");
        if let Some(changes) = files.remove("tokenizer.json") {
            let mut file = self.shared["base"].as_object().unwrap().clone();
            file.extend(changes.as_object().unwrap().clone());
            for section in left_out.unwrap().as_array().unwrap() {
                file.remove(section.as_str().unwrap());
            }
            let vocab = &mut file["model"]["vocab"];
            *vocab = self.shared["vocabs"][vocab.as_str().unwrap()].clone();
            files.insert("tokenizer.json".into(), file.into());
        }
        if let Some(vocab) = files.get_mut("vocab.txt") {
            let ids = self.shared["vocabs"]["vocab"].as_object().unwrap();
            let mut tokens: Vec<_> = ids.iter().map(|(token, id)| (id.as_u64().unwrap(), token.as_str())).collect();
            tokens.sort_unstable();
            *vocab = tokens.into_iter().map(|(_, token)| format!("{token}\n")).collect::<String>().into();
        }
        files
    }

    fn value(&self, case: &Value, key: &str, at: usize) -> &Value {
        &self.shared["values"][key][at][case[key][at].as_u64().unwrap() as usize]
    }

    fn texts(&self) -> impl Iterator<Item = (usize, &str)> {
        self.shared["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).enumerate()
    }
}

fn load(files: &Map<String, Value>, rows: usize) -> Result<Tokenizer, Error> {
    let bytes = |name: &str| match files.get(name)? {
        Value::String(text) => Some(text.clone().into_bytes()),
        json => Some(serde_json::to_vec(json).unwrap()),
    };
    let names = [
        "tokenizer.json",
        "vocab.txt",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "config.json",
    ];
    let all = names.map(bytes);
    let [json, vocab, config, special_tokens_map, added_tokens, model] = all.each_ref().map(Option::as_deref);
    Tokenizer::from_files(&TokenizerFiles { json, vocab, config, special_tokens_map, added_tokens, model }, rows)
}

#[test]
fn every_directory_gives_what_auto_tokenizer_gives() {
    let cases = Cases::read();
    assert!(cases.cases.len() >= 100);
    let mut wrong = Vec::new();
    for case in &cases.cases {
        let name = case["name"].as_str().unwrap();
        let tokenizer = load(&cases.files(case), rows(case)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut check = |what: &str, got: Value, want: &Value| {
            if got != *want {
                wrong.push(format!("{name}: {what}:\n  {got}\n  {want}"));
            }
        };
        for (at, text) in cases.texts() {
            let encoding = tokenizer.encode(text).unwrap();
            let points = Offsets::in_code_points(text);
            let places = encoding.offsets.iter().flat_map(|r| [points.at(r.start), points.at(r.end)]);
            let places: Vec<_> = [0, 0].into_iter().chain(places).chain([0, 0]).collect();
            let got = json!([tokenizer.single(&encoding.ids).ids, places]);
            check(text, got, cases.value(case, "texts", at));
            let got = [false, true].map(|skip_special| tokenizer.decode(&encoding.ids, skip_special));
            check(text, json!(got), cases.value(case, "decoded", at));
        }
        for (at, pair) in cases.shared["pairs"].as_array().unwrap().iter().enumerate() {
            let [a, b] = [0, 1].map(|at| tokenizer.encode(pair[at].as_str().unwrap()).unwrap().ids);
            let got = tokenizer.pair(&a, &b);
            check("a pair", json!([got.ids, got.types]), cases.value(case, "pairs", at));
        }
        let texts = [
            ("the cat sat on a mat", None),
            ("the cat sat", Some("on a mat dog")),
            ("the cat sat on a mat", Some("a dog")),
        ];
        for (at, (text, pair)) in texts.into_iter().enumerate() {
            let input = TextPair { text: text.into(), pair: pair.map(str::to_owned) };
            check("cut", json!(sequence(&tokenizer, &input, 6).unwrap().ids), cases.value(case, "cut", at));
        }
        if !case["mask"].is_null() {
            check("mask", json!(tokenizer.special().mask), &case["mask"]);
        }
        check("the longest sequence", json!(tokenizer.model_max_length()), &case["max"]);
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong[..wrong.len().min(12)].join("\n"));
}

/// `small` tokens of a table that has fewer rows than the tokenizer has ids.
#[test]
fn an_added_token_beyond_the_table_is_refused_where_a_text_has_it() {
    let cases = Cases::read();
    let case = cases.named("only in the decoder");
    let size = cases.shared["vocabs"]["vocab"].as_object().unwrap().len();
    let tokenizer = load(&cases.files(case), size).unwrap();
    assert_eq!(tokenizer.encode("the cat").unwrap().len(), 2);
    let error = tokenizer.encode("the [E1] cat").unwrap_err();
    assert_eq!(error.code(), "input");
    assert!(error.to_string().contains(&format!("\"[E1]\", whose id {size}")), "{error}");
    let error = load(&cases.files(case), size - 1).unwrap_err();
    assert!(error.code() == "tokenizer" && error.to_string().contains("vocab_size"), "{error}");
}

/// Which of two tokens with one id is shown once depended on the order of a hash table.
#[test]
fn of_two_tokens_with_one_id_always_the_same_is_shown() {
    let cases = Cases::read();
    let mut files = cases.files(cases.named("usual"));
    let vocab = files["tokenizer.json"]["model"]["vocab"].as_object_mut().unwrap();
    for word in ["dog", "cat", "mat", "on", "sat"] {
        vocab.insert(word.into(), json!(7));
    }
    for _ in 0..20 {
        let tokenizer = load(&files, 1000).unwrap();
        assert_eq!(tokenizer.encode("dog cat mat").unwrap().ids, [7, 7, 7]);
        assert_eq!(tokenizer.id_to_token(7).as_deref(), Some("cat"));
    }
    // And so in an error.
    let vocab = files["tokenizer.json"]["model"]["vocab"].as_object_mut().unwrap();
    for word in ["dog", "cat", "mat"] {
        vocab.insert(word.into(), json!(2000));
    }
    for _ in 0..20 {
        let error = load(&files, 1000).unwrap_err().to_string();
        assert!(error.contains("\"cat\"") && error.contains("2000"), "{error}");
    }
}

/// The values are AutoTokenizer's. The order of the names is not that of the file.
#[test]
fn extra_special_tokens_are_numbered_in_the_order_of_the_file() {
    let cases = Cases::read();
    let mut files = cases.files(cases.named("usual"));
    let size = cases.shared["vocabs"]["vocab"].as_object().unwrap().len() as u32;
    for (extra, ids) in [
        (r#"{"z_token": "[E1]", "a_token": "[/E1]"}"#, [size, size + 1]),
        (r#"{"a_token": "[/E1]", "z_token": "[E1]"}"#, [size + 1, size]),
    ] {
        let config = format!(r#"{{"tokenizer_class": "BertTokenizer", "extra_special_tokens": {extra}}}"#);
        files.insert("tokenizer_config.json".into(), config.into());
        let tokenizer = load(&files, 1000).unwrap();
        assert_eq!(["[E1]", "[/E1]"].map(|token| tokenizer.token_to_id(token)), ids.map(Some), "{extra}");
    }
}

#[test]
fn what_is_malformed_beside_a_vocabulary_is_named() {
    let cases = Cases::read();
    let usual = cases.files(cases.named("vocab alone"));
    let fails = |file: &str, content: Value, says: &str| {
        let mut files = usual.clone();
        files.insert(file.into(), content);
        let error = load(&files, 1000).unwrap_err();
        let message = error.to_string();
        assert!(error.code() == "tokenizer" && message.contains(file) && message.contains(says), "{message}");
    };
    fails("added_tokens.json", json!({"[E1]": "x"}), "[E1]");
    fails("added_tokens.json", json!(["[E1]"]), "");
    fails("special_tokens_map.json", json!({"cls_token": 7}), "cls_token");
    fails("special_tokens_map.json", json!({"additional_special_tokens": "[E1]"}), "additional_special_tokens");
    fails("tokenizer_config.json", json!({"added_tokens_decoder": {"x": {"content": "a"}}}), "\"x\"");
    fails("tokenizer_config.json", json!({"added_tokens_decoder": []}), "added_tokens_decoder");
    fails("tokenizer_config.json", json!({"truncation_side": "up"}), "truncation_side");
    fails("tokenizer_config.json", json!({"do_lower_case": "no"}), "do_lower_case");
    let mut files = usual.clone();
    files.insert("tokenizer_config.json".into(), json!({"tokenizer_class": "BertJapaneseTokenizer"}));
    assert_eq!(load(&files, 1000).unwrap_err().code(), "unsupported");
}
