// x [M, K] with K a multiple of 4.
@group(0) @binding(0) var<storage, read> x: array<vec4f>;

// x[row, k .. k + 4], zero outside.
fn load_a(row: u32, k: u32) -> vec4f {
    if row >= params.m || k >= params.k { return vec4f(0.0); }
    return x[(row * params.k + k) >> 2u];
}
