//! Adapters that runs train or continue from: those of earlier runs, and those that PEFT saved.

use cloze::checkpoint::adapter::Adapter;

use super::*;

#[test]
fn adapters_are_trained_beside_their_base() {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(64));
    let dev = place.put("dev.tsv", &mood_tsv(90));
    let more = ["--eval", path(&dev), "--method", "lora", "--lora-targets", "query,value,dense", "--epochs", "20"];
    let ran =
        place.train("classify", "train.tsv", &[more.as_slice(), &["--lr", "1e-2", "--batch-tokens", "128"]].concat());
    let [summary] = &ran.lines()[..] else { panic!("one line: {}", ran.out) };
    assert!(score(summary, "accuracy") > 0.85, "{summary}");
    let out = place.out();
    assert!(out.join("adapter_model.safetensors").is_file() && !out.join("model.safetensors").exists());
    let config: Value = serde_json::from_slice(&std::fs::read(out.join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!((&config["r"], &config["task_type"]), (&8.into(), &"SEQ_CLS".into()));
    let said =
        run(&["classify", "the movie was great and it was hot", "--model", path(&out), "--json", "--device", "cpu"]);
    assert_eq!(said.lines()[0]["label"], "good", "{}", said.out);

    // A run continues from there, here with steps that are too small to change anything.
    let again = place.at("again");
    let more = ["--model", path(&out), "--method", "lora", "--eval", path(&dev), "--lr", "1e-12", "--max-steps", "2"];
    let more = [more.as_slice(), &["--output", path(&again), "--batch-tokens", "128", "--no-dropout"]].concat();
    let ran = place.train("classify", "train.tsv", &more);
    assert!(ran.err.contains("goes on from the base's adapter: r 8, alpha 16"), "{}", ran.err);
    assert!(!ran.err.contains("new, from the seed"), "{}", ran.err);
    assert_eq!(score(&ran.lines()[0], "accuracy"), score(summary, "accuracy"));
    // A run would lose the parts that it does not train.
    let other_out = place.at("frozen");
    let frozen = ["--model", path(&out), "--method", "lora", "--freeze-layers", "1", "--output", path(&other_out)];
    let (code, text) = place.train("classify", "train.tsv", &frozen).error();
    assert!(code == "unsupported" && text.contains("which would not be trained"), "{text}");
    // An adapter with other values is another base.
    let mut other = Adapter::open(&out).unwrap();
    other.tensors[0].values[0] += 1.0;
    std::fs::write(out.join("adapter_model.safetensors"), &other.write().unwrap()[1]).unwrap();
    let (code, text) = place.train("classify", "train.tsv", &[more.as_slice(), &["--resume"]].concat()).error();
    assert!(code == "option" && text.contains("base has changed"), "{text}");
}

/// An adapter has its own head, whatever size the base's has.
#[test]
fn an_adapter_is_trained_on_over_a_base_of_another_head() {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(16));
    let moods = fixture("tasks").join("moods");
    let (first, second) = (place.at("first"), place.at("second"));
    let train = |base: &Path, out: &Path, lr: &str| {
        let more = ["--model", path(base), "--output", path(out), "--method", "lora", "--lr", lr, "--no-dropout"];
        let ran = place.train("classify", "train.tsv", &[&more[..], &["--epochs", "4"]].concat());
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        ran
    };
    let scores = |model: &Path| {
        let lines =
            run(&["classify", "the movie was great", "--model", path(model), "--json", "--device", "cpu"]).lines();
        lines.iter().map(|line| (line["label"].to_string(), line["score"].as_f64().unwrap())).collect::<Vec<_>>()
    };
    assert!(train(&moods, &first, "1e-2").err.contains("new, from the seed: classifier.weight"));
    assert!(!train(&first, &second, "1e-12").err.contains("from the seed"));
    for ((label, was), (other, is)) in scores(&first).iter().zip(scores(&second)) {
        assert!(*label == other && (was - is).abs() < 1e-6, "{label} {was}, then {other} {is}");
    }
}

#[test]
fn a_base_that_moved_is_named_again_by_a_resume() {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(16));
    let (before, after) = (place.at("before"), place.at("after"));
    copy(&base(), &before);
    let train = |base: &Path, more: &[&str]| {
        let usual = ["--model", path(base), "--method", "lora", "--max-steps", "2"];
        place.train("classify", "train.tsv", &[&usual[..], more].concat())
    };
    assert_eq!(train(&before, &[]).code, Some(0));
    std::fs::rename(&before, &after).unwrap();
    let classify = || run(&["classify", "a film", "--model", path(&place.out()), "--json", "--device", "cpu"]);
    assert!(classify().error().1.contains("base_model_name_or_path"));
    let resumed = train(&after, &["--resume"]);
    assert_eq!(resumed.code, Some(0), "{}", resumed.err);
    assert_eq!(classify().lines().len(), 2);
}

/// PEFT writes neither configuration nor tokenizer, so those of the base are used.
#[test]
fn an_adapter_as_peft_saves_it_is_a_model_and_a_base() {
    let place = Place::new();
    let data = mood_tsv(16).replace("\tgood", "\tpositive").replace("\tbad", "\tnegative");
    place.put("train.tsv", &data);
    place.put("train.conll", "the O\nmovie B-work\n");
    let moods = fixture("tasks").join("moods");
    let out = place.out();
    let ran = place.train("classify", "train.tsv", &["--model", path(&moods), "--method", "lora", "--max-steps", "4"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let says = |dir: &Path| run(&["classify", "the movie was sad", "--model", path(dir), "--json", "--device", "cpu"]);
    let whole = says(&out).lines();
    for file in ["config.json", "vocab.txt", "tokenizer_config.json"] {
        std::fs::remove_file(out.join(file)).unwrap();
    }
    assert_eq!(says(&out).lines(), whole);
    assert!(run(&["tokenize", "the movie", "--model", path(&out), "--json"]).out.contains("movie"));

    let merged = place.at("merged");
    let converted = run(&["convert", "--model", path(&out), "--dtype", "f32", "--output", path(&merged)]);
    assert_eq!(converted.code, Some(0), "{}", converted.err);
    let value = |line: &Value| line["score"].as_f64().unwrap();
    for (merged, whole) in says(&merged).lines().iter().zip(&whole) {
        assert!(merged["label"] == whole["label"] && (value(merged) - value(whole)).abs() < 1e-6);
    }

    let goes_on = |task: &str, data: &str, method: &str, to: &str, more: &[&str]| {
        let to = place.at(to);
        let usual = ["--model", path(&out), "--method", method, "--output", path(&to), "--max-steps", "1"];
        place.train(task, data, &[&usual[..], more].concat())
    };
    for method in ["full", "lora"] {
        let ran = goes_on("classify", "train.tsv", method, method, &[]);
        assert!(ran.code == Some(0) && !ran.err.contains("from the seed"), "{method}: {}", ran.err);
    }
    // The pooler belongs to the old head and is dropped with it.
    let ran = goes_on("tag", "train.conll", "lora", "tags", &[]);
    assert!(ran.code == Some(0) && ran.err.contains("dropped: the base's head for"), "{}", ran.err);
    // The adapter's rank and layers cannot be changed by options.
    for (wish, name) in
        [(["--lora-r", "2"], "lora-r: it is 2, and the adapter"), (["--lora-targets", "key"], "lora-targets")]
    {
        let (code, text) = goes_on("classify", "train.tsv", "lora", "wish", &wish).error();
        assert!(code == "option" && text.contains(name) && text.contains("goes on from has"), "{text}");
    }
    // The same layers in another order are allowed.
    let ran = goes_on("classify", "train.tsv", "lora", "same", &["--lora-targets", "value,query", "--lora-r", "8"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let read: Value = serde_json::from_slice(&std::fs::read(place.at("lora/run/config.json")).unwrap()).unwrap();
    assert_eq!(read["train.method.lora.r"], 8);
}
