// The weight in i8, four a word: Wᵀ [K', N'], padded with zeros, then N' scales.
@group(0) @binding(1) var<storage, read> w: array<u32>;

// W[col .. col + 4, k], where at = (k N' + col) / 4; before scaling.
fn load_b(at: u32) -> vec4f {
    let word = w[at];
    return vec4f(vec4i(vec4u(word << 24u, word << 16u, word << 8u, word)) >> vec4u(24u));
}

fn weight_scale(col: u32) -> vec4f {
    let at = ((packed_k() * packed_n()) >> 2u) + col;
    return vec4f(bitcast<f32>(w[at]), bitcast<f32>(w[at + 1u]), bitcast<f32>(w[at + 2u]), bitcast<f32>(w[at + 3u]));
}
