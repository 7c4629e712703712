@group(0) @binding(2) var<storage, read> residual: array<f32>;

fn residual_at(i: u32) -> f32 { return residual[i]; }
