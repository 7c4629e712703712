// y = (x - mean) / sqrt(var + eps) * gamma + beta, columns a multiple of 4. One thread a row, four columns at a time.
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4f>;
@group(0) @binding(2) var<storage, read> beta: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;

fn across(v: vec4f) -> f32 { return (v.x + v.y) + (v.z + v.w); }

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.rows { return; }
    let quads = params.cols >> 2u;
    let first = id.x * quads;
    var sums = vec4f(0.0);
    for (var c = 0u; c < quads; c++) { sums += x[first + c]; }
    let mean = across(sums) / f32(params.cols);
    var squares = vec4f(0.0);
    for (var c = 0u; c < quads; c++) {
        let d = x[first + c] - mean;
        squares = fma(d, d, squares);
    }
    let scale = 1.0 / sqrt(across(squares) / f32(params.cols) + params.eps);
    for (var c = 0u; c < quads; c++) {
        y[first + c] = fma((x[first + c] - mean) * scale, gamma[c], beta[c]);
    }
}
