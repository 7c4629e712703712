//! The crate's one error type.
//!
//! Every variant that a user can meet names the thing that is wrong and what to do about it, and has a
//! stable [`code`](Error::code) that the JavaScript API shares.

use std::path::PathBuf;

/// What the crate's fallible functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Anything that can go wrong outside the program's own logic.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried: "read", "write", "map", …
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A model configuration is missing, malformed or describes an impossible model.
    #[error("{file}: {problem}. {mend}")]
    Config { file: String, problem: String, mend: String },
    /// A checkpoint file or one of its tensors is broken, absent or has the wrong shape or values.
    #[error("{file}: {problem}. {mend}")]
    Checkpoint {
        file: String,
        /// The tensor at fault, where the fault is one tensor's.
        tensor: Option<String>,
        problem: String,
        mend: String,
    },
    /// A tokenizer file is missing or malformed.
    #[error("{file}: {problem}. {mend}")]
    Tokenizer { file: String, problem: String, mend: String },
    /// A data set (SQuAD JSON and the like) is malformed.
    #[error("{file}: {problem}. {mend}")]
    Data { file: String, problem: String, mend: String },
    /// The file is well formed but asks for something this version does not do.
    #[error("{what} is not supported. {mend}")]
    Unsupported { what: String, mend: String },
    /// The text itself cannot be worked on: an empty question, an empty context.
    #[error("{problem}. {mend}")]
    Input { problem: String, mend: String },
    /// An option's value is out of range or contradicts another option.
    #[error("{name}: {problem}. {mend}")]
    Option { name: &'static str, problem: String, mend: String },
    /// The work needs more memory than there is or than a limit allows. Predicted, before it is taken.
    #[error("{what} needs {need} bytes, {have} are available. {mend}")]
    Memory { what: String, need: u64, have: u64, mend: String },
    /// There is no GPU that can be used, or it failed.
    #[error("GPU {adapter}: {problem}. {mend}")]
    Gpu { adapter: String, problem: String, mend: String },
    /// The GPU device was lost while work was under way; opening a new device may work.
    #[error("the GPU device {adapter} was lost: {problem}. Open the device again, or use the CPU")]
    DeviceLost { adapter: String, problem: String },
    /// A model could not be had from the Hugging Face Hub.
    #[error("{what}: {problem}. {mend}")]
    Hub {
        fault: HubFault,
        /// The model, or the one of its files that is at fault.
        what: String,
        problem: String,
        mend: String,
    },
    /// A device's results are not those of the reference: its driver or a kernel has a fault.
    #[error("{device} computes wrong: {problem}. {mend}")]
    Wrong { device: String, problem: String, mend: String },
    /// A training's loss or a parameter is no longer finite.
    #[error("step {step}: {problem}. {mend}")]
    Diverged {
        /// The optimizer step, from 1.
        step: u64,
        problem: String,
        mend: String,
    },
    /// The caller cancelled the work.
    #[error("cancelled")]
    Cancelled,
}

/// Why the Hub did not give a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubFault {
    /// There is no such model, revision or file.
    NotFound,
    /// It is there, or may be, but not for this token or without one.
    NoAccess,
    /// The network is off limits and the cache does not hold it.
    NotCached,
    /// The server could not be reached, is out of order or broke off: trying again may help.
    Network,
    /// What the server sent is not what it had announced, or makes no sense.
    Answer,
}

/// How a user takes the CPU instead of a GPU that fails.
pub(crate) const USE_CPU: &str = if cfg!(target_arch = "wasm32") { "use device 'wasm'" } else { "use --device cpu" };

impl Error {
    /// A stable, machine-readable code.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Io { .. } => "io",
            Error::Config { .. } => "config",
            Error::Checkpoint { .. } => "checkpoint",
            Error::Tokenizer { .. } => "tokenizer",
            Error::Data { .. } => "data",
            Error::Unsupported { .. } => "unsupported",
            Error::Input { .. } => "input",
            Error::Option { .. } => "option",
            Error::Memory { .. } => "memory",
            Error::Gpu { .. } => "gpu",
            Error::DeviceLost { .. } => "device_lost",
            Error::Hub { fault, .. } => match fault {
                HubFault::NotFound => "hub_not_found",
                HubFault::NoAccess => "hub_no_access",
                HubFault::NotCached => "hub_not_cached",
                HubFault::Network => "hub_network",
                HubFault::Answer => "hub_answer",
            },
            Error::Wrong { .. } => "wrong",
            Error::Diverged { .. } => "diverged",
            Error::Cancelled => "cancelled",
        }
    }

    /// An I/O failure, with what was tried on which path.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Io { action, path: path.into(), source }
    }
}

/// The start of a name that came from a file, fit for one line of a message.
pub(crate) fn clip(text: &str) -> String {
    clip_to(text, 120)
}

/// The start of a parser's message, which can quote its file at any length.
pub(crate) fn clip_message(error: &impl std::fmt::Display) -> String {
    clip_to(&error.to_string(), 500)
}

fn clip_to(text: &str, most: usize) -> String {
    let mut line: String = text.chars().take(most).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(most).is_some() {
        line.push('…');
    }
    line
}
