// y = x as a matmul reads its right side: `rows` of the sum by `cols` of the result, filled up with zeros to multiples of 16
// and 64. x lies so already, or transposed: [cols, rows]. A thread copies 16 rows of a column.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let width = (params.cols + 63u) & ~63u;
    if id.x >= width { return; }
    let by_row = select(params.cols, 1u, params.transposed != 0u);
    let by_col = select(1u, params.rows, params.transposed != 0u);
    for (var r = id.y * 16u; r < id.y * 16u + 16u; r++) {
        var value = 0.0;
        if r < params.rows && id.x < params.cols { value = x[r * by_row + id.x * by_col]; }
        y[r * width + id.x] = value;
    }
}
