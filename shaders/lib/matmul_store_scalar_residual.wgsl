// y [M, N] with any N, with a residual.
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

// The epilogue of y[row, col .. col + 4]: scale, bias, activation, residual.
fn store(row: u32, col: u32, sum: vec4f) {
    if row >= params.m || col >= params.n { return; }
    let count = min(4u, params.n - col);
    var b = vec4f(0.0);
    for (var i = 0u; i < count; i++) { b[i] = bias[col + i]; }
    let value = activate(sum * weight_scale(col) + b);
    let at = row * params.n + col;
    for (var i = 0u; i < count; i++) { y[at + i] = value[i] + residual[at + i]; }
}
