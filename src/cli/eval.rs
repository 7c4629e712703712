//! `cloze eval`

use std::path::Path;

use cloze::device::Cancel;
use cloze::tasks::evaluate;
use cloze::tasks::squad::{Squad, SquadOptions};
use cloze::{Error, Result, files};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::{Common, EvalArgs, EvalSet, SquadArgs};
use super::show;

pub fn run(args: &EvalArgs, common: &Common) -> Result<()> {
    match &args.set {
        EvalSet::Squad(args) => squad(args, common),
    }
}

fn squad(args: &SquadArgs, common: &Common) -> Result<()> {
    let data = Squad::load(&args.data)?;
    if let Some(path) = &args.predictions {
        writable(path)?;
    }
    let qa = common.open_model()?;
    let options = SquadOptions::for_model(qa.max_len())?;
    // indicatif draws nothing where stderr is no terminal.
    let bar = if common.quiet { ProgressBar::hidden() } else { ProgressBar::new(data.questions.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} questions, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    let done = cloze::block_on(evaluate::squad(&qa, &data, &options, &Cancel::new(), |n| bar.inc(n as u64)))?;
    bar.finish_and_clear();
    if let Some(path) = &args.predictions {
        let map: serde_json::Map<_, _> = done.predictions.into_iter().map(|(id, text)| (id, text.into())).collect();
        files::write_atomically(path, serde_json::Value::Object(map).to_string().as_bytes())?;
    }
    let (exact, f1, total) = (done.metrics.exact_match(), done.metrics.f1(), done.metrics.total());
    if common.json {
        return show::json(&serde_json::json!({ "exact_match": exact, "f1": f1, "total": total }));
    }
    show::line(&format!("exact match {exact:.2}   F1 {f1:.2}   {total} questions"))
}

/// Refuses a file that could not be written, before the hours that its contents take.
fn writable(path: &Path) -> Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let problem = match (path.is_dir(), parent.is_dir()) {
        (true, _) => format!("{} is a directory", path.display()),
        (_, false) => format!("there is no directory {}", parent.display()),
        _ => return files::check_writable(path),
    };
    Err(Error::Option { name: "predictions", problem, mend: "Give a file in a directory that exists".into() })
}
