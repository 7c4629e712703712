// y [M, N] with any N, with a residual.
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

// The epilogue of y[row, col .. col + 4]: scale, bias, activation, residual.
fn store(row: u32, col: u32, sum: vec4f) {
    if row >= params.m || col >= params.n { return; }
    let last = params.n - 1u;
    let b = vec4f(bias[col], bias[min(col + 1u, last)], bias[min(col + 2u, last)], bias[min(col + 3u, last)]);
    let value = activate(sum * weight_scale(col) + b);
    let at = row * params.n + col;
    y[at] = value.x + residual[at];
    if col + 1u < params.n { y[at + 1u] = value.y + residual[at + 1u]; }
    if col + 2u < params.n { y[at + 2u] = value.z + residual[at + 2u]; }
    if col + 3u < params.n { y[at + 3u] = value.w + residual[at + 3u]; }
}
