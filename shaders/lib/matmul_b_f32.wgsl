// The weight in f32: Wᵀ [K', N'], padded with zeros.
@group(0) @binding(1) var<storage, read> w: array<vec4f>;

// W[col .. col + 4, k].
fn load_b(k: u32, col: u32) -> vec4f { return w[(k * packed_n() + col) >> 2u]; }

fn weight_scale(col: u32) -> vec4f { return vec4f(1.0); }
