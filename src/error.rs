//! The crate's one error type.
//!
//! Every variant that a user can meet names the thing that is wrong and what to do about it, and has a
//! stable [`code`](Error::code) that the JavaScript API shares.
//!
//! Options and remedies are values in an error: each front end writes them its own way, with [`Error::render`] and a
//! [`Dialect`]. The library's texts name no `--flag`.
//!
//! Messages quote files, servers and drivers. Rendering shortens each quoted part to a few lines and escapes the characters
//! that command a terminal: see [`printable`]. This, and the dialect, is why `Display` is written by hand and not derived with
//! `thiserror`: a derived one could do neither.

mod help;

use std::fmt::{self, Write};
use std::path::PathBuf;

pub(crate) use help::help;
pub use help::{Dialect, Help, OptionName, Part, Plain, Remedy};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error that is not caused by the program's own logic.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    Io {
        /// The action that failed: "read", "write", "map", and so on.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A model configuration is missing or malformed, or describes an impossible model.
    Config {
        /// The file at fault.
        file: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// A checkpoint file or one of its tensors is broken or missing, or has a wrong shape or wrong values.
    Checkpoint {
        /// The file at fault.
        file: String,
        /// The tensor at fault, if the fault is in one tensor.
        tensor: Option<String>,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// A tokenizer file is missing or malformed.
    Tokenizer {
        /// The file at fault.
        file: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// A data set, such as SQuAD JSON, is malformed.
    Data {
        /// The file at fault.
        file: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// The file is valid, but needs something that this version does not support.
    Unsupported {
        /// What is not supported.
        what: String,
        /// What to do about it.
        help: Help,
    },
    /// The text cannot be processed, for example an empty question.
    Input {
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// An option's value is out of range or contradicts another option.
    Option {
        /// The name of the option in Rust, such as `top_k`, or an environment variable.
        name: &'static str,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// The work needs more memory than there is, or than a limit allows. This is predicted before memory is allocated.
    Memory {
        /// What needs the memory.
        what: String,
        /// The bytes that the work needs.
        need: u64,
        /// The bytes that are available or allowed.
        have: u64,
        /// What to do about it.
        help: Help,
    },
    /// No GPU can be used, or a GPU failed.
    Gpu {
        /// The name of the adapter.
        adapter: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// The GPU device was lost during the work. Opening a new device may help.
    DeviceLost {
        /// The name of the adapter.
        adapter: String,
        /// What is wrong.
        problem: String,
    },
    /// The Hugging Face Hub could not provide a model.
    Hub {
        /// The reason.
        fault: HubFault,
        /// The model, or the file of it that is at fault.
        what: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// A device's results differ from the reference, because its driver or a kernel has a fault.
    Wrong {
        /// The name of the device.
        device: String,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// The model computed an infinite number or NaN, because its weights are damaged or its training diverged.
    NotFinite {
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// The loss or a parameter of a training is no longer finite.
    Diverged {
        /// The optimizer step, from 1.
        step: u64,
        /// What is wrong.
        problem: String,
        /// What to do about it.
        help: Help,
    },
    /// The caller cancelled the work.
    Cancelled,
}

/// The reason why the Hub did not provide a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HubFault {
    /// There is no such model, revision or file.
    NotFound,
    /// It exists or may exist, but this token gives no access, or there is no token.
    NoAccess,
    /// The network is off and the cache does not have it.
    NotCached,
    /// The server could not be reached, failed, or closed the connection. Trying again may help.
    Network,
    /// The server's answer contradicts its announcement, or makes no sense.
    Answer,
}

impl fmt::Display for Error {
    /// The message in the [`Plain`] dialect.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, &Plain)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error {
    /// The message with options and remedies in the words of a front end.
    pub fn render(&self, dialect: &dyn Dialect) -> String {
        let mut text = String::new();
        self.write(&mut text, dialect).expect("a string takes all that is written");
        text
    }

    fn write(&self, to: &mut dyn Write, dialect: &dyn Dialect) -> fmt::Result {
        let mut put = |text: &dyn fmt::Display| Printable::new(to, MOST_CHARS).write_fmt(format_args!("{text}"));
        let mut all = |texts: &[&dyn fmt::Display]| texts.iter().try_for_each(|text| put(text));
        let reopen = help!("Open the device again, or ", Remedy::UseCpu);
        let help = match self {
            Error::Io { action, path, source } => {
                return all(&[&"cannot ", action, &" ", &path.display(), &": ", source]);
            }
            Error::Cancelled => return all(&[&"cancelled"]),
            Error::Config { file, problem, help }
            | Error::Checkpoint { file, problem, help, .. }
            | Error::Tokenizer { file, problem, help }
            | Error::Data { file, problem, help }
            | Error::Hub { what: file, problem, help, .. } => all(&[file, &": ", problem]).map(|()| help),
            Error::Unsupported { what, help } => all(&[what, &" is not supported"]).map(|()| help),
            Error::Input { problem, help } | Error::NotFinite { problem, help } => put(problem).map(|()| help),
            Error::Option { name, problem, help } => {
                all(&[&dialect.option(OptionName(name)), &": ", problem]).map(|()| help)
            }
            Error::Memory { what, need, have, help } => {
                all(&[what, &" needs ", need, &" bytes, ", have, &" are available"]).map(|()| help)
            }
            Error::Gpu { adapter, problem, help } => all(&[&"GPU ", adapter, &": ", problem]).map(|()| help),
            Error::DeviceLost { adapter, problem } => {
                all(&[&"the GPU device ", adapter, &" was lost: ", problem]).map(|()| &reopen)
            }
            Error::Wrong { device, problem, help } => all(&[device, &" computes wrong: ", problem]).map(|()| help),
            Error::Diverged { step, problem, help } => all(&[&"step ", step, &": ", problem]).map(|()| help),
        }?;
        to.write_str(". ")?;
        help.write(&mut Printable::new(to, MOST_CHARS), dialect)
    }

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
            Error::NotFinite { .. } => "not_finite",
            Error::Diverged { .. } => "diverged",
            Error::Cancelled => "cancelled",
        }
    }

    /// An I/O error, with the action and the path.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Error::Io { action, path: path.into(), source }
    }
}

/// The most characters of each part of a message.
const MOST_CHARS: usize = 1000;

/// Makes a text of unknown origin, such as a file's or a server's, safe to show: on one line, with at most `most`
/// characters, and with an escape like `\u{1b}` for each character that controls a terminal or is invisible. Those are
/// control characters, those of bidirectional text, and those without width. A joiner stays within a script that needs
/// it, and within an emoji.
pub fn printable(text: &str, most: usize) -> String {
    let mut shown = String::new();
    // Writing to a string cannot fail.
    let _ = Printable::new(&mut shown, most).write_str(text);
    shown
}

/// Writes text in the form of [`printable`].
struct Printable<'a, W: ?Sized> {
    to: &'a mut W,
    left: usize,
    before: char,
}

impl<'a, W: Write + ?Sized> Printable<'a, W> {
    fn new(to: &'a mut W, most: usize) -> Self {
        Self { to, left: most, before: ' ' }
    }
}

impl<W: Write + ?Sized> Write for Printable<'_, W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match self.left.checked_sub(1) {
                Some(left) => self.left = left,
                // The mark for more text is already written.
                None if self.before == MORE => return Ok(()),
                None => {
                    self.before = MORE;
                    return self.to.write_char(MORE);
                }
            }
            let joins = matches!(c, '\u{200c}' | '\u{200d}') && !self.before.is_ascii() && !is_unseen(self.before);
            match c {
                '\n' | '\r' | '\t' => self.to.write_char(' ')?,
                c if is_unseen(c) && !joins => write!(self.to, "{}", c.escape_unicode())?,
                c => self.to.write_char(c)?,
            }
            self.before = c;
        }
        Ok(())
    }
}

const MORE: char = '…';

/// Whether a character controls a terminal, changes the direction of text, or has no width.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The start of a name from a file, safe for one line of a message.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_command_no_terminal_and_end() {
        let evil = "a\u{1b}]0;pwned\u{7}\n\u{9b}2Jerror: fine\u{202e}\u{200b}\u{7f}b";
        let clean = "a\\u{1b}]0;pwned\\u{7} \\u{9b}2Jerror: fine\\u{202e}\\u{200b}\\u{7f}b";
        assert_eq!(printable(evil, 100), clean);
        assert_eq!(printable("ab\ncd", 4), "ab c…");
        assert_eq!((printable("abcd", 4), printable("", 0), printable("x", 0)), ("abcd".into(), "".into(), "…".into()));
        // Characters that scripts and emoji need stay, but cannot hide in a Latin word.
        for kept in ["می\u{200c}خواهم", "👩\u{200d}🚀", "naïve café", "日本語"] {
            assert_eq!(printable(kept, 100), kept);
        }
        assert_eq!(printable("pay\u{200d}pal", 100), "pay\\u{200d}pal");
        assert_eq!(printable("é\u{200d}\u{200d}", 100), "é\u{200d}\\u{200d}");

        let text = || evil.to_owned() + &"x".repeat(900_000);
        let (file, problem, help) = (text(), text(), Help::from(text()));
        for error in [
            Error::Config { file: file.clone(), problem: problem.clone(), help: help.clone() },
            Error::Checkpoint {
                file: file.clone(),
                tensor: Some(text()),
                problem: problem.clone(),
                help: help.clone(),
            },
            Error::Hub { fault: HubFault::Answer, what: file.clone(), problem: problem.clone(), help: help.clone() },
            Error::Option { name: "x", problem: problem.clone(), help: help.clone() },
            Error::Memory { what: file.clone(), need: 1, have: 2, help: help.clone() },
            Error::Gpu { adapter: file.clone(), problem: problem.clone(), help: help.clone() },
            Error::DeviceLost { adapter: file.clone(), problem: problem.clone() },
            Error::io("read", &file, std::io::Error::other(problem.clone())),
        ] {
            let shown = error.to_string();
            assert!(shown.len() < 3600 && shown.contains(clean) && !shown.contains(is_unseen), "{shown}");
        }
    }

    #[test]
    fn options_and_remedies_are_named_by_the_dialect() {
        struct Loud;
        impl Dialect for Loud {
            fn option(&self, OptionName(name): OptionName) -> String {
                name.to_uppercase()
            }
            fn remedy(&self, _: Remedy) -> &'static str {
                "SHOUT"
            }
        }
        let help = help!("Raise ", OptionName("max_len"), ", or ", Remedy::UseCpu);
        let error = Error::Option { name: "top_k", problem: "it is 0".into(), help };
        assert_eq!(error.to_string(), "top_k: it is 0. Raise max_len, or use the CPU");
        assert_eq!(error.render(&Loud), "TOP_K: it is 0. Raise MAX_LEN, or SHOUT");
    }
}
