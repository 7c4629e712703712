// x [M, K] with any K.
@group(0) @binding(0) var<storage, read> x: array<f32>;

// Where row `row` begins; past the end it is the last row, whose results nobody stores.
fn row_a(row: u32) -> u32 { return min(row, params.m - 1u) * params.k; }

// x[row, k .. k + 4]; past K the last element, which meets the weight's padding of zeros.
fn load_a(base: u32, k: u32) -> vec4f {
    let last = params.k - 1u;
    return vec4f(x[base + k], x[base + min(k + 1u, last)], x[base + min(k + 2u, last)], x[base + min(k + 3u, last)]);
}
