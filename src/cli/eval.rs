//! `cloze eval`

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cloze::device::Cancel;
use cloze::tasks::evaluate::{self, Counts, Evaluation};
use cloze::tasks::squad::{Figures, Squad, SquadOptions};
use cloze::{Error, Result, files};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::common::Common;
use super::show;

/// Measure a model on a data set.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze eval squad --data dev-v1.1.json")]
pub struct EvalArgs {
    #[command(subcommand)]
    pub set: EvalSet,
}

#[derive(Debug, Subcommand)]
pub enum EvalSet {
    Squad(SquadArgs),
}

/// Measure exact match and F1 (0 to 100) on SQuAD 1.1 or 2.0, as the official scripts do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  cloze eval squad --data dev-v1.1.json
  cloze eval squad --data dev-v1.1.json --predictions predictions.json --json
  cloze eval squad --data dev-v2.0.json --null-score-diff-threshold -1.5 --output-dir out

With --json, the last line is {\"exact_match\",\"f1\",\"total\"}. For SQuAD 2.0 it has the names of the
official script: \"exact\", \"f1\", \"total\", \"HasAns_exact\" and so on, \"best_exact\",
\"best_exact_thresh\", \"best_f1\", \"best_f1_thresh\".")]
pub struct SquadArgs {
    /// Data file in SQuAD's JSON format
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Write {id: answer} to this file, as input for the official script
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
    /// Write predictions.json, nbest_predictions.json and (for 2.0) null_odds.json into this directory, as
    /// run_squad.py does
    #[arg(long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Let "no answer" compete, as in SQuAD 2.0 [default: only if the data has an unanswerable question]
    #[arg(long = "version-2")]
    pub version_2: bool,
    /// Give no answer if its score exceeds the best answer's by more than X; for 2.0 [default: 0.0]
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub null_score_diff_threshold: Option<f64>,
}

pub fn run(args: &EvalArgs, common: &Common) -> Result<()> {
    match &args.set {
        EvalSet::Squad(args) => squad(args, common),
    }
}

fn squad(args: &SquadArgs, common: &Common) -> Result<()> {
    let data = Squad::load(&args.data)?;
    let version_2 = args.version_2 || data.has_unanswerable();
    let unanswerable = data.questions.iter().filter(|question| question.answers.is_empty()).count();
    if unanswerable > 0 {
        common.note(&format!(
            "{unanswerable} of {} questions have no answer: they are measured as those of SQuAD 2.0",
            data.questions.len()
        ));
    }
    let threshold = threshold(args, version_2)?;
    let files = outputs(version_2).iter().filter_map(|name| Some(args.output_dir.as_ref()?.join(name)));
    let mut inputs = common.inputs()?;
    inputs.add(&args.data);
    args.predictions.iter().cloned().chain(files).try_for_each(|path| inputs.check("predictions", &path))?;
    if let Some(path) = &args.predictions {
        writable(path)?;
    }
    if let Some(dir) = &args.output_dir {
        std::fs::create_dir_all(dir).map_err(|e| Error::io("make", dir, e))?;
        for name in outputs(version_2) {
            files::check_writable(&dir.join(name))?;
        }
    }
    let qa = common.open_model()?;
    let options =
        SquadOptions { version_2, null_score_diff_threshold: threshold, ..SquadOptions::for_model(qa.max_len())? };
    // indicatif draws nothing if stderr is not a terminal.
    let bar = if common.quiet { ProgressBar::hidden() } else { ProgressBar::new(data.questions.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} questions, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    let done = cloze::block_on(evaluate::squad(qa.model(), qa.tokenizer(), &data, &options, &Cancel::new(), |n| {
        bar.inc(n as u64)
    }))?;
    bar.finish_and_clear();
    write(&done, args, version_2)?;
    match &done.counts {
        Counts::V2(metrics) => {
            let figures = metrics.figures();
            if common.json { show::json(&figures) } else { show_figures(&figures) }
        }
        Counts::V1(metrics) => {
            let (exact, f1, total) = (metrics.exact_match(), metrics.f1(), metrics.total());
            if common.json {
                return show::json(&serde_json::json!({ "exact_match": exact, "f1": f1, "total": total }));
            }
            show::line(&format!("exact match {exact:.2}   F1 {f1:.2}   {total} questions"))
        }
    }
}

fn threshold(args: &SquadArgs, version_2: bool) -> Result<f64> {
    let wrong = |problem: &str, help: &str| {
        let (problem, help) = (problem.into(), help.into());
        Err(Error::Option { name: "null_score_diff_threshold", problem, help })
    };
    match args.null_score_diff_threshold {
        Some(x) if !x.is_finite() => wrong("it is not a number", "Give one such as -1.5"),
        Some(_) if !version_2 => wrong("every question of the data has an answer", "Leave it out, or add --version-2"),
        given => Ok(given.unwrap_or(0.0)),
    }
}

fn show_figures(figures: &Figures) -> Result<()> {
    let row = |what: &str, exact: f64, f1: f64, rest: &str| {
        show::line(&format!("{what:20} exact match {exact:6.2}   F1 {f1:6.2}   {rest}"))
    };
    row("all", figures.exact, figures.f1, &format!("{} questions", figures.total))?;
    for (what, exact, f1, total) in [
        ("with an answer", figures.has_ans_exact, figures.has_ans_f1, figures.has_ans_total),
        ("without an answer", figures.no_ans_exact, figures.no_ans_f1, figures.no_ans_total),
    ] {
        if let (Some(exact), Some(f1), Some(total)) = (exact, f1, total) {
            row(what, exact, f1, &format!("{total} questions"))?;
        }
    }
    let thresholds = format!("thresholds {:.3} and {:.3}", figures.best_exact_thresh, figures.best_f1_thresh);
    row("best threshold", figures.best_exact, figures.best_f1, &thresholds)
}

/// The files in --output-dir.
fn outputs(version_2: bool) -> &'static [&'static str] {
    const ALL: [&str; 3] = ["predictions.json", "nbest_predictions.json", "null_odds.json"];
    if version_2 { &ALL } else { &ALL[..2] }
}

fn write(done: &Evaluation, args: &SquadArgs, version_2: bool) -> Result<()> {
    let answers = || done.predictions.iter().map(|(id, decoded)| (id.as_str(), decoded));
    let texts: BTreeMap<_, _> = answers().map(|(id, decoded)| (id, &decoded.text)).collect();
    if let Some(path) = &args.predictions {
        write_json(path, &texts)?;
    }
    let Some(dir) = &args.output_dir else { return Ok(()) };
    for name in outputs(version_2) {
        let path = dir.join(name);
        match *name {
            "predictions.json" => write_json(&path, &texts)?,
            "nbest_predictions.json" => {
                write_json(&path, &answers().map(|(id, d)| (id, &d.nbest)).collect::<BTreeMap<_, _>>())?;
            }
            _ => write_json(&path, &answers().map(|(id, d)| (id, d.null_odds)).collect::<BTreeMap<_, _>>())?,
        }
    }
    Ok(())
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value).map_err(|e| Error::io("write", path, e.into()))?;
    files::write_atomically(path, &text)
}

/// Refuses a file that cannot be written, before hours of work for its contents.
fn writable(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let problem = match (path.is_dir(), parent.is_dir()) {
        (true, _) => format!("{} is a directory", path.display()),
        (_, false) => format!("there is no directory {}", parent.display()),
        _ => return files::check_writable(path),
    };
    Err(Error::Option { name: "predictions", problem, help: "Give a file in a directory that exists".into() })
}
