//! The modules after the `Transformer`, as their configurations describe them.

use serde_json::Value;

use super::settings::Settings;
use crate::activation::Activation;
use crate::error::{Error, Result, clip};
use crate::pooling::Pooling;

/// A module after the `Transformer`. It reads vectors of H numbers and returns P H or N.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Module {
    /// Pools the tokens of a text `[S, H]` into a vector, by one pooling, or by P side by side.
    Pool {
        /// The poolings, whose results are put side by side.
        poolings: Vec<Pooling>,
        /// Whether the tokens of a prompt count.
        with_prompt: bool,
    },
    /// A linear layer with an activation.
    Dense(Dense),
    /// LayerNorm over `cols` numbers. Its weights are in the directory `dir`.
    Norm {
        /// The directory of its weights.
        dir: String,
        /// The length of the vectors.
        cols: usize,
    },
    /// Scales vectors to length 1.
    Normalize,
}

/// `act(W x + b)` with W `[N, H]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    /// The directory of its weights.
    pub dir: String,
    /// N, the length of the result.
    pub rows: usize,
    /// H, the length of the input.
    pub cols: usize,
    /// Whether it has a bias `b`.
    pub has_bias: bool,
    /// The activation `act`.
    pub activation: Activation,
    /// Whether the input is the vector of each token, not that of the text.
    pub of_tokens: bool,
}

impl Module {
    /// The poolings, if it is a `Pool`.
    pub fn poolings(&self) -> Option<&[Pooling]> {
        match self {
            Module::Pool { poolings, .. } => Some(poolings),
            _ => None,
        }
    }

    /// The directory of its weights, if it has any.
    pub fn dir(&self) -> Option<&str> {
        match self {
            Module::Dense(Dense { dir, .. }) | Module::Norm { dir, .. } => Some(dir),
            Module::Pool { .. } | Module::Normalize => None,
        }
    }
}

/// The poolings that a `Pooling` module's configuration enables.
pub(super) fn pooling(settings: &Settings<'_>, _: &str) -> Result<Module> {
    let word = |value: &Value| {
        let unknown = || Error::Unsupported {
            what: settings.unsupported_what("pooling_mode", &value.to_string()),
            help: format!("Known are {}", Pooling::WORDS.map(|(word, _)| word).join(", ")).into(),
        };
        value.as_str().and_then(Pooling::from_word).ok_or_else(unknown)
    };
    // Newer files have a word or a list of words, and nothing else counts. Older files have a switch for each mode.
    let poolings = match settings.value("pooling_mode") {
        Some(Value::Array(list)) => list.iter().map(word).collect::<Result<Vec<_>>>()?,
        Some(value) => vec![word(value)?],
        None => {
            let mut on = Vec::new();
            for (key, pooling) in Pooling::KEYS {
                if settings.flag(key, false)? {
                    on.push(pooling);
                }
            }
            // The default of older versions is the mean.
            if on.is_empty() { vec![Pooling::Mean] } else { on }
        }
    };
    for (key, _) in settings.keys().filter(|(key, _)| key.starts_with("pooling_mode_")) {
        if !Pooling::KEYS.iter().any(|(known, _)| known == key) {
            return Err(settings.unsupported(key, "unknown here"));
        }
    }
    if !(1..=Pooling::MOST).contains(&poolings.len()) {
        return Err(settings.unsupported("pooling_mode", &format!("{} poolings", poolings.len())));
    }
    Ok(Module::Pool { poolings, with_prompt: settings.flag("include_prompt", true)? })
}

/// A `Dense` module whose weights are in `dir`.
pub(super) fn dense(settings: &Settings<'_>, dir: &str) -> Result<Module> {
    settings.only(&[
        "in_features",
        "out_features",
        "bias",
        "activation_function",
        "module_input_name",
        "module_output_name",
    ])?;
    let size = |key: &str| settings.size(key)?.ok_or_else(|| settings.malformed(format!("{key} is missing")));
    let input = settings.text("module_input_name")?.unwrap_or("sentence_embedding");
    let output = settings.text("module_output_name")?.unwrap_or(input);
    if output != input || !["sentence_embedding", "token_embeddings"].contains(&input) {
        return Err(settings.unsupported("module_input_name", &format!("{input} to {output}")));
    }
    Ok(Module::Dense(Dense {
        dir: dir.to_owned(),
        rows: size("out_features")?,
        cols: size("in_features")?,
        has_bias: settings.flag("bias", true)?,
        activation: activation(settings)?,
        of_tokens: input == "token_embeddings",
    }))
}

fn activation(settings: &Settings<'_>) -> Result<Activation> {
    let Some(class) = settings.text("activation_function")? else { return Ok(Activation::Tanh) };
    if let Some(known) = Activation::from_torch(class) {
        return Ok(known);
    }
    if class.starts_with("torch.") {
        return Err(settings.unsupported("activation_function", class));
    }
    // By default, sentence-transformers does not run foreign code either.
    tracing::warn!("the activation function {:?} is not PyTorch's: tanh, the default, is used", clip(class));
    Ok(Activation::Tanh)
}

/// A `LayerNorm` module whose weights are in `dir`.
pub(super) fn norm(settings: &Settings<'_>, dir: &str) -> Result<Module> {
    settings.only(&["dimension"])?;
    let cols = settings.size("dimension")?.ok_or_else(|| settings.malformed("dimension is missing".into()))?;
    Ok(Module::Norm { dir: dir.to_owned(), cols })
}
