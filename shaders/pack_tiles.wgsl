// y = xᵀ, x [cols, rows], as a matmul reads its right side: `rows` of the sum by `cols` of the result, filled up with zeros to
// multiples of 16 and 64. A workgroup turns 32 x 32 elements around in shared memory, so that neighbours read and write
// neighbours. The tile's rows are 33 apart: no two threads hit one bank.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;
var<workgroup> tile: array<f32, 1056>;

@compute @workgroup_size(32, 8)
fn main(@builtin(local_invocation_id) local: vec3u, @builtin(workgroup_id) group: vec3u) {
    let row = group.y * 32u;
    let col = group.x * 32u;
    for (var i = local.y; i < 32u; i += 8u) {
        var value = 0.0;
        if row + local.x < params.rows && col + i < params.cols { value = x[(col + i) * params.rows + row + local.x]; }
        tile[i * 33u + local.x] = value;
    }
    workgroupBarrier();
    let width = (params.cols + 63u) & ~63u;
    let height = (params.rows + 15u) & ~15u;
    for (var i = local.y; i < 32u; i += 8u) {
        if row + i < height && col + local.x < width { y[(row + i) * width + col + local.x] = tile[local.x * 33u + i]; }
    }
}
