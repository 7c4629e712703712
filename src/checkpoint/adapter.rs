//! LoRA adapters as `peft` reads and writes them: two thin matrices for each adapted linear layer, and a head whole.

use serde::{Deserialize, Serialize};

/// What a low-rank adapter adds to which linear layers: `W + (alpha / r) B A`, with `A [r, in]` and `B [out, r]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lora {
    /// The rank.
    pub r: usize,
    pub alpha: f32,
    /// Dropout on what goes into `A`, in training alone.
    pub dropout: f32,
    /// The linear layers, by the ends of their names.
    pub targets: Vec<String>,
}

impl Default for Lora {
    fn default() -> Self {
        Self { r: 8, alpha: 16.0, dropout: 0.0, targets: vec!["query".into(), "value".into()] }
    }
}

impl Lora {
    /// Whether the module with this full name is adapted: it is one of the targets, or ends with one after a dot.
    pub fn applies_to(&self, module: &str) -> bool {
        self.targets.iter().any(|target| {
            module.strip_suffix(target.as_str()).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }

    /// What `B A` is multiplied by.
    pub fn scale(&self) -> f32 {
        self.alpha / self.r as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_whole_ends_of_names() {
        let lora = Lora { targets: vec!["query".into(), "output.dense".into()], ..Lora::default() };
        assert!(lora.applies_to("bert.encoder.layer.0.attention.self.query"));
        assert!(lora.applies_to("query"));
        assert!(lora.applies_to("bert.encoder.layer.0.attention.output.dense"));
        assert!(lora.applies_to("bert.encoder.layer.0.output.dense"));
        assert!(!lora.applies_to("bert.encoder.layer.0.intermediate.dense"));
        assert!(!lora.applies_to("bert.encoder.layer.0.attention.self.prequery"));
        assert_eq!(lora.scale(), 2.0);
    }
}
