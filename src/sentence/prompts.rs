//! Prompts: texts that precede each text, such as "query: ".

use super::settings::Settings;
use crate::error::{Error, Result, clip};

/// The prompts of a model, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompts {
    /// Each name with its text.
    named: Vec<(String, String)>,
    default: Option<String>,
}

impl Default for Prompts {
    /// The two names that every model has.
    fn default() -> Self {
        let named = ["query", "document"].map(|name| (name.to_owned(), String::new()));
        Self { named: named.into(), default: None }
    }
}

impl Prompts {
    pub(super) fn none() -> Self {
        Self { named: Vec::new(), default: None }
    }

    /// Adds the prompts of the settings, which override these.
    pub(super) fn read(self, settings: &Settings<'_>) -> Result<Self> {
        let mut prompts = self;
        if let Some(named) = settings.inner("prompts")? {
            for (name, _) in named.keys() {
                let text = named.text(name)?.unwrap_or_default().to_owned();
                match prompts.named.iter_mut().find(|(known, _)| known == name) {
                    Some((_, known)) => *known = text,
                    None => prompts.named.push((name.clone(), text)),
                }
            }
        }
        if let Some(name) = settings.text("default_prompt_name")? {
            if prompts.of(name).is_none() {
                let problem =
                    format!("default_prompt_name {:?} is not one of the prompts {}", clip(name), prompts.names());
                return Err(settings.malformed(problem));
            }
            prompts.default = Some(name.to_owned());
        }
        Ok(prompts)
    }

    /// The text to put before a text: that of the prompt named `asked`, or else `asked` itself. By default it is the model's own default
    /// prompt. An empty text means
    /// no prompt.
    ///
    /// # Errors
    /// [`Error::Option`] if `asked` looks like a name, but the model has no such prompt.
    pub fn text<'a>(&'a self, asked: Option<&'a str>) -> Result<&'a str> {
        let Some(name) = asked.or(self.default.as_deref()) else { return Ok("") };
        if let Some(text) = self.of(name) {
            return Ok(text);
        }
        // Directly before a text, such a word would join the first word of the text.
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if !name.is_empty() && name.chars().all(is_name) {
            return Err(Error::Option {
                name: "prompt",
                problem: format!("the model has no prompt called {:?}", clip(name)),
                help: format!("Give one of {}, or a text such as \"query: \"", self.names()).into(),
            });
        }
        Ok(name)
    }

    fn of(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// The names and their texts.
    pub fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        self.named.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// The name of the default prompt.
    pub fn default_name(&self) -> Option<&str> {
        self.default.as_deref()
    }

    fn names(&self) -> String {
        const LISTED: usize = 12;
        let names: Vec<_> = self.named.iter().take(LISTED).map(|(name, _)| clip(name)).collect();
        names.join(", ")
    }
}
