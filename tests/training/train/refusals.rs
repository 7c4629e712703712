//! What a run refuses, with a message and a code: files of another kind, runs with other options, numbers that diverge.

use sha2::{Digest, Sha256};

use super::*;

/// A code and a part of the message.
fn refused(ran: &Ran, code: &str, words: &str) {
    let (found, message) = ran.error();
    assert!(found == code && message.contains(words), "{found}: {message}");
}

#[test]
fn a_run_that_diverges_ends_with_its_checkpoint_whole() {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(24));
    let more = ["--lr", "1e30", "--warmup", "0", "--batch-tokens", "64", "--checkpoint-every", "1"];
    let ran = place.train("classify", "train.tsv", &more);
    refused(&ran, "diverged", "start again with a smaller --lr");
    assert!(!place.out().join("model.safetensors").exists(), "nothing was measured yet");
    let steps = place.losses().len();
    assert!((1..5).contains(&steps), "{steps} steps");
    let states = tensors(&place.out().join("run/checkpoint.safetensors"));
    assert!(states.len() > 3 * 30);
    for (name, bytes) in states {
        let bad = bytes.chunks_exact(4).find(|b| !f32::from_le_bytes([b[0], b[1], b[2], b[3]]).is_finite());
        assert!(bad.is_none(), "{name}");
    }
}

#[test]
fn a_model_that_is_not_finite_is_not_saved() {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(8));
    let more = ["--lr", "1e38", "--warmup", "0", "--max-steps", "1"];
    for method in ["full", "lora"] {
        let out = place.at(method);
        let ran =
            place.train("classify", "train.tsv", &[&more[..], &["--method", method, "--output", path(&out)]].concat());
        refused(&ran, "diverged", "start again with a smaller --lr");
        let left: Vec<_> = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["run"], "{method}");
    }
}

/// The partial files of a killed process in its output are removed. Those of running processes and of users are not.
#[test]
fn what_others_have_in_an_output_stays() {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(8));
    std::fs::create_dir_all(place.out().join("run")).unwrap();
    std::fs::write(place.out().join("run/lock"), "").unwrap();
    let inside = |name: &str| {
        std::fs::create_dir(place.out().join(name)).unwrap();
        place.out().join(name)
    };
    let own = inside(".cloze.12-0.partial");
    let others = [".cloze.b.12-0.partial", ".cloze.mine.partial", ".cloze.1-2-3.partial", ".cloze.partial"].map(inside);
    assert_eq!(place.train("classify", "train.tsv", &["--max-steps", "1"]).code, Some(0));
    assert!(!own.exists() && others.iter().all(|other| other.exists()));
}

#[test]
fn another_run_is_not_resumed() {
    let place = Place::new();
    let data = place.put("train.tsv", &mood_tsv(24));
    place.put("other.tsv", &mood_tsv(23));
    let other = fixture("tasks").join("moods");
    let more = ["--max-steps", "4", "--batch-tokens", "64"];
    let train = |data: &str, rest: &[&str]| place.train("classify", data, &[more.as_slice(), rest].concat());
    assert_eq!(train("train.tsv", &[]).code, Some(0));
    refused(&train("train.tsv", &[]), "option", "has a run already. Continue it with --resume");
    for (data, rest, words) in [
        ("other.tsv", vec![], "data has changed"),
        ("train.tsv", vec!["--lr", "1e-3"], "lr was 0.00005, now it is 0.001"),
        ("train.tsv", vec!["--seed", "1", "--no-dropout"], "dropout was true, now it is false; seed was 0, now"),
        ("train.tsv", vec!["--model", path(&other)], "base has changed"),
        ("train.tsv", vec!["--eval", path(&data)], "eval has changed"),
        ("train.tsv", vec!["--max-seq-len", "20"], "max-seq-len was none, now it is 20"),
    ] {
        refused(&train(data, &[rest.as_slice(), &["--resume"]].concat()), "option", words);
    }
    // A copy without the lock is also a run.
    std::fs::remove_file(place.out().join("run/lock")).unwrap();
    // The time between checkpoints does not affect what is saved.
    assert_eq!(train("train.tsv", &["--resume", "--checkpoint-every", "7"]).code, Some(0));
    // A damaged checkpoint is never used.
    let checkpoint = place.out().join("run/checkpoint.safetensors");
    let whole = std::fs::read(&checkpoint).unwrap();
    let header = 8 + u64::from_le_bytes(*whole.first_chunk().unwrap()) as usize;
    let text = String::from_utf8(whole[8..header].to_vec()).unwrap();
    let with = |was: &str, is: &str| {
        assert!(text.contains(was), "{was} in {text}");
        let text = text.replace(was, is);
        let data = &whole[header..whole.len() - 32];
        let bytes = [&(text.len() as u64).to_le_bytes(), text.as_bytes(), data].concat();
        let sum = Sha256::digest(&bytes);
        [&bytes[..], &sum].concat()
    };
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    // The 4 of {\"steps\":4 would become a 5.
    let digit = 8 + text.find("{\\\"steps\\\":4").unwrap() + "{\\\"steps\\\":".len();
    for (bytes, words) in [
        (whole[..whole.len() / 2].to_vec(), "truncated"),
        (whole[..whole.len() / 2].to_vec(), "Start the run again in another directory"),
        (Vec::new(), "too short"),
        (b"{}".repeat(50), "truncated"),
        (flipped(header), "the file is damaged"),
        (flipped(digit), "the file is damaged"),
        (flipped(whole.len() - 1), "the file is damaged"),
        (with("\"run\":", "\"ran\":"), "it is not a checkpoint of a run"),
        (with("\\\"progress\\\"", "\\\"regress\\\""), "missing field"),
        (with("\"m_classifier.bias\"", "\"x_classifier.bias\""), "there is no m_classifier.bias"),
        (with("{\\\"steps\\\":4", "{\\\"steps\\\":-4"), "invalid value"),
    ] {
        std::fs::write(&checkpoint, bytes).unwrap();
        refused(&train("train.tsv", &["--resume"]), "checkpoint", words);
    }
    // Positions that no run can reach end it, and nothing else happens.
    for (was, is) in [
        ("\\\"epoch\\\":", "\\\"epoch\\\":99"),
        ("\\\"batch\\\":", "\\\"batch\\\":99"),
        ("finished\\\":true", "finished\\\":false"),
    ] {
        std::fs::write(&checkpoint, with(was, is)).unwrap();
        let ran = train("train.tsv", &["--resume"]);
        assert!(matches!(ran.code, Some(0 | 1)), "{was}: {}", ran.err);
    }
}

#[test]
fn data_that_is_none_is_named_with_its_line() {
    let place = Place::new();
    place.put("train.tsv", &mood_tsv(8));
    place.put("empty.tsv", "");
    place.put("short.tsv", "sentence\tlabel\ngood\n");
    place.put("odd.xyz", "sentence\tlabel\na\tb\n");
    place.put("list.jsonl", "[1, 2]\n");
    place.put("none.conll", "word\n");
    place.put("span.jsonl", "{\"text\": \"a b\", \"spans\": [{\"start\": 0, \"end\": 9, \"label\": \"X\"}]}\n");
    place.put("deep.json", &"[".repeat(100_000));
    place.put("blank.txt", " \n\n");
    place.put("none.jsonl", "{\"text\": \"a\", \"labels\": []}\n");
    place.put("one.tsv", "sentence\tlabel\na\tgood\nb\tgood\n");
    place.put("twice.tsv", "sentence\tlabel\tlabel\na\tx\ty\n");
    place.put("open.csv", "text,label\na,x\nb,\"y\nc,x\n");
    place.put("marks.jsonl", "{\"text\": \"a\", \"labels\": [1, 0]}\n{\"text\": \"b\", \"labels\": [0, 1]}\n");
    place.put("quote.csv", "text,label\na,b,x\n");
    place.put("space.jsonl", "{\"text\": \"a b\", \"spans\": [{\"start\": 1, \"end\": 2, \"label\": \"X\"}]}\n");
    place.put("unnamed.jsonl", "{\"text\": \"a b\", \"spans\": [{\"start\": 0, \"end\": 1, \"label\": \"\"}]}\n");
    place.put("half.jsonl", "{\"text\": \"a b\", \"spans\": [{\"start\": 0}]}\n");
    place.put("list.json", "[]");
    let asked = |question: &str, answer: &str| {
        format!(
            r#"{{"data": [{{"paragraphs": [{{"context": "a film", "qas": [{{"id": "q7", "question": "{question}",
            "answers": [{{"text": "{answer}", "answer_start": 0}}]}}]}}]}}]}}"#
        )
    };
    place.put("silent.json", &asked("what", ""));
    place.put("unasked.json", &asked("", "a"));
    place.put("lost.json", &asked("what", "film"));
    place.put("train.conll", "Ada B-person\nsails O\n");
    let strange = place.put("dev.conll", "it O\n\nAda B-person\nArgo B-ship\n");
    let unknown = place.put("dev.tsv", "sentence\tlabel\ngood\tnobody\n");
    std::fs::write(place.at("bytes.tsv"), b"sentence\tlabel\n\xff\xfe\tx\n").unwrap();
    std::fs::create_dir(place.at("directory.tsv")).unwrap();
    for (task, data, more, code, words) in [
        ("classify", "empty.tsv", vec![], "data", "no example"),
        ("classify", "short.tsv", vec![], "data", "line 2: it has 1 columns"),
        ("classify", "bytes.tsv", vec![], "data", "line 2: it is not UTF-8"),
        ("classify", "odd.xyz", vec![], "data", "its name does not tell its format"),
        ("classify", "list.jsonl", vec![], "data", "line 1"),
        ("classify", "train.tsv", vec!["--columns", "text=a,label=label"], "option", "no column \"a\""),
        (
            "classify",
            "train.tsv",
            vec!["--kind", "regression"],
            "data",
            "is no number. Give a number, or set --kind to single",
        ),
        (
            "classify",
            "train.tsv",
            vec!["--eval", path(&unknown)],
            "data",
            "dev.tsv: line 2: the label \"nobody\" does not occur in the training data",
        ),
        (
            "tag",
            "train.conll",
            vec!["--eval", path(&strange)],
            "data",
            "dev.conll: line 3: in the sentence that begins here the label \"B-ship\" does not occur in the training data",
        ),
        (
            "classify",
            "train.tsv",
            vec!["--lora-r", "4"],
            "option",
            "--lora-r: the method is full, which has no adapters",
        ),
        ("classify", "train.tsv", vec!["--lora-targets", "key", "--method", "head"], "option", "the method is head"),
        ("classify", "train.tsv", vec!["--metric", "bleu"], "option", "nothing to measure on"),
        ("classify", "train.tsv", vec!["--max-seq-len", "3"], "option", "is not from 4 to 48"),
        ("classify", "train.tsv", vec!["--lr=-1"], "option", "invalid learning rate"),
        ("classify", "train.tsv", vec!["--lr", "NaN"], "option", "invalid learning rate"),
        ("classify", "train.tsv", vec!["--lr", "1e300"], "option", "invalid learning rate"),
        ("classify", "train.tsv", vec!["--epochs", "0"], "option", "it is 0"),
        ("classify", "train.tsv", vec!["--batch-tokens", "99999999999"], "option", "are too many"),
        ("classify", "train.tsv", vec!["--warmup", "2.5"], "option", "warmup"),
        ("classify", "train.tsv", vec!["--warmup", "1e300"], "option", "warmup"),
        ("classify", "train.tsv", vec!["--lr", "1e-60"], "option", "invalid learning rate"),
        ("classify", "train.tsv", vec!["--freeze-layers", "3"], "option", "the model has 2 layers, not 3"),
        ("classify", "none.jsonl", vec![], "data", "no example has a label"),
        ("classify", "none.jsonl", vec!["--kind", "multi"], "data", "no example has a label"),
        ("classify", "one.tsv", vec![], "data", "all labels are \"good\""),
        ("classify", "twice.tsv", vec![], "data", "two columns \"label\""),
        ("classify", "open.csv", vec![], "data", "line 3: a quote that begins here is not closed"),
        ("classify", "marks.jsonl", vec![], "data", "line 1: its labels are marks"),
        ("classify", "quote.csv", vec![], "data", "quotes around texts that hold commas"),
        ("classify", "missing.tsv", vec![], "io", "missing.tsv"),
        ("classify", "directory.tsv", vec![], "io", "not a file"),
        ("tag", "none.conll", vec![], "data", "has no tag"),
        ("tag", "span.jsonl", vec![], "data", "the span 0 to 9 is not in its text"),
        ("tag", "space.jsonl", vec![], "data", "the span 1 to 2 has no word"),
        ("tag", "unnamed.jsonl", vec![], "data", "has an empty label"),
        ("tag", "half.jsonl", vec![], "data", "a span has no start, end and label"),
        ("qa", "deep.json", vec![], "data", "it is not SQuAD JSON"),
        ("qa", "list.json", vec![], "data", "it has no questions"),
        ("qa", "lost.json", vec![], "data", "1 questions have no answer where answer_start says: \"q7\""),
        ("qa", "silent.json", vec![], "data", "\"q7\": its answer is empty"),
        ("qa", "unasked.json", vec![], "data", "question \"q7\": the question is empty. Correct or remove it"),
        ("mlm", "blank.txt", vec![], "data", "no example"),
    ] {
        let ran = place.train(task, data, &more);
        let (found, message) = ran.error();
        assert!(
            found == code && message.contains(words.split(", or").next().unwrap()),
            "{data} {more:?}: {found}: {message}"
        );
    }
    // None of this prevents a valid run.
    assert_eq!(place.train("classify", "train.tsv", &["--max-steps", "1"]).code, Some(0));

    let full = Place::new();
    full.put("train.tsv", &mood_tsv(8));
    std::fs::create_dir(full.out()).unwrap();
    std::fs::write(full.out().join("notes.txt"), "mine").unwrap();
    refused(&full.train("classify", "train.tsv", &[]), "option", "holds other files");
    std::fs::remove_dir_all(full.out()).unwrap();
    std::fs::write(full.out(), "a file").unwrap();
    refused(&full.train("classify", "train.tsv", &[]), "option", "is not a directory");
}
