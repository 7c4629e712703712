// x [M, K] with any K.
@group(0) @binding(0) var<storage, read> x: array<f32>;

// Where row `row` begins; past the end it is the last row, whose results nobody stores.
fn row_a(row: u32) -> u32 { return min(row, params.m - 1u) * params.k; }

fn element(base: u32, k: u32) -> f32 {
    if k >= params.k { return 0.0; }
    return x[base + k];
}

// x[row, k .. k + 4], zero past K.
fn load_a(base: u32, k: u32) -> vec4f {
    return vec4f(x[base + k], element(base, k + 1u), element(base, k + 2u), element(base, k + 3u));
}
