//! The part that an adapter adds to a linear layer whose weight stays in 8 bits: `(x Aᵀ) Bᵀ`, two more matmuls.

use crate::activation::Activation;
use crate::checkpoint::Checkpoint;
use crate::device::{Device, Weight};
use crate::error::Result;
use crate::graph::{Graph, Tensor};
use crate::ops::activate::activate;
use crate::ops::matmul::matmul;
use crate::tensor::{DType, HostTensor};

/// A `[R, K]` stacks the parts. B `[N, R]` has each part at its own rows and columns, and zeros elsewhere.
#[derive(Debug)]
pub(super) struct LowRank {
    a: Weight,
    b: Weight,
    /// Zeros, because a matmul needs a bias: R and N of them.
    none: [Weight; 2],
}

impl LowRank {
    /// Loads the adapters of the layer `name`, whose outputs are those of the `parts`; `None` if no part is adapted.
    pub fn load(checkpoint: &Checkpoint, device: &Device, name: &str, parts: &[String]) -> Result<Option<Self>> {
        let adapted: Vec<_> = parts.iter().map(|part| checkpoint.low_rank(part)).collect();
        let rank: usize = adapted.iter().flatten().map(|[a, _]| a.rows).sum();
        if rank == 0 {
            return Ok(None);
        }
        let (mut rows, mut first, mut above) = (0, 0, Vec::new());
        for (part, pair) in parts.iter().zip(&adapted) {
            let of_part = checkpoint.get(&format!("{part}.weight"))?.rows;
            if let Some([a, b]) = pair {
                above.push((rows, first, b));
                first += a.rows;
            }
            rows += of_part;
        }
        let mut stacked = vec![0.0; rows * rank];
        for (row, first, b) in above {
            for (r, to) in stacked.chunks_exact_mut(rank).skip(row).take(b.rows).enumerate() {
                b.row_f32(r, &mut to[first..first + b.cols]);
            }
        }
        let host = |rows, cols, bytes| HostTensor::new(DType::F32, rows, cols, bytes, &[]);
        let below: Vec<_> = adapted.iter().flatten().map(|[a, _]| *a).collect();
        let bytes: Vec<u8> = stacked.iter().flat_map(|value| value.to_le_bytes()).collect();
        let zeros = vec![0; rank.max(rows) * 4];
        let zeros = |n: usize| device.upload_vector(&format!("{name}.zeros"), &[host(1, n, &zeros[..n * 4])]);
        Ok(Some(Self {
            a: device.upload_matrix(&format!("{name}.lora_A"), &below)?,
            b: device.upload_matrix(&format!("{name}.lora_B"), &[host(rows, rank, &bytes)])?,
            none: [zeros(rank)?, zeros(rows)?],
        }))
    }

    pub fn weights(&self) -> impl Iterator<Item = &Weight> {
        [&self.a, &self.b].into_iter().chain(&self.none)
    }

    /// Records `act(x Wᵀ + b + (x Aᵀ) Bᵀ) + residual` for a layer with this weight and bias. There must be no residual beside an activation.
    pub fn apply(
        &self,
        g: &mut Graph,
        name: &str,
        [weight, bias]: [Tensor; 2],
        x: Tensor,
        act: Activation,
        residual: Option<Tensor>,
    ) -> Tensor {
        assert!(act == Activation::Linear || residual.is_none(), "{name}: the residual comes after the activation");
        let [a, b, none_of_a, none_of_b] = [&self.a, &self.b, &self.none[0], &self.none[1]].map(|w| g.weight(w));
        let linear = Activation::Linear;
        let inner = matmul(g, &format!("{name}.lora_A"), x, a, none_of_a, linear, None);
        let base = matmul(g, &format!("{name}.base"), x, weight, bias, linear, residual);
        if act == linear {
            return matmul(g, name, inner, b, none_of_b, linear, Some(base));
        }
        let sum = matmul(g, &format!("{name}.sum"), inner, b, none_of_b, linear, Some(base));
        activate(g, name, sum, act)
    }
}
