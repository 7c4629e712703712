// y[row] += the sum of x[order[i]] for i in first .. end, for each segment (row, first, end). No two segments have one row, and
// a segment's terms are added in their order. One thread a column of four segments.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> order: array<u32>;
@group(0) @binding(2) var<storage, read> segments: array<u32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.cols { return; }
    let last = min(id.y * 4u + 4u, params.rows);
    for (var s = id.y * 4u; s < last; s++) {
        let end = min(segments[s * 3u + 2u], params.rows);
        var i = segments[s * 3u + 1u];
        if i >= end { continue; }
        var sum = 0.0;
        for (; i < end; i++) { sum += x[min(order[i], params.rows - 1u) * params.cols + id.x]; }
        let row = min(segments[s * 3u], arrayLength(&y) / params.cols - 1u);
        y[row * params.cols + id.x] += sum;
    }
}
