// y [M, N] with N a multiple of 4, with a residual.
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read> residual: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> y: array<vec4f>;

// The epilogue of y[row, col .. col + 4]: scale, bias, activation, residual.
fn store(row: u32, col: u32, sum: vec4f) {
    if row >= params.m || col >= params.n { return; }
    let at = (row * params.n + col) >> 2u;
    y[at] = activate(sum * weight_scale(col) + bias[col >> 2u]) + residual[at];
}
