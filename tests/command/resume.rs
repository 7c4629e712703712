//! `--resume` continues the batch that was begun, and refuses any other.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::support::command::{Ran, run, run_with};
use crate::support::fixture;

/// A directory with an input, `in.jsonl`, and an output for its first lines.
struct Begun {
    dir: tempfile::TempDir,
    output: String,
}

fn line(n: usize) -> String {
    format!("{}\n", json!({"id": n, "text": format!("she was happy {n}")}))
}

fn model(name: &str) -> String {
    fixture("tasks").join(name).to_str().unwrap().to_owned()
}

impl Begun {
    /// A state in which `cloze classify` has processed `held` of `lines` lines.
    fn new(lines: usize, held: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in.jsonl"), (0..lines).map(line).collect::<String>()).unwrap();
        let mut begun = Self { dir, output: String::new() };
        assert_eq!(begun.run(&["classify"], "moods", &[]).code, Some(0));
        let whole = begun.read();
        begun.output = whole.lines().take(held).map(|line| format!("{line}\n")).collect();
        fs::write(begun.path("out.jsonl"), &begun.output).unwrap();
        begun
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self) -> String {
        fs::read_to_string(self.path("out.jsonl")).unwrap()
    }

    fn args(&self, command: &[&str], model_name: &str, more: &[&str]) -> Vec<String> {
        let [input, output] = ["in.jsonl", "out.jsonl"].map(|name| self.path(name).to_str().unwrap().to_owned());
        let model = model(model_name);
        let own = ["--input", &input, "--output", &output, "--model", &model, "--device", "cpu", "--quiet", "--json"];
        [command, &own, more].concat().iter().map(|arg| (*arg).to_owned()).collect()
    }

    fn run(&self, command: &[&str], model: &str, more: &[&str]) -> Ran {
        run(&self.args(command, model, more).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Checks that a resumed run is refused and the output stays.
    fn refused(&self, command: &[&str], model: &str, words: &str) {
        let (code, message) = self.run(command, model, &["--resume"]).error();
        assert!(code == "option" && message.contains(words), "{code}: {message}");
        assert_eq!(self.read(), self.output, "{words}");
    }
}

#[test]
fn another_command_model_or_option_is_refused() {
    let begun = Begun::new(4, 2);
    begun.refused(&["tag"], "places", "command was \"classify\", now it is \"tag\"; the model has changed");
    begun.refused(&["classify"], "topics", "the model has changed");
    let labels = ["zero-shot", "--labels", "a,b"];
    begun.refused(&labels, "moods", "command was");
    assert_eq!(begun.run(&labels, "nli", &["--overwrite"]).code, Some(0));
    let whole = begun.read();
    let refused = begun.run(&["zero-shot", "--labels", "a,c"], "nli", &["--resume"]).error().1;
    assert!(refused.contains("labels was [\"a\",\"b\"], now it is [\"a\",\"c\"]"), "{refused}");
    // The same options in another form are the same.
    let same = begun.run(&["zero-shot", "--labels=a", "--labels", "b"], "nli", &["--resume", "--threads", "1"]);
    assert_eq!((same.code, begun.read()), (Some(0), whole));
    // A model that was written again is another model, even under the same name.
    let begun = Begun::new(4, 2);
    let copy = begun.path("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(model("moods")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let at_copy = |more: &[&str]| {
        let args = begun.args(&["classify"], "moods", more);
        let args: Vec<&str> =
            args.iter().map(|arg| if arg.ends_with("moods") { copy.to_str().unwrap() } else { arg }).collect();
        run(&args)
    };
    let config = fs::read_to_string(copy.join("config.json")).unwrap();
    fs::write(copy.join("config.json"), config.replace("positive", "good")).unwrap();
    assert!(at_copy(&["--resume"]).error().1.contains("the model has changed"));
    fs::write(copy.join("config.json"), config).unwrap();
    assert_eq!(at_copy(&["--resume"]).code, Some(0));
    assert_eq!(begun.read().lines().count(), 4);
}

#[test]
fn another_input_is_refused() {
    for (lines, held) in [(4, 2), (4, 4), (700, 300), (700, 1)] {
        let begun = Begun::new(lines, held);
        let input = fs::read_to_string(begun.path("in.jsonl")).unwrap();
        let put = |text: &str| fs::write(begun.path("in.jsonl"), text).unwrap();
        put(&input.replacen("happy 0", "sad 0", 1));
        begun.refused(&["classify"], "moods", "lines are not what they were");
        put(&input.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>());
        begun.refused(&["classify"], "moods", "the input is not the one that the output is of");
        put("");
        begun.refused(&["classify"], "moods", "it has 0 lines");
        // An input that has grown continues, even if its last line had no line end.
        put(&format!("{}\r\n{}", input.trim_end(), line(lines)));
        let ran = begun.run(&["classify"], "moods", &["--resume"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        assert_eq!(begun.read().lines().count(), lines + 1);
        assert!(begun.read().starts_with(&begun.output));
    }
}

/// An input that cannot be read twice: results of another input are removed again.
#[test]
fn another_input_from_a_pipe_is_refused() {
    let begun = Begun::new(700, 10);
    let input = fs::read_to_string(begun.path("in.jsonl")).unwrap();
    let piped = |text: &str| {
        let mut args = begun.args(&["classify"], "moods", &["--resume"]);
        let at = args.iter().position(|arg| arg == "--input").unwrap();
        args[at + 1] = "-".into();
        run_with(&args.iter().map(String::as_str).collect::<Vec<_>>(), text.as_bytes())
    };
    for other in [
        input.replace("happy 600", "sad 600"),
        input.replace("happy 5\"", "sad 5\""),
        input.lines().next().unwrap().to_owned(),
    ] {
        let (code, message) = piped(&other).error();
        assert!(code == "option" && message.contains("the input is not the one"), "{message}");
        assert_eq!(begun.read(), begun.output);
    }
    assert_eq!(piped(&input).code, Some(0));
    assert_eq!(begun.read().lines().count(), 700);
}

#[test]
fn an_output_without_its_record_is_not_gone_on_with() {
    let begun = Begun::new(300, 20);
    let record = begun.path(".out.jsonl.cloze");
    let whole = fs::read(&record).unwrap();
    let at = whole.iter().position(|byte| *byte == b'\n').unwrap();
    for (bytes, words) in [
        (None, "which a run writes beside its output"),
        (Some(Vec::new()), "is damaged"),
        (Some(whole[..at].to_vec()), "is damaged"),
        (Some(whole[..at + 1].to_vec()), "is damaged"),
        (Some(whole.iter().map(|byte| if *byte == b'"' { b'x' } else { *byte }).collect()), "is damaged"),
        (Some(vec![b'x'; 3 << 20]), "is longer than"),
    ] {
        let _ = fs::remove_file(&record);
        if let Some(bytes) = &bytes {
            fs::write(&record, bytes).unwrap();
        }
        let (_, message) = begun.run(&["classify"], "moods", &["--resume"]).error();
        assert!(message.contains(words), "{message}");
        assert_eq!(begun.read(), begun.output);
    }
    // One of the two marks is enough.
    let mut torn = whole.clone();
    let end = torn.len();
    torn[end - 5..].fill(b'0');
    fs::write(&record, &torn).unwrap();
    assert_eq!(begun.run(&["classify"], "moods", &["--resume"]).code, Some(0));
    assert_eq!(begun.read().lines().count(), 300);
}

/// If no record can be kept, the results are written anyway.
#[cfg(unix)]
#[test]
fn results_are_worth_more_than_their_record() {
    let begun = Begun::new(3, 0);
    let record = begun.path(".out.jsonl.cloze");
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    let args = begun.args(&["classify"], "moods", &["--overwrite"]);
    let args: Vec<&str> = args.iter().map(String::as_str).filter(|arg| *arg != "--quiet").collect();
    let ran = run(&args);
    assert!(ran.code == Some(0) && ran.err.contains("--resume will not be possible"), "{}", ran.err);
    assert_eq!(begun.read().lines().count(), 3);
    assert!(Path::new(&record).is_dir());
}
