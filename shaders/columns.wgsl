// Columns of x, scaled, into columns of y or on top of them. 16 rows of a column a thread.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    let end = min(id.y * 16u + 16u, params.rows);
    for (var r = id.y * 16u; r < end; r++) {
        let at = r * params.y_pitch + params.y_first + id.x;
        var value = params.scale * x[r * params.x_pitch + params.x_first + id.x];
        if params.add != 0u { value += y[at]; }
        y[at] = value;
    }
}
