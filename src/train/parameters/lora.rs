//! Low-rank adapters: `y = x Wᵀ + b + s (dropout(x) Aᵀ) Bᵀ` with W frozen (Hu et al., arXiv:2106.09685). The names are
//! those of PEFT.

use crate::checkpoint::adapter::Lora;
use crate::checkpoint::names::{LINEAR_LAYERS, in_layer};
use crate::error::{Error, Result, clip};
use crate::graph::Tensor;
use crate::ops::columns::{add_columns, take_columns};
use crate::ops::dropout::{Dropout, dropout};
use crate::ops::matmul_backward::{matmul_dw, matmul_dx, matmul_onto};
use crate::train::autodiff::nodes::Trained;
use crate::train::autodiff::tape::Tape;

const TARGETS: &str = "Give some of query, key, value, attention.output.dense, intermediate.dense, output.dense, dense";

/// The same adapters, but only for the encoder layers `layers`. Their targets match the ends of no other layers' names;
/// for example, a bare `dense` would also match the pooler.
///
/// # Errors
/// [`Error::Option`] names the value that is out of range, or the target that matches no linear layer.
pub fn checked(lora: &Lora, layers: std::ops::Range<usize>) -> Result<Lora> {
    let wrong = |problem: String| Err(Error::Option { name: "lora_targets", problem, help: TARGETS.into() });
    lora.check_numbers()?;
    if layers.is_empty() {
        return Err(Error::Option {
            name: "freeze_layers",
            problem: "no layer is left for adapters".into(),
            help: "Freeze fewer, or use the method head".into(),
        });
    }
    let named = |wanted: &Lora| -> Vec<(usize, &'static str)> {
        let all = layers.clone().flat_map(|i| LINEAR_LAYERS.map(|name| (i, name)));
        all.filter(|(i, name)| wanted.applies_to(&in_layer(*i, name))).collect()
    };
    for target in &lora.targets {
        if named(&Lora { targets: vec![target.clone()], ..*lora }).is_empty() {
            let problem = format!("'{}' matches no trainable linear layer of the encoder", clip(target));
            return wrong(problem);
        }
    }
    let found = named(lora);
    if found.is_empty() {
        return wrong("no target is given".into());
    }
    let in_each = LINEAR_LAYERS.map(|name| found.iter().filter(|(_, found)| *found == name).count());
    let everywhere = layers.start == 0 && in_each.iter().all(|n| *n == 0 || *n == layers.len());
    let targets = match everywhere {
        true => {
            let names = LINEAR_LAYERS.iter().zip(in_each).filter(|(_, n)| *n > 0);
            names.map(|(name, _)| name.strip_prefix("attention.self.").unwrap_or(name).to_owned()).collect()
        }
        false => found.iter().map(|(i, name)| in_layer(*i, name)).collect(),
    };
    Ok(Lora { targets, ..*lora })
}

/// An adapter on a device.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// A, `[r, K]`.
    pub a: Trained,
    /// B, `[N, r]`.
    pub b: Trained,
    /// The first of its N columns in the layer's y. It is not 0 for some parts of a fused layer.
    pub first: u32,
    /// The scale s.
    pub scale: f32,
    /// The number of its dropout's place.
    pub site: u32,
}

impl Tape {
    /// Adds the adapter's output to `y`, which [`linear`](Self::linear) computed from `x`. Nothing else may have read y
    /// before.
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
            let [d_a, d_b] = gradients.map(|state| tape.graph.state(&state));
            let g = &mut tape.graph;
            let d_share = if whole { d_y } else { take_columns(g, "d_adapter.share", d_y, first, n, 1.0) };
            matmul_dw(g, d_share, low, d_b);
            let d_low = matmul_dx(g, "d_adapter.scaled", d_share, b, None);
            let d_low = take_columns(g, "d_adapter.low", d_low, 0, d_low.cols, scale);
            matmul_dw(g, d_low, dropped, d_a);
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
        let given =
            |targets: &[&str]| Lora { targets: targets.iter().map(|t| (*t).to_owned()).collect(), ..Lora::default() };
        let names = |targets: &[&str]| checked(&given(targets), 0..2).unwrap().targets;
        assert_eq!(names(&["value", "query"]), ["query", "value"]);
        assert_eq!(names(&["attention.self.key"]), ["key"]);
        assert_eq!(names(&["dense"]), ["attention.output.dense", "intermediate.dense", "output.dense"]);
        assert_eq!(names(&["output.dense"]), ["attention.output.dense", "output.dense"]);
        assert_eq!(names(&["layer.1.attention.self.key"]), ["bert.encoder.layer.1.attention.self.key"]);
        let above = checked(&given(&["query"]), 1..3).unwrap().targets;
        assert_eq!(above, [1, 2].map(|i| format!("bert.encoder.layer.{i}.attention.self.query")));
        for bad in [&["pooler"][..], &[""], &["ery"], &["layer.2.output.dense"], &[]] {
            assert_eq!(checked(&given(bad), 0..2).unwrap_err().code(), "option", "{bad:?}");
        }
        for bad in [Lora { r: 0, ..Lora::default() }, Lora { alpha: f32::NAN, ..Lora::default() }] {
            assert_eq!(checked(&bad, 0..2).unwrap_err().code(), "option", "{bad:?}");
        }
        assert_eq!(checked(&Lora { dropout: 1.0, ..Lora::default() }, 0..2).unwrap_err().code(), "option");
    }
}
