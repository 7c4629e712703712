//! Real files: what is read, reported and omitted.

use super::*;

/// The classes of the model that was trained.
fn labels(place: &Place) -> Vec<String> {
    let config: Value = serde_json::from_slice(&std::fs::read(place.out().join("config.json")).unwrap()).unwrap();
    let names = config["id2label"].as_object().unwrap();
    names.values().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn words_and_tags_are_found_in_any_column() {
    for (name, text, wanted) in [
        (
            "uner.iob2",
            "# sent_id = 1\n# text = Ada was in Paris\n1\tAda\tB-PER\t-\tsomebody\n2\twas\tO\t-\t-\n3\tParis\tB-LOC\t-\t-\n",
            "words from column 2, tags from column 3 of 5 columns; column 1 numbers the words",
        ),
        (
            "wikineural.conllu",
            "0\tAda\tB-PER\n1\twas\tO\n2\tParis\tB-LOC\n",
            "words from column 2, tags from column 3 of 3",
        ),
        (
            "germeval.tsv",
            "#\thttp://x\t[2009-10-17]\n1\tAda\tB-PER\tO\n2\twas\tO\tO\n3\tParis\tB-LOC\tB-OTH\n",
            "words from column 2, tags from column 3 of 4",
        ),
        (
            "spaces.txt",
            "# a comment\n-DOCSTART- -X- -X- O\n\nAda NNP B-NP B-PER\nwas VBD O O\nParis NNP B-NP B-LOC\n",
            "tags from column 4 of 4",
        ),
        (
            "windows.bio",
            "\u{feff}Ada\tB-PER\r\nwas\tO\r\n\tO\r\nParis\tB-LOC\r\n",
            "1 tags without a word are left out, the first in line 3",
        ),
        (
            "rows.jsonl",
            "{\"tokens\": [\"Ada\", \"was\", \"Paris\"], \"ner_tags\": [\"B-PER\", \"O\", \"B-LOC\"]}\n",
            "1 sentences",
        ),
    ] {
        let place = Place::new();
        place.put(name, text);
        let ran = place.train("tag", name, &["--max-steps", "1"]);
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.err);
        assert_eq!(labels(&place), ["B-LOC", "B-PER", "O"], "{name}");
        assert!(ran.err.contains(wanted), "{name}: {}", ran.err);
        assert!(ran.err.contains("1 sentences of 3 words with 3 tags: 1 B-LOC, 1 B-PER, 1 O"), "{name}: {}", ran.err);
    }
    let place = Place::new();
    place.put("parts.tsv", "1\tAda\tNOUN\tB-PER\n2\twas\tVERB\tO\n");
    let ran = place.train("tag", "parts.tsv", &["--max-steps", "1", "--columns", "word=2,tag=3"]);
    assert_eq!((ran.code, labels(&place)), (Some(0), vec!["NOUN".into(), "VERB".into()]), "{}", ran.err);
    let other = place.train("tag", "parts.tsv", &["--max-steps", "1", "--columns", "word=2,tag=4", "--resume"]).error();
    assert!(other.0 == "option" && other.1.contains("columns was"), "{}", other.1);
    place.put("numbers.conll", "1\tO\n2\tO\n3\tB-PER\n");
    let out = place.at("none");
    let ran = place.train("tag", "numbers.conll", &["--output", path(&out)]);
    assert!(ran.error().1.contains("line 1: its first column numbers the lines"), "{}", ran.err);
}

#[test]
fn columns_of_texts_are_said_or_refused() {
    let place = Place::new();
    place.put("pairs.jsonl", "{\"premise\": \"the film\", \"hypothesis\": \"a film\", \"label\": 1}\n{\"premise\": \"red\", \"hypothesis\": \"cold\", \"label\": 0}\n");
    let ran = place.train("classify", "pairs.jsonl", &["--max-steps", "1"]);
    assert!(ran.code == Some(0) && ran.err.contains("columns text=premise,pair=hypothesis,label=label"), "{}", ran.err);
    for (name, text, words) in [
        ("lost.tsv", "text\ttext_b\tlabel\na\tb\t1\n", "\"text_b\" is not a known field"),
        ("nan.tsv", "text\tlabel\na\t1.5\nb\t2.5\nc\tnan\n", "line 4: the label \"nan\" is not a finite number"),
        ("inf.csv", "text,label\na,1\nb,inf\nc,2\n", "line 3: the label \"inf\" is not a finite number"),
        ("empty.csv", "text,label\na,1\nb,\nc,2\n", "line 3: the label \"\" is not a finite number"),
    ] {
        place.put(name, text);
        let (code, message) = place.train("classify", name, &["--output", path(&place.at("none"))]).error();
        assert!(code == "data" && message.contains(words), "{name}: {message}");
    }
}

#[test]
fn answers_that_are_not_where_they_are_said_to_be_are_left_out() {
    let place = Place::new();
    let row = |id: Value, start: i64| {
        serde_json::json!({"id": id, "context": "it was in paris", "question": "where was it?",
            "answers": {"text": ["paris"], "answer_start": [start]}})
        .to_string()
            + "\n"
    };
    let lost: String = (1..=5).map(|i| row(i.into(), 0)).collect();
    let data = place.put("train.jsonl", &format!("{}{lost}", row("a".into(), 10)));
    let ran = place.train("qa", "train.jsonl", &["--max-steps", "1", "--eval", path(&data)]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let said = "left out: 5 questions have no answer where answer_start says: \"1\", \"2\", \"3\", …";
    assert!(ran.err.contains(said), "{}", ran.err);
    let eval = run(&["eval", "squad", "--data", path(&data), "--json", "--device", "cpu", "--quiet"]).lines();
    assert_eq!(eval[0], serde_json::json!({"exact_match": 100.0, "f1": 100.0, "total": 6}));
}

/// A run that was killed before its last curves were drawn draws them when it is resumed, although it is finished.
#[test]
fn a_finished_run_has_its_curves() {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(8));
    assert_eq!(place.train("classify", "train.tsv", &["--max-steps", "2"]).code, Some(0));
    let curves = place.out().join("run/loss.svg");
    let drawn = std::fs::read(&curves).unwrap();
    std::fs::remove_file(&curves).unwrap();
    let ran = place.train("classify", "train.tsv", &["--max-steps", "2", "--resume"]);
    assert!(ran.code == Some(0) && ran.err.contains("finished already"), "{}", ran.err);
    assert_eq!(std::fs::read(&curves).unwrap(), drawn);
}
