//! The settings with which a `Transformer` module reads texts.

use super::settings::Settings;
use crate::error::Result;

pub(super) struct Reading {
    /// The most tokens of a text, with special tokens.
    pub max_seq_length: Option<usize>,
    pub do_lower_case: bool,
}

impl Reading {
    pub fn of(settings: &Settings) -> Result<Self> {
        settings.only(&[
            "transformer_task",
            "modality_config",
            "module_output_name",
            "processing_kwargs",
            "unpad_inputs",
            "max_seq_length",
            "do_lower_case",
            "tokenizer_name_or_path",
            "model_args",
            "model_kwargs",
            "tokenizer_args",
            "processor_kwargs",
            "config_args",
            "config_kwargs",
        ])?;
        if settings.text("tokenizer_name_or_path")?.is_some() {
            return Err(settings.unsupported("tokenizer_name_or_path", "a tokenizer elsewhere"));
        }
        let do_lower_case = settings.flag("do_lower_case", false)?;
        let mut max_seq_length = settings.size("max_seq_length")?;
        // Later settings override earlier ones.
        for key in ["tokenizer_args", "processor_kwargs"] {
            if let Some(inner) = settings.inner(key)? {
                // None of these changes the tokens of a text.
                inner.only(&["model_max_length", "padding_side", "use_fast", "trust_remote_code"])?;
                max_seq_length = inner.size("model_max_length")?.or(max_seq_length);
            }
        }
        for key in ["config_args", "config_kwargs"] {
            if let Some(inner) = settings.inner(key)? {
                inner.only(&["trust_remote_code", "use_cache", "torch_dtype", "dtype", "attn_implementation"])?;
            }
        }
        if let Some(inner) = settings.inner("processing_kwargs")?
            && let Some(text) = inner.inner("text")?
        {
            text.only(&["max_length", "truncation", "padding", "pad_to_multiple_of"])?;
            if !matches!(text.value("truncation"), None | Some(serde_json::Value::Bool(true))) {
                text.is_word("truncation", "longest_first")?;
            }
            max_seq_length = text.size("max_length")?.or(max_seq_length);
        }
        if max_seq_length.is_some_and(|n| n < 3) {
            return Err(settings.malformed("max_seq_length leaves no room for text".into()));
        }
        Ok(Self { max_seq_length, do_lower_case })
    }
}
