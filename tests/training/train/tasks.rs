//! Every task, end to end: from files to a model that has learnt something and that its command loads.

use super::*;

/// Checks what every run leaves behind, and that it learnt.
fn check(place: &Place, ran: &Ran, architecture: &str) -> Value {
    let [summary] = &ran.lines()[..] else { panic!("one line: {}", ran.out) };
    let out = place.out();
    let config: Value = serde_json::from_slice(&std::fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(config["architectures"], serde_json::json!([architecture]));
    for file in ["model.safetensors", "vocab.txt", "run/config.json", "run/checkpoint.safetensors", "run/loss.svg"] {
        assert!(out.join(file).is_file(), "{file}");
    }
    let losses = place.losses();
    let steps = summary["steps"].as_u64().unwrap() as usize;
    assert_eq!(losses.len(), steps);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..5]), mean(&losses[steps - 5..]));
    assert!(last < 0.6 * first, "the loss fell from {first} to {last}");
    let names: Vec<_> = std::fs::read_dir(place.0.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{names:?}");
    summary.clone()
}

#[test]
fn texts_are_classified() {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(64));
    let dev = place.put("dev.tsv", &mood_tsv(90));
    let more = ["--eval", path(&dev), "--epochs", "16", "--lr", "5e-3", "--batch-tokens", "128", "--accumulate", "2"];
    let ran = place.train("classify", "train.tsv", &more);
    let summary = check(&place, &ran, "BertForSequenceClassification");
    assert!(ran.err.contains("dropped: the base's head for masked language modelling"), "{}", ran.err);
    assert!(ran.err.contains("new, from the seed: ") && ran.err.contains("classifier.weight"), "{}", ran.err);
    assert!(score(&summary, "accuracy") > 0.9 && score(&summary, "f1") > 0.9, "{summary}");
    let evaluations: Vec<Value> = place.log().into_iter().filter(|line| line["eval"].is_object()).collect();
    assert_eq!(evaluations.len(), 16, "one an epoch");
    let best = evaluations.iter().rev().find(|line| line["best"] == true).unwrap();
    assert_eq!((&best["step"], &best["eval"]), (&summary["best"]["step"], &summary["best"]["scores"]));
    assert!(place.out().join("run/metrics.svg").is_file());
    // The directory has the model that was evaluated.
    let lines: String = moods(90)
        .fold(String::new(), |lines, (text, _)| lines + &serde_json::json!({ "text": text }).to_string() + "\n");
    let input = place.put("in.jsonl", &lines);
    let out = place.out();
    let said = run(&["classify", "--model", path(&out), "--input", path(&input), "--json", "--device", "cpu"]).lines();
    let right = said
        .iter()
        .zip(moods(90))
        .filter(|(line, (_, is_good))| line["result"][0]["label"] == if *is_good { "good" } else { "bad" });
    assert!((right.count() as f64 / 90.0 - score(&summary, "accuracy")).abs() < 1e-9, "{}", said[0]);
    // A head for the same classes is kept.
    let again = Place::new();
    again.put("train.tsv", &mood_tsv(64));
    let ran = again.train("classify", "train.tsv", &["--model", path(&out), "--max-steps", "6"]);
    assert!(ran.code == Some(0) && !ran.err.contains("new") && !ran.err.contains("dropped"), "{}", ran.err);
    assert!(again.losses()[0] < 0.4, "{:?}", again.losses());
}

#[test]
fn texts_are_scored_and_have_several_labels() {
    let place = Place::new();
    let rows = moods(64).map(|(text, is_good)| format!("\"{text}, or not\",{}\n", if is_good { 1.5 } else { -1.5 }));
    place.put("train.csv", &(String::from("review,stars\n") + &rows.collect::<String>()));
    let data = place.at("train.csv");
    let columns = ["--columns", "text=review,label=stars", "--kind", "regression", "--eval", path(&data)];
    let often = ["--epochs", "30", "--lr", "5e-3", "--batch-tokens", "128", "--patience", "30"];
    let ran = place.train("classify", "train.csv", &[columns.as_slice(), &often].concat());
    let summary = check(&place, &ran, "BertForSequenceClassification");
    assert!(score(&summary, "pearson") > 0.8, "{summary}");
    let out = place.out();
    let of = |text: &str| {
        run(&["classify", text, "--model", path(&out), "--json", "--device", "cpu"]).lines()[0]["score"]
            .as_f64()
            .unwrap()
    };
    assert!(of("the movie was great, or not") > of("the movie was terrible, or not") + 1.0);
    // The classes of this base have default names. A regression must not use the first of them.
    let base = place.at("numbered");
    copy(&fixture("tasks").join("moods"), &base);
    let mut config: Value = serde_json::from_slice(&std::fs::read(base.join("config.json")).unwrap()).unwrap();
    config["id2label"] = serde_json::json!({ "0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2" });
    std::fs::write(base.join("config.json"), config.to_string()).unwrap();
    let out = place.at("valued");
    let more = ["--model", path(&base), "--output", path(&out), "--max-steps", "1"];
    let ran = place.train("classify", "train.csv", &[&columns[..4], &more].concat());
    assert!(ran.code == Some(0) && ran.err.contains("dropped: the base's head"), "{}", ran.err);

    let place = Place::new();
    let rows = moods(64).map(|(text, is_good)| {
        let labels: &[&str] = if is_good { &["fine", "nice"] } else { &["poor"] };
        serde_json::json!({ "text": text, "labels": labels }).to_string() + "\n"
    });
    let data = place.put("train.jsonl", &rows.collect::<String>());
    let often = ["--eval", path(&data), "--epochs", "30", "--lr", "5e-3", "--batch-tokens", "128"];
    let ran = place.train("classify", "train.jsonl", &often);
    let summary = check(&place, &ran, "BertForSequenceClassification");
    assert!(score(&summary, "f1") > 0.85, "{summary}");
    let config: Value = serde_json::from_slice(&std::fs::read(place.out().join("config.json")).unwrap()).unwrap();
    assert_eq!(config["problem_type"], "multi_label_classification");
    assert_eq!(config["id2label"], serde_json::json!({ "0": "fine", "1": "nice", "2": "poor" }));
}

#[test]
fn words_are_tagged() {
    let place = Place::new();
    let mut draw = Draw(5);
    let text: String = (0..64).fold(String::new(), |text, _| {
        let (city, verb) = (draw.one(&["paris", "london", "berlin"]), draw.one(&["lived", "was", "born"]));
        text + &format!("ada B-PER\nlovelace I-PER\n{verb} O\nin O\n{city} B-LOC\n. O\n\n")
    });
    let data = place.put("train.conll", &text);
    let ran = place.train(
        "tag",
        "train.conll",
        &["--eval", path(&data), "--epochs", "12", "--lr", "5e-3", "--batch-tokens", "128"],
    );
    let summary = check(&place, &ran, "BertForTokenClassification");
    assert!(score(&summary, "f1") > 0.9, "{summary}");
    let out = place.out();
    let found = run(&[
        "tag",
        "Ada Lovelace was in London.",
        "--model",
        path(&out),
        "--aggregation",
        "simple",
        "--json",
        "--device",
        "cpu",
    ])
    .lines();
    let entities: Vec<_> =
        found.iter().map(|e| (e["entity_group"].as_str().unwrap(), e["start"].as_u64().unwrap())).collect();
    assert_eq!(entities, [("PER", 0), ("LOC", 20)], "{found:?}");
}

#[test]
fn questions_are_answered() {
    let place = Place::new();
    let mut draw = Draw(7);
    let paragraphs: Vec<Value> = (0..48)
        .map(|i| {
            let (who, city) = (draw.one(&["ada", "he", "she"]), draw.one(&["paris", "london", "berlin", "tokyo"]));
            let context = format!("it was {}. {who} lived in {city}.", draw.one(&REST));
            let at = context.find(city).unwrap();
            let qas = serde_json::json!([{ "id": i.to_string(), "question": format!("where was {who}?"),
                "answers": [{ "text": city, "answer_start": at }] }]);
            serde_json::json!({ "context": context, "qas": qas })
        })
        .collect();
    let squad = serde_json::json!({ "version": "1.1", "data": [{ "title": "t", "paragraphs": paragraphs }] });
    let data = place.put("train.json", &squad.to_string());
    let more = ["--eval", path(&data), "--epochs", "12", "--lr", "5e-3", "--batch-tokens", "160", "--method", "full"];
    let ran = place.train("qa", "train.json", &more);
    let summary = check(&place, &ran, "BertForQuestionAnswering");
    assert!(score(&summary, "f1") > 90.0, "{summary}");
    let out = place.out();
    let squad =
        run(&["eval", "squad", "--data", path(&data), "--model", path(&out), "--json", "--device", "cpu"]).lines();
    assert!((squad[0]["f1"].as_f64().unwrap() - score(&summary, "f1")).abs() < 1e-9, "{squad:?}");
}

#[test]
fn masked_words_are_filled() {
    let place = Place::new();
    let text: String = (0..16).fold(String::new(), |text, i| {
        let (land, city, day) = if i % 2 == 0 { ("france", "paris", "hot") } else { ("germany", "berlin", "cold") };
        text + &format!("the capital of {land} is {city} . it was {day}\n\n")
    });
    let data = place.put("train.txt", &text);
    let more = ["--eval", path(&data), "--epochs", "80", "--lr", "5e-3", "--batch-tokens", "64"];
    let ran = place.train("mlm", "train.txt", &more);
    let summary = check(&place, &ran, "BertForMaskedLM");
    assert!(!ran.err.contains("new, from the seed"), "the base's head is kept: {}", ran.err);
    assert!(
        (score(&summary, "loss").exp() - score(&summary, "perplexity")).abs() < 1e-6 * score(&summary, "perplexity")
    );
    let out = place.out();
    let filled =
        run(&["fill-mask", "the [MASK] of france is paris.", "--model", path(&out), "--json", "--device", "cpu"])
            .lines();
    assert_eq!(filled[0]["token"], "capital", "{filled:?}");
}

#[test]
fn the_embedded_model_is_a_base() {
    let place = Place::new();
    let squad = r#"{"data": [{"paragraphs": [{"context": "Otters sleep in kelp.", "qas": [{"id": "1",
        "question": "Where do otters sleep?", "answers": [{"text": "in kelp", "answer_start": 13}]}]}]}]}"#;
    let data = place.put("train.json", squad);
    for method in ["head", "lora"] {
        let (out, moved) = (place.at(method), place.at(&format!("{method}-moved")));
        let args = ["train", "qa", "--data", path(&data), "--output", path(&out), "--method", method, "--epochs", "1"];
        let ran = run(&[args.as_slice(), &["--device", "cpu"]].concat());
        assert!(ran.code == Some(0) && !ran.err.contains("new, from the seed"), "{}", ran.err);
        // The base of an adapter is in its directory, and is found wherever that moves.
        std::fs::rename(&out, &moved).unwrap();
        let asked = ["answer", "-q", "Where do otters sleep?", "-c", "Otters sleep in kelp.", "--model", path(&moved)];
        let answer = run(&[asked.as_slice(), &["--json", "--device", "cpu"]].concat());
        assert!(answer.lines()[0]["answer"].as_str().unwrap().contains("kelp"), "{}", answer.out);
    }
}

/// All files together decide the kind of labels, in any order.
#[test]
fn labels_of_several_files_are_of_one_kind() {
    let place = Place::new();
    let whole = place.put("whole.tsv", "text\tlabel\nthe movie\t1\nthe film\t3\n");
    let parts = place.put("parts.tsv", "text\tlabel\nthe game\t1.5\nthe wine\t2.0\n");
    for (first, second, out) in [("whole.tsv", &parts, "a"), ("parts.tsv", &whole, "b")] {
        let out = place.at(out);
        let ran = place.train("classify", first, &["--data", path(second), "--output", path(&out), "--max-steps", "1"]);
        assert!(ran.code == Some(0) && ran.err.contains("labels: numbers"), "{}", ran.err);
    }
}

/// transformers sizes a head by the labels of the configuration, whatever they were for.
#[test]
fn a_model_for_questions_has_no_labels_of_its_bases_head() {
    let place = Place::new();
    let squad = r#"{"data": [{"paragraphs": [{"context": "the movie was great", "qas": [{"id": "1",
        "question": "what was it", "answers": [{"text": "great", "answer_start": 14}]}]}]}]}"#;
    place.put("train.json", squad);
    let moods = fixture("tasks").join("moods");
    let ran = place.train("qa", "train.json", &["--model", path(&moods), "--max-steps", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let config: Value = serde_json::from_slice(&std::fs::read(place.out().join("config.json")).unwrap()).unwrap();
    for stale in ["id2label", "label2id", "num_labels", "problem_type"] {
        assert!(config.get(stale).is_none(), "{stale}: {config}");
    }
}
