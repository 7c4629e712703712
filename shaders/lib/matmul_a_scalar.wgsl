// x [M, K] with any K.
@group(0) @binding(0) var<storage, read> x: array<f32>;

fn element(row: u32, k: u32) -> f32 {
    if row >= params.m || k >= params.k { return 0.0; }
    return x[row * params.k + k];
}

// x[row, k .. k + 4], zero outside.
fn load_a(row: u32, k: u32) -> vec4f {
    return vec4f(element(row, k), element(row, k + 1u), element(row, k + 2u), element(row, k + 3u));
}
