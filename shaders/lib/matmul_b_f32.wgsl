// The weight in f32: Wᵀ [K', N'], padded with zeros.
@group(0) @binding(1) var<storage, read> w: array<vec4f>;

// W[col .. col + 4, k], where at = (k N' + col) / 4.
fn load_b(at: u32) -> vec4f { return w[at]; }

fn weight_scale(col: u32) -> vec4f { return vec4f(1.0); }
