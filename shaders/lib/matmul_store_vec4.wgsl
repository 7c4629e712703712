// y [M, N] with N a multiple of 4.
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read> residual: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> y: array<vec4f>;

// The epilogue of y[row, col .. col + 4]: scale, bias, activation, residual if there is one.
fn store(row: u32, col: u32, sum: vec4f) {
    if row >= params.m || col >= params.n { return; }
    let at = (row * params.n + col) >> 2u;
    var value = activate(sum * weight_scale(col) + bias[col >> 2u]);
    if params.residual != 0u { value += residual[at]; }
    y[at] = value;
}
