// y = act(x Wᵀ + b) + residual. A workgroup computes 32 x 32 of y, a thread 4 rows by 4 columns, from tiles of x and
// W that hold 16 of K in shared memory. Rows of x's tile are 5 vectors apart, not 4: no two threads hit one bank.
// Written by unroll.py.
var<workgroup> tile_a: array<vec4f, 160>;
var<workgroup> tile_b: array<vec4f, 128>;

@compute @workgroup_size(8, 8)
fn main(
    @builtin(local_invocation_id) local: vec3u,
    @builtin(local_invocation_index) thread: u32,
    @builtin(workgroup_id) group: vec3u,
) {
    let row = group.y * 32u;
    let col = group.x * 32u;
    let x = local.x;
    let y = local.y;
    var c0_0 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c2_0 = vec4f(0.0);
    var c3_0 = vec4f(0.0);
    for (var first = 0u; first < params.k; first += 16u) {
        workgroupBarrier();
        {
            let i = thread + 0u;
            let k = first + (i & 3u) * 4u;
            var a = vec4f(0.0);
            if k < params.k { a = load_a(row_a(row + (i >> 2u)), k); }
            tile_a[(i >> 2u) * 5u + (i & 3u)] = a;
            tile_b[i] = load_b(((first + i / 8u) * packed_n() + col) / 4u + i % 8u);
        }
        {
            let i = thread + 64u;
            let k = first + (i & 3u) * 4u;
            var a = vec4f(0.0);
            if k < params.k { a = load_a(row_a(row + (i >> 2u)), k); }
            tile_a[(i >> 2u) * 5u + (i & 3u)] = a;
            tile_b[i] = load_b(((first + i / 8u) * packed_n() + col) / 4u + i % 8u);
        }
        workgroupBarrier();
        for (var k = 0u; k < 4u; k++) {
            let a0 = tile_a[(y + 0u * 8u) * 5u + k];
            let a1 = tile_a[(y + 1u * 8u) * 5u + k];
            let a2 = tile_a[(y + 2u * 8u) * 5u + k];
            let a3 = tile_a[(y + 3u * 8u) * 5u + k];
            let b0_0 = tile_b[(k * 4u + 0u) * 8u + x + 0u * 8u];
            let b1_0 = tile_b[(k * 4u + 1u) * 8u + x + 0u * 8u];
            let b2_0 = tile_b[(k * 4u + 2u) * 8u + x + 0u * 8u];
            let b3_0 = tile_b[(k * 4u + 3u) * 8u + x + 0u * 8u];
            c0_0 = fma(vec4f(a0.w), b3_0, fma(vec4f(a0.z), b2_0, fma(vec4f(a0.y), b1_0, fma(vec4f(a0.x), b0_0, c0_0))));
            c1_0 = fma(vec4f(a1.w), b3_0, fma(vec4f(a1.z), b2_0, fma(vec4f(a1.y), b1_0, fma(vec4f(a1.x), b0_0, c1_0))));
            c2_0 = fma(vec4f(a2.w), b3_0, fma(vec4f(a2.z), b2_0, fma(vec4f(a2.y), b1_0, fma(vec4f(a2.x), b0_0, c2_0))));
            c3_0 = fma(vec4f(a3.w), b3_0, fma(vec4f(a3.z), b2_0, fma(vec4f(a3.y), b1_0, fma(vec4f(a3.x), b0_0, c3_0))));
        }
    }
    store(row + y + 0u * 8u, col + (x + 0u * 8u) * 4u, c0_0);
    store(row + y + 1u * 8u, col + (x + 0u * 8u) * 4u, c1_0);
    store(row + y + 2u * 8u, col + (x + 0u * 8u) * 4u, c2_0);
    store(row + y + 3u * 8u, col + (x + 0u * 8u) * 4u, c3_0);
}
