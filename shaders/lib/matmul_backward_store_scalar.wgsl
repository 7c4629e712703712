// y [M, N] with any N.
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

fn store_element(at: u32, value: f32) {
    if params.add != 0u { y[at] += value; } else { y[at] = value; }
}

// y[row, col .. col + 4]: the sum, on top of what is there where that is asked for.
fn store(row: u32, col: u32, sum: vec4f) {
    if row >= params.m || col >= params.n { return; }
    let at = row * params.n + col;
    store_element(at, sum.x);
    if col + 1u < params.n { store_element(at + 1u, sum.y); }
    if col + 2u < params.n { store_element(at + 2u, sum.z); }
    if col + 3u < params.n { store_element(at + 3u, sum.w); }
}
