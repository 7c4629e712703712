//! The arguments of a command, to compare a batch that is resumed with the one that began.

use cloze::fingerprint::Fingerprint;
use serde_json::{Map, Value};

/// The settings that a run's results depend on, by name.
pub type Arguments = Map<String, Value>;

/// Arguments that do not affect the results, or that are compared in another way.
const NOT_COMPARED: [&str; 11] =
    ["model", "offline", "device", "threads", "json", "quiet", "input", "output", "resume", "overwrite", "format"];

/// The command and its options, given or by default.
pub fn arguments(matches: &clap::ArgMatches) -> Arguments {
    let mut arguments = Arguments::new();
    let Some((command, matches)) = matches.subcommand() else { return arguments };
    arguments.insert("command".into(), command.into());
    // clap also has ids for groups of arguments, which are the names of their types.
    let is_argument = |id: &&str| !NOT_COMPARED.contains(id) && !id.starts_with(char::is_uppercase);
    for id in matches.ids().map(clap::Id::as_str).filter(is_argument) {
        let Ok(Some(values)) = matches.try_get_raw(id) else { continue };
        let values: Vec<String> = values.map(|value| short(&value.to_string_lossy())).collect();
        arguments.insert(id.into(), if let [one] = values.as_slice() { one.as_str().into() } else { values.into() });
    }
    arguments
}

/// A value, or a sum over it if it is long, such as a context.
fn short(value: &str) -> String {
    const LONG: usize = 200;
    if value.len() <= LONG {
        return value.to_owned();
    }
    let mut sum = Fingerprint::new();
    sum.add(value.as_bytes());
    format!("{} bytes with the sum {:016x}", value.len(), sum.value())
}
