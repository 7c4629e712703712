// y [M, N] with any N.
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> residual: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

fn store_element(at: u32, value: f32) {
    var sum = value;
    if params.residual != 0u { sum += residual[at]; }
    y[at] = sum;
}

// The epilogue of y[row, col .. col + 4]: scale, bias, activation, residual if there is one.
fn store(row: u32, col: u32, sum: vec4f) {
    if row >= params.m || col >= params.n { return; }
    let last = params.n - 1u;
    let b = vec4f(bias[col], bias[min(col + 1u, last)], bias[min(col + 2u, last)], bias[min(col + 3u, last)]);
    let value = activate(sum * weight_scale(col) + b);
    let at = row * params.n + col;
    store_element(at, value.x);
    if col + 1u < params.n { store_element(at + 1u, value.y); }
    if col + 2u < params.n { store_element(at + 2u, value.z); }
    if col + 3u < params.n { store_element(at + 3u, value.w); }
}
