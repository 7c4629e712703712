// The weight in f16, two a word: Wᵀ [K', N'], padded with zeros.
@group(0) @binding(1) var<storage, read> w: array<vec2u>;

// W[col .. col + 4, k], where at = (k N' + col) / 4.
fn load_b(at: u32) -> vec4f {
    let words = w[at];
    return vec4f(unpack2x16float(words.x), unpack2x16float(words.y));
}

fn weight_scale(col: u32) -> vec4f { return vec4f(1.0); }
