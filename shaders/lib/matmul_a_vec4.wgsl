// x [M, K] with K a multiple of 4.
@group(0) @binding(0) var<storage, read> x: array<vec4f>;

// Where row `row` begins; past the end it is the last row, whose results nobody stores.
fn row_a(row: u32) -> u32 { return min(row, params.m - 1u) * (params.k >> 2u); }

// x[row, k .. k + 4].
fn load_a(base: u32, k: u32) -> vec4f { return x[base + (k >> 2u)]; }
