//! The tasks of a run, and the files that it learns from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpoint::Head;
use crate::config::{Config, ProblemType};
use crate::error::{Error, OptionName, Result, clip, help};
use crate::files::{open_regular, read_at_most};
use crate::fingerprint::Fingerprint;
use crate::tasks::squad::{Question, Squad};
use crate::train::examples::data::classify::{self, Columns, Label};
use crate::train::examples::data::conll::TagColumns;
use crate::train::examples::data::{At, Classes, Format, tag, text};
use crate::train::trainer::save::Purpose;

/// The largest data file, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// A task to learn.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Answers as spans of a text: SQuAD's JSON.
    QuestionAnswering,
    /// Classes or scores of texts and pairs of texts: TSV, CSV, JSONL.
    Classify {
        /// The columns of the files; found by their usual names if absent.
        columns: Option<Columns>,
        /// The kind of the labels; found from the labels if absent.
        kind: Option<ProblemType>,
    },
    /// Tags of words: CoNLL, or JSONL with spans.
    Tag {
        /// The columns of CoNLL files; found from their contents if absent.
        columns: Option<TagColumns>,
    },
    /// Masked words of plain text: a paragraph on each line, and empty lines between documents.
    MaskedLm,
}

impl Task {
    /// Its name on the command line.
    pub const fn name(&self) -> &'static str {
        match self {
            Task::QuestionAnswering => "qa",
            Task::Classify { .. } => "classify",
            Task::Tag { .. } => "tag",
            Task::MaskedLm => "mlm",
        }
    }

    /// The head that it trains.
    pub const fn head(&self) -> Head {
        match self {
            Task::QuestionAnswering => Head::QuestionAnswering,
            Task::Classify { .. } => Head::SequenceClassification,
            Task::Tag { .. } => Head::TokenClassification,
            Task::MaskedLm => Head::MaskedLm,
        }
    }
}

/// The files as they were read, before the model is known.
#[derive(Clone, Debug)]
pub struct Data {
    /// The training examples.
    pub train: Source,
    /// The evaluation examples.
    pub eval: Option<Source>,
    /// The kind of labels, for a sequence classifier.
    pub kind: Option<ProblemType>,
    /// The classes of the labels, in the order of their ids.
    pub classes: Option<Classes>,
    /// Notes for people on how the files were read and what was omitted.
    pub notes: Vec<String>,
    /// The fingerprint of the training files.
    pub fingerprint: u64,
    /// The fingerprint of the evaluation files.
    pub eval_fingerprint: Option<u64>,
}

/// The examples as they are in the files.
#[derive(Clone, Debug)]
pub enum Source {
    Questions(Squad),
    Texts(Vec<(Place, classify::Example)>),
    Tagged(Vec<(Place, tag::Example)>),
    Documents(Vec<String>),
}

/// The file and line of an example.
#[derive(Clone, Debug)]
pub struct Place {
    file: Arc<str>,
    line: u64,
}

impl Place {
    /// The place for messages.
    pub fn at(&self) -> At<'_> {
        At { file: &self.file, line: self.line }
    }
}

impl Data {
    /// Reads the files to train on, and those to evaluate on, if any.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`], which names file and line; [`Error::Input`] for a file of more than 1 GiB.
    pub fn read(task: &Task, train: &[PathBuf], eval: &[PathBuf]) -> Result<Self> {
        let mut kind = if let Task::Classify { kind, .. } = task { *kind } else { None };
        let mut notes = Vec::new();
        let (train, fingerprint) = Source::read(task, train, &mut kind, &mut notes)?;
        let (train, fingerprint) = (train.learnable(&mut notes)?, fingerprint);
        let eval = if eval.is_empty() { None } else { Some(Source::read(task, eval, &mut kind, &mut notes)?) };
        let classes = train.classes(kind);
        let (eval, eval_fingerprint) = eval.unzip();
        Ok(Self { train, eval, kind, classes, notes, fingerprint, eval_fingerprint })
    }

    /// Whether the base with this configuration already has the head to train. A base that knows these classes, and
    /// perhaps others, keeps its own classes.
    pub fn is_known_to(&mut self, task: &Task, base: &Config) -> bool {
        let architecture = task.head().architecture();
        let has_head = match task {
            Task::MaskedLm => base.is_architecture(architecture) || base.is_architecture("BertForPreTraining"),
            _ => base.is_architecture(architecture),
        };
        let Some(classes) = self.classes.as_mut().filter(|_| has_head) else { return has_head };
        let names: Vec<String> = (0..base.num_labels()).map(|i| base.label(i)).collect();
        let said = base.problem_type.as_deref();
        let is_kind = |kind: ProblemType| said.is_none_or(|said| said == kind.name());
        // The one output of a regression has an arbitrary name.
        let is_width = self.kind != Some(ProblemType::Regression) || names.len() == 1;
        if base.check_labels().is_err()
            || !is_width
            || !classes.names().iter().all(|class| names.contains(class))
            || !self.kind.is_none_or(is_kind)
        {
            return false;
        }
        *classes = Classes::listed(names);
        true
    }

    /// Checks that there are at least two classes.
    ///
    /// # Errors
    /// [`Error::Data`] if there are fewer.
    pub fn check_classes(&self) -> Result<()> {
        let names = self.classes.as_ref().map(Classes::names);
        let problem = match (names, self.kind) {
            (None, _) | (_, Some(ProblemType::Regression)) => return Ok(()),
            (Some([]), _) => "no example has a label".to_owned(),
            (Some([only]), Some(ProblemType::SingleLabel) | None) => format!("all labels are {:?}", clip(only)),
            _ => return Ok(()),
        };
        let help = help!(
            "Give examples of at least two classes, or check that ",
            OptionName("columns"),
            " names the right columns"
        );
        Err(Error::Data { file: "the data".into(), problem, help })
    }

    /// A description of the labels, for people.
    pub fn labels_in_words(&self) -> Option<String> {
        let names = self.classes.as_ref()?.names();
        let of = match self.kind {
            Some(ProblemType::Regression) => return Some("numbers".into()),
            Some(ProblemType::MultiLabel) => "any of ",
            _ => "",
        };
        let shown = names.iter().take(8).map(|name| clip(name)).collect::<Vec<_>>().join(", ");
        Some(format!("{of}{} classes: {shown}{}", names.len(), if names.len() > 8 { ", …" } else { "" }))
    }

    /// The metrics of the task's evaluation, the main one first.
    pub fn measures(&self) -> &'static [&'static str] {
        match (&self.train, self.kind) {
            (Source::Questions(_), _) => &["f1", "exact_match"],
            (Source::Texts(_), Some(ProblemType::Regression)) => &["pearson", "spearman", "loss"],
            (Source::Texts(_), Some(ProblemType::MultiLabel)) => &["f1", "precision", "recall", "loss"],
            (Source::Texts(_), _) => &["accuracy", "f1", "matthews", "loss"],
            (Source::Tagged(_), _) => &["f1", "precision", "recall", "accuracy", "loss"],
            (Source::Documents(_), _) => &["loss", "perplexity", "accuracy"],
        }
    }

    /// The purpose of the trained model.
    pub fn purpose(&self, task: &Task) -> Purpose<'_> {
        Purpose { head: task.head(), labels: self.classes.as_ref().map(Classes::names), kind: self.kind }
    }
}

impl Source {
    /// Reads the examples of all files and a fingerprint of their bytes. `kind` is the known kind of labels, and is set
    /// to the kind that was found. Omitted lines are counted.
    fn read(
        task: &Task,
        files: &[PathBuf],
        kind: &mut Option<ProblemType>,
        notes: &mut Vec<String>,
    ) -> Result<(Self, u64)> {
        let mut sum = Fingerprint::new();
        let mut all = match task {
            Task::QuestionAnswering => Source::Questions(Squad::default()),
            Task::Classify { columns, .. } => {
                let texts = texts(files, columns.as_ref(), kind, &mut sum, notes)?;
                return Ok((Source::Texts(texts), sum.value()));
            }
            Task::Tag { .. } => Source::Tagged(Vec::new()),
            Task::MaskedLm => Source::Documents(Vec::new()),
        };
        for path in files {
            let (name, bytes) = bytes_of(path)?;
            sum.add(&bytes);
            match &mut all {
                Source::Questions(all) => {
                    let Squad { contexts, questions } = Squad::parse(&name, &bytes)?;
                    let before = all.contexts.len();
                    all.contexts.extend(contexts);
                    all.questions.extend(questions.into_iter().map(|mut question| {
                        question.context += before;
                        question
                    }));
                }
                Source::Tagged(all) => {
                    let format =
                        Format::of(&name).or_else(|e| if is_conll(&bytes) { Ok(Format::Conll) } else { Err(e) })?;
                    let columns = if let Task::Tag { columns } = task { *columns } else { None };
                    let read = tag::read(&name, &bytes, format, columns)?;
                    notes.extend(read.notes);
                    all.extend(placed(&name, read.examples));
                }
                Source::Documents(all) => all.extend(text::read(&name, &bytes)?),
                Source::Texts(_) => {}
            }
        }
        Ok((all, sum.value()))
    }

    fn classes(&self, kind: Option<ProblemType>) -> Option<Classes> {
        match self {
            // Its one output has no name.
            Source::Texts(_) if kind == Some(ProblemType::Regression) => Some(Classes::listed(vec!["LABEL_0".into()])),
            Source::Texts(examples) => Some(Classes::of(examples.iter().flat_map(|(_, example)| {
                match &example.label {
                    Label::Class(name) => std::slice::from_ref(name),
                    Label::Classes(names) => names,
                    Label::Value(_) => &[],
                }
                .iter()
                .map(String::as_str)
            }))),
            Source::Tagged(examples) => {
                Some(Classes::of(examples.iter().flat_map(|(_, example)| example.tags.iter().map(String::as_str))))
            }
            Source::Questions(_) | Source::Documents(_) => None,
        }
    }
}

/// The most questions that a notice names.
const NAMED: usize = 3;

impl Source {
    /// Omits questions whose answer is not where the data says, because they have no span to learn. Evaluation can
    /// still use them.
    fn learnable(self, notes: &mut Vec<String>) -> Result<Self> {
        let Source::Questions(mut squad) = self else { return Ok(self) };
        let is_lost = |question: &Question| question.place.is_none() && !question.answers.is_empty();
        let (lost, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut squad.questions).into_iter().partition(is_lost);
        squad.questions = kept;
        if !lost.is_empty() {
            let names: Vec<String> =
                lost.iter().take(NAMED).map(|question| format!("{:?}", clip(&question.id))).collect();
            let more = if lost.len() > NAMED { ", …" } else { "" };
            let what =
                format!("{} questions have no answer where answer_start says: {}{more}", lost.len(), names.join(", "));
            if squad.questions.is_empty() {
                return Err(Error::Data {
                    file: "the data".into(),
                    problem: what,
                    help: "Correct answer_start, which counts code points of the context".into(),
                });
            }
            notes.push(format!("left out: {what}"));
        }
        Ok(Source::Questions(squad))
    }
}

/// Reads labelled texts. All files together decide the kind of labels: if one has fractions, the labels of the others
/// are numbers too.
fn texts(
    files: &[PathBuf],
    columns: Option<&Columns>,
    kind: &mut Option<ProblemType>,
    sum: &mut Fingerprint,
    notes: &mut Vec<String>,
) -> Result<Vec<(Place, classify::Example)>> {
    let mut all = Vec::with_capacity(files.len());
    for path in files {
        let (name, bytes) = bytes_of(path)?;
        sum.add(&bytes);
        let read = classify::read(&name, &bytes, Format::of(&name)?, columns, *kind)?;
        all.push((path, name, read));
    }
    let said = |kind: &ProblemType| all.iter().any(|(_, _, read)| read.kind == *kind);
    *kind = kind.or_else(|| {
        [ProblemType::MultiLabel, ProblemType::Regression, ProblemType::SingleLabel].into_iter().find(said)
    });
    let mut examples = Vec::new();
    for (path, name, mut read) in all {
        if Some(read.kind) != *kind {
            let (_, bytes) = bytes_of(path)?;
            sum.add(&bytes);
            read = classify::read(&name, &bytes, Format::of(&name)?, columns, *kind)?;
        }
        if let Some(columns) = &read.columns {
            notes.push(format!("{name}: columns {columns}"));
        }
        if read.left_out > 0 {
            notes.push(format!("{name}: {} lines are not examples and are skipped", read.left_out));
        }
        examples.extend(placed(&name, read.examples));
    }
    Ok(examples)
}

/// The name of a file, for messages, and its bytes.
fn bytes_of(path: &Path) -> Result<(Arc<str>, Vec<u8>)> {
    let file = open_regular(path).map_err(|e| Error::io("read", path, e))?;
    Ok((path.display().to_string().into(), read_at_most(file, path, MAX_BYTES)?))
}

fn placed<E>(file: &Arc<str>, examples: Vec<(u64, E)>) -> impl Iterator<Item = (Place, E)> {
    let file = file.clone();
    examples.into_iter().map(move |(line, example)| (Place { file: file.clone(), line }, example))
}

/// Whether a file with an unknown name seems to have a token and its tag on each line, like the files of WNUT-17.
fn is_conll(bytes: &[u8]) -> bool {
    let first = bytes.split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty()).unwrap_or_default();
    !first.starts_with(b"{") && first.trim_ascii().split(|b| b.is_ascii_whitespace()).count() > 1
}
