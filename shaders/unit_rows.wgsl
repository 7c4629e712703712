// y = x with every row scaled to length 1; a row of zeros stays one. One thread a row: there is one a sequence.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.rows { return; }
    let first = id.x * params.cols;
    var squares = 0.0;
    for (var c = 0u; c < params.cols; c++) {
        let value = x[first + c];
        squares += value * value;
    }
    let length = max(sqrt(squares), 1e-12);
    for (var c = 0u; c < params.cols; c++) { y[first + c] = x[first + c] / length; }
}
