// The weight in f16, two a word: Wᵀ [K', N'], padded with zeros.
@group(0) @binding(1) var<storage, read> w: array<vec2u>;

// W[col .. col + 4, k].
fn load_b(k: u32, col: u32) -> vec4f {
    let words = w[(k * packed_n() + col) >> 2u];
    return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn weight_scale(col: u32) -> vec4f { return vec4f(1.0); }
