//! Low-rank adapters: `y = x Wᵀ + b + s (dropout(x) Aᵀ) Bᵀ` with W frozen (Hu et al., 2021), named as PEFT names them.

use super::nodes::Param;
use super::tape::Tape;
use crate::error::{Error, Result, clip};
use crate::graph::Tensor;
use crate::ops::columns::{add_columns, take_columns};
use crate::ops::dropout::{Dropout, dropout};
use crate::ops::matmul_backward::{matmul_dw, matmul_dx, matmul_onto};

/// What an adapter is. The defaults are PEFT's usual ones for BERT.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct LoraOptions {
    /// Rows of A and columns of B. At least 1.
    pub r: usize,
    /// The scale of `B A` times `r`.
    pub alpha: f32,
    /// The share of the input's elements that are dropped on their way into A, below 1.
    pub dropout: f32,
    pub targets: Targets,
}

impl Default for LoraOptions {
    fn default() -> Self {
        Self { r: 8, alpha: 16.0, dropout: 0.0, targets: Targets([true, false, true, false, false, false]) }
    }
}

/// Largest rank: what is more is no adapter.
const MOST_RANK: usize = 1024;

impl LoraOptions {
    /// # Errors
    /// [`Error::Option`] that names the one that is out of range.
    pub fn check(&self) -> Result<()> {
        let wrong = |name, problem: String, mend: &str| Err(Error::Option { name, problem, mend: mend.into() });
        let Self { r, alpha, dropout, .. } = *self;
        if !(1..=MOST_RANK).contains(&r) {
            return wrong("lora-r", format!("{r} is no rank of an adapter"), "Give one from 1 to 1024, such as 8");
        }
        if !(alpha.is_finite() && alpha > 0.0) {
            return wrong("lora-alpha", format!("{alpha} is out of range"), "Give a positive number, such as 16");
        }
        if !(0.0..1.0).contains(&dropout) {
            return wrong("lora-dropout", format!("{dropout} is out of range"), "Give a share below 1, such as 0.1");
        }
        Ok(())
    }
}

/// The linear layers of an encoder layer, as PEFT's `target_modules` can tell them apart.
pub const MODULES: [&str; 6] = [
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
];

/// Which of the [`MODULES`] are adapted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets([bool; 6]);

impl Targets {
    /// The targets of these names, each a module's or the end of one after a dot, as PEFT has it; `dense` is all three.
    ///
    /// # Errors
    /// [`Error::Option`] for a name that is none's, or if there is none.
    pub fn named<S: AsRef<str>>(names: &[S]) -> Result<Self> {
        let wrong = |problem| {
            let mend =
                "Give some of query, key, value, attention.output.dense, intermediate.dense, output.dense, dense";
            Err(Error::Option { name: "lora-targets", problem, mend: mend.into() })
        };
        let mut targets = [false; 6];
        for name in names.iter().map(AsRef::as_ref) {
            let hits = MODULES.map(|module| is_suffix(module, name));
            if !hits.contains(&true) {
                return wrong(format!("no linear layer of the encoder is called '{}'", clip(name)));
            }
            targets.iter_mut().zip(hits).for_each(|(target, hit)| *target |= hit);
        }
        if targets.contains(&true) { Ok(Self(targets)) } else { wrong("there is none".into()) }
    }

    /// Whether the module, one of [`MODULES`], is adapted.
    pub fn has(self, module: &str) -> bool {
        MODULES.iter().zip(self.0).any(|(known, on)| on && *known == module)
    }

    /// As PEFT's `target_modules`: none of them is the end of a layer's name outside the encoder.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let short = |module: &'static str| module.strip_prefix("attention.self.").unwrap_or(module);
        MODULES.into_iter().zip(self.0).filter(|(_, on)| *on).map(move |(module, _)| short(module))
    }
}

fn is_suffix(module: &str, name: &str) -> bool {
    module.strip_suffix(name).is_some_and(|rest| !name.is_empty() && (rest.is_empty() || rest.ends_with('.')))
}

impl serde::Serialize for Targets {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// An adapter on a device.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// `[r, K]`
    pub a: Param,
    /// `[N, r]`
    pub b: Param,
    /// Where its N columns begin in the layer's y: not at 0 for some of a fused one.
    pub first: u32,
    /// s
    pub scale: f32,
    /// Of its dropout.
    pub site: u32,
}

impl Tape {
    /// Adds an adapter's share to `y`, which [`linear`](Self::linear) computed from `x`: before anything else reads it.
    pub fn adapt(&mut self, y: Tensor, x: Tensor, adapter: &Adapter, site: Dropout) {
        let Adapter { first, scale, .. } = *adapter;
        let [a, b] = [&adapter.a, &adapter.b].map(|param| self.graph.state(&param.value));
        let g = &mut self.graph;
        let dropped = if site.p == 0.0 { x } else { dropout(g, "adapter.dropped", x, site, None) };
        let low = matmul_onto(g, "adapter.low", dropped, a, None);
        let low = take_columns(g, "adapter.scaled", low, 0, low.cols, scale);
        let n = adapter.b.value.rows() as u32;
        let whole = n == y.cols;
        if whole {
            matmul_onto(g, "", low, b, Some(y));
        } else {
            let share = matmul_onto(g, "adapter.share", low, b, None);
            add_columns(g, share, y, first);
        }
        let gradients = [&adapter.a, &adapter.b].map(|param| param.gradient.clone());
        self.node(y, move |tape, d_y| {
            let [d_a, d_b] = gradients.map(|state| state.map(|state| tape.graph.state(&state)));
            let g = &mut tape.graph;
            let d_share = if whole { d_y } else { take_columns(g, "d_adapter.share", d_y, first, n, 1.0) };
            if let Some(d_b) = d_b {
                matmul_dw(g, d_share, low, d_b);
            }
            let d_low = matmul_dx(g, "d_adapter.scaled", d_share, b, None);
            let d_low = take_columns(g, "d_adapter.low", d_low, 0, d_low.cols, scale);
            if let Some(d_a) = d_a {
                matmul_dw(g, d_low, dropped, d_a);
            }
            if !tape.wants(x) {
                return;
            }
            let d_x = if site.p == 0.0 {
                let onto = tape.gradient(x);
                matmul_dx(&mut tape.graph, "d_adapter.x", d_low, a, onto)
            } else {
                let d_dropped = matmul_dx(&mut tape.graph, "d_adapter.dropped", d_low, a, None);
                dropout(&mut tape.graph, "d_adapter.x", d_dropped, site, None)
            };
            tape.give(x, d_x);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_ends_of_names() {
        let names = |given: &[&str]| Targets::named(given).unwrap().names().collect::<Vec<_>>();
        assert_eq!(names(&["query", "value"]), ["query", "value"]);
        assert_eq!(names(&["attention.self.key"]), ["key"]);
        assert_eq!(names(&["dense"]), ["attention.output.dense", "intermediate.dense", "output.dense"]);
        assert_eq!(names(&["output.dense"]), ["attention.output.dense", "output.dense"]);
        assert_eq!(LoraOptions::default().targets, Targets::named(&["value", "query"]).unwrap());
        for bad in [&["pooler"][..], &[""], &["ery"], &[]] {
            assert_eq!(Targets::named(bad).unwrap_err().code(), "option", "{bad:?}");
        }
        let bad = |change: fn(&mut LoraOptions)| {
            let mut options = LoraOptions::default();
            change(&mut options);
            options.check().unwrap_err().code()
        };
        assert_eq!([bad(|o| o.r = 0), bad(|o| o.alpha = f32::NAN), bad(|o| o.dropout = 1.0)], ["option"; 3]);
    }
}
