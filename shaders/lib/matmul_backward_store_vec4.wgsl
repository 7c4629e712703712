// y [M, N] with N a multiple of 4.
@group(0) @binding(8) var<storage, read_write> y: array<vec4f>;

// y[row, col .. col + 4]: the sum, on top of what is there where that is asked for.
fn store(row: u32, col: u32, sum: vec4f) {
    if row >= params.m || col >= params.n { return; }
    let at = (row * params.n + col) >> 2u;
    if params.add != 0u { y[at] += sum; } else { y[at] = sum; }
}
