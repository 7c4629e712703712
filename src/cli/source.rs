//! Finds the model of `--model`: a directory, or a name on the Hub.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

#[cfg(feature = "hub")]
use cloze::error::HubFault;
use cloze::{Error, Result};

use super::common::Common;

impl Common {
    /// The directory of the chosen model, downloaded first if it is a name on the Hub; `None` if no model is chosen.
    pub fn model_dir(&self) -> Result<Option<&Path>> {
        let Some(model) = &self.model else { return Ok(None) };
        if self.located.get().is_none() {
            // Only this function sets it, and only on one thread.
            let _ = self.located.set(self.dir_of(model)?);
        }
        Ok(self.located.get().map(PathBuf::as_path))
    }

    /// The directory of a model, downloaded first if it is a name on the Hub.
    pub fn dir_of(&self, model: &OsStr) -> Result<PathBuf> {
        // An existing path is preferred, even if it is not a directory. Then its loader reports the fault.
        if Path::new(model).exists() { Ok(PathBuf::from(model)) } else { self.fetched(model) }
    }

    /// The directory for a command that needs one and has no default.
    pub fn required_model_dir(&self) -> Result<&Path> {
        self.model_dir()?.ok_or_else(|| Error::Option {
            name: "model",
            problem: "this command needs one".into(),
            help: "Give --model with a Hugging Face BERT directory or ORG/NAME".into(),
        })
    }

    /// The name of the model for people.
    pub fn model_name(&self) -> String {
        let Some(model) = &self.model else { return "minilm-l6-qa".into() };
        let dir = Path::new(model);
        let name = if dir.exists() { dir.file_name().unwrap_or(model) } else { model };
        name.to_string_lossy().into_owned()
    }

    #[cfg(feature = "hub")]
    fn fetched(&self, model: &OsStr) -> Result<PathBuf> {
        let name = model.to_str().and_then(|m| m.parse::<cloze::hub::ModelId>().ok());
        let id = name.ok_or_else(|| neither(model, "Give a Hugging Face BERT directory, or ORG/NAME[@REVISION]"))?;
        let hub = cloze::hub::Hub::from_env()?.offline(self.offline);
        let mut bar = Bar { quiet: self.quiet, shown: None };
        hub.model_dir(&id, &mut |progress| bar.show(progress)).map_err(|error| match error {
            // The user may have meant a path.
            Error::Hub { fault, what, problem, help } if matches!(fault, HubFault::NotFound | HubFault::NoAccess) => {
                Error::Hub { fault, what, problem, help: help.and(format!(". Nor is there a directory {}", id.repo())) }
            }
            other => other,
        })
    }

    #[cfg(not(feature = "hub"))]
    fn fetched(&self, model: &OsStr) -> Result<PathBuf> {
        Err(neither(
            model,
            "Give a directory; for models of the Hub build with the feature hub, which this build lacks",
        ))
    }
}

/// The error for a model that is neither an existing path nor a name that this build can use.
fn neither(model: &OsStr, help: &str) -> Error {
    let shown: String = model.to_string_lossy().chars().take(300).collect();
    Error::Option {
        name: "model",
        problem: format!(
            "there is no directory {shown:?}, and it is not of the form ORG/NAME, as models of the Hub are"
        ),
        help: help.into(),
    }
}

/// Shows the progress of a download on stderr.
#[cfg(feature = "hub")]
struct Bar {
    quiet: bool,
    shown: Option<(String, indicatif::ProgressBar)>,
}

#[cfg(feature = "hub")]
impl Bar {
    fn show(&mut self, progress: cloze::hub::Progress<'_>) {
        if self.quiet {
            return;
        }
        if self.shown.as_ref().is_none_or(|(file, _)| file != progress.file) {
            self.clear();
            // indicatif draws nothing if stderr is not a terminal.
            let bar = indicatif::ProgressBar::new(progress.total).with_message(progress.file.to_owned());
            let template = "{msg} {bar:30} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
            if let Ok(style) = indicatif::ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            self.shown = Some((progress.file.to_owned(), bar));
        }
        if let Some((_, bar)) = &self.shown {
            bar.set_position(progress.loaded);
        }
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.shown.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(feature = "hub")]
impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}
