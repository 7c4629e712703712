// y = act(x Wᵀ + b) + residual. A thread computes 12 rows by 16 columns and shares nothing: on a software adapter
// a load costs as much as many fma, and a barrier more. A lane's columns are beside its neighbour's.
// Written by unroll.py.
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {
    let row = group.y * 12u;
    let col = (group.x * 8u + lane.x) * 16u;
    if col >= params.n { return; }
    let x0 = row_a(row + 0u);
    let x1 = row_a(row + 1u);
    let x2 = row_a(row + 2u);
    let x3 = row_a(row + 3u);
    let x4 = row_a(row + 4u);
    let x5 = row_a(row + 5u);
    let x6 = row_a(row + 6u);
    let x7 = row_a(row + 7u);
    let x8 = row_a(row + 8u);
    let x9 = row_a(row + 9u);
    let x10 = row_a(row + 10u);
    let x11 = row_a(row + 11u);
    var c0_0 = vec4f(0.0);
    var c0_1 = vec4f(0.0);
    var c0_2 = vec4f(0.0);
    var c0_3 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c1_1 = vec4f(0.0);
    var c1_2 = vec4f(0.0);
    var c1_3 = vec4f(0.0);
    var c2_0 = vec4f(0.0);
    var c2_1 = vec4f(0.0);
    var c2_2 = vec4f(0.0);
    var c2_3 = vec4f(0.0);
    var c3_0 = vec4f(0.0);
    var c3_1 = vec4f(0.0);
    var c3_2 = vec4f(0.0);
    var c3_3 = vec4f(0.0);
    var c4_0 = vec4f(0.0);
    var c4_1 = vec4f(0.0);
    var c4_2 = vec4f(0.0);
    var c4_3 = vec4f(0.0);
    var c5_0 = vec4f(0.0);
    var c5_1 = vec4f(0.0);
    var c5_2 = vec4f(0.0);
    var c5_3 = vec4f(0.0);
    var c6_0 = vec4f(0.0);
    var c6_1 = vec4f(0.0);
    var c6_2 = vec4f(0.0);
    var c6_3 = vec4f(0.0);
    var c7_0 = vec4f(0.0);
    var c7_1 = vec4f(0.0);
    var c7_2 = vec4f(0.0);
    var c7_3 = vec4f(0.0);
    var c8_0 = vec4f(0.0);
    var c8_1 = vec4f(0.0);
    var c8_2 = vec4f(0.0);
    var c8_3 = vec4f(0.0);
    var c9_0 = vec4f(0.0);
    var c9_1 = vec4f(0.0);
    var c9_2 = vec4f(0.0);
    var c9_3 = vec4f(0.0);
    var c10_0 = vec4f(0.0);
    var c10_1 = vec4f(0.0);
    var c10_2 = vec4f(0.0);
    var c10_3 = vec4f(0.0);
    var c11_0 = vec4f(0.0);
    var c11_1 = vec4f(0.0);
    var c11_2 = vec4f(0.0);
    var c11_3 = vec4f(0.0);
    let stride = packed_n() >> 2u;
    var w = col >> 2u;
    for (var k = 0u; k < params.k; k += 4u) {
        let a0 = load_a(x0, k);
        let a1 = load_a(x1, k);
        let a2 = load_a(x2, k);
        let a3 = load_a(x3, k);
        let a4 = load_a(x4, k);
        let a5 = load_a(x5, k);
        let a6 = load_a(x6, k);
        let a7 = load_a(x7, k);
        let a8 = load_a(x8, k);
        let a9 = load_a(x9, k);
        let a10 = load_a(x10, k);
        let a11 = load_a(x11, k);
        let b0_0 = load_b(w + 0u);
        let b0_1 = load_b(w + 1u);
        let b0_2 = load_b(w + 2u);
        let b0_3 = load_b(w + 3u);
        w += stride;
        let b1_0 = load_b(w + 0u);
        let b1_1 = load_b(w + 1u);
        let b1_2 = load_b(w + 2u);
        let b1_3 = load_b(w + 3u);
        w += stride;
        let b2_0 = load_b(w + 0u);
        let b2_1 = load_b(w + 1u);
        let b2_2 = load_b(w + 2u);
        let b2_3 = load_b(w + 3u);
        w += stride;
        let b3_0 = load_b(w + 0u);
        let b3_1 = load_b(w + 1u);
        let b3_2 = load_b(w + 2u);
        let b3_3 = load_b(w + 3u);
        w += stride;
        c0_0 = fma(vec4f(a0.w), b3_0, fma(vec4f(a0.z), b2_0, fma(vec4f(a0.y), b1_0, fma(vec4f(a0.x), b0_0, c0_0))));
        c0_1 = fma(vec4f(a0.w), b3_1, fma(vec4f(a0.z), b2_1, fma(vec4f(a0.y), b1_1, fma(vec4f(a0.x), b0_1, c0_1))));
        c0_2 = fma(vec4f(a0.w), b3_2, fma(vec4f(a0.z), b2_2, fma(vec4f(a0.y), b1_2, fma(vec4f(a0.x), b0_2, c0_2))));
        c0_3 = fma(vec4f(a0.w), b3_3, fma(vec4f(a0.z), b2_3, fma(vec4f(a0.y), b1_3, fma(vec4f(a0.x), b0_3, c0_3))));
        c1_0 = fma(vec4f(a1.w), b3_0, fma(vec4f(a1.z), b2_0, fma(vec4f(a1.y), b1_0, fma(vec4f(a1.x), b0_0, c1_0))));
        c1_1 = fma(vec4f(a1.w), b3_1, fma(vec4f(a1.z), b2_1, fma(vec4f(a1.y), b1_1, fma(vec4f(a1.x), b0_1, c1_1))));
        c1_2 = fma(vec4f(a1.w), b3_2, fma(vec4f(a1.z), b2_2, fma(vec4f(a1.y), b1_2, fma(vec4f(a1.x), b0_2, c1_2))));
        c1_3 = fma(vec4f(a1.w), b3_3, fma(vec4f(a1.z), b2_3, fma(vec4f(a1.y), b1_3, fma(vec4f(a1.x), b0_3, c1_3))));
        c2_0 = fma(vec4f(a2.w), b3_0, fma(vec4f(a2.z), b2_0, fma(vec4f(a2.y), b1_0, fma(vec4f(a2.x), b0_0, c2_0))));
        c2_1 = fma(vec4f(a2.w), b3_1, fma(vec4f(a2.z), b2_1, fma(vec4f(a2.y), b1_1, fma(vec4f(a2.x), b0_1, c2_1))));
        c2_2 = fma(vec4f(a2.w), b3_2, fma(vec4f(a2.z), b2_2, fma(vec4f(a2.y), b1_2, fma(vec4f(a2.x), b0_2, c2_2))));
        c2_3 = fma(vec4f(a2.w), b3_3, fma(vec4f(a2.z), b2_3, fma(vec4f(a2.y), b1_3, fma(vec4f(a2.x), b0_3, c2_3))));
        c3_0 = fma(vec4f(a3.w), b3_0, fma(vec4f(a3.z), b2_0, fma(vec4f(a3.y), b1_0, fma(vec4f(a3.x), b0_0, c3_0))));
        c3_1 = fma(vec4f(a3.w), b3_1, fma(vec4f(a3.z), b2_1, fma(vec4f(a3.y), b1_1, fma(vec4f(a3.x), b0_1, c3_1))));
        c3_2 = fma(vec4f(a3.w), b3_2, fma(vec4f(a3.z), b2_2, fma(vec4f(a3.y), b1_2, fma(vec4f(a3.x), b0_2, c3_2))));
        c3_3 = fma(vec4f(a3.w), b3_3, fma(vec4f(a3.z), b2_3, fma(vec4f(a3.y), b1_3, fma(vec4f(a3.x), b0_3, c3_3))));
        c4_0 = fma(vec4f(a4.w), b3_0, fma(vec4f(a4.z), b2_0, fma(vec4f(a4.y), b1_0, fma(vec4f(a4.x), b0_0, c4_0))));
        c4_1 = fma(vec4f(a4.w), b3_1, fma(vec4f(a4.z), b2_1, fma(vec4f(a4.y), b1_1, fma(vec4f(a4.x), b0_1, c4_1))));
        c4_2 = fma(vec4f(a4.w), b3_2, fma(vec4f(a4.z), b2_2, fma(vec4f(a4.y), b1_2, fma(vec4f(a4.x), b0_2, c4_2))));
        c4_3 = fma(vec4f(a4.w), b3_3, fma(vec4f(a4.z), b2_3, fma(vec4f(a4.y), b1_3, fma(vec4f(a4.x), b0_3, c4_3))));
        c5_0 = fma(vec4f(a5.w), b3_0, fma(vec4f(a5.z), b2_0, fma(vec4f(a5.y), b1_0, fma(vec4f(a5.x), b0_0, c5_0))));
        c5_1 = fma(vec4f(a5.w), b3_1, fma(vec4f(a5.z), b2_1, fma(vec4f(a5.y), b1_1, fma(vec4f(a5.x), b0_1, c5_1))));
        c5_2 = fma(vec4f(a5.w), b3_2, fma(vec4f(a5.z), b2_2, fma(vec4f(a5.y), b1_2, fma(vec4f(a5.x), b0_2, c5_2))));
        c5_3 = fma(vec4f(a5.w), b3_3, fma(vec4f(a5.z), b2_3, fma(vec4f(a5.y), b1_3, fma(vec4f(a5.x), b0_3, c5_3))));
        c6_0 = fma(vec4f(a6.w), b3_0, fma(vec4f(a6.z), b2_0, fma(vec4f(a6.y), b1_0, fma(vec4f(a6.x), b0_0, c6_0))));
        c6_1 = fma(vec4f(a6.w), b3_1, fma(vec4f(a6.z), b2_1, fma(vec4f(a6.y), b1_1, fma(vec4f(a6.x), b0_1, c6_1))));
        c6_2 = fma(vec4f(a6.w), b3_2, fma(vec4f(a6.z), b2_2, fma(vec4f(a6.y), b1_2, fma(vec4f(a6.x), b0_2, c6_2))));
        c6_3 = fma(vec4f(a6.w), b3_3, fma(vec4f(a6.z), b2_3, fma(vec4f(a6.y), b1_3, fma(vec4f(a6.x), b0_3, c6_3))));
        c7_0 = fma(vec4f(a7.w), b3_0, fma(vec4f(a7.z), b2_0, fma(vec4f(a7.y), b1_0, fma(vec4f(a7.x), b0_0, c7_0))));
        c7_1 = fma(vec4f(a7.w), b3_1, fma(vec4f(a7.z), b2_1, fma(vec4f(a7.y), b1_1, fma(vec4f(a7.x), b0_1, c7_1))));
        c7_2 = fma(vec4f(a7.w), b3_2, fma(vec4f(a7.z), b2_2, fma(vec4f(a7.y), b1_2, fma(vec4f(a7.x), b0_2, c7_2))));
        c7_3 = fma(vec4f(a7.w), b3_3, fma(vec4f(a7.z), b2_3, fma(vec4f(a7.y), b1_3, fma(vec4f(a7.x), b0_3, c7_3))));
        c8_0 = fma(vec4f(a8.w), b3_0, fma(vec4f(a8.z), b2_0, fma(vec4f(a8.y), b1_0, fma(vec4f(a8.x), b0_0, c8_0))));
        c8_1 = fma(vec4f(a8.w), b3_1, fma(vec4f(a8.z), b2_1, fma(vec4f(a8.y), b1_1, fma(vec4f(a8.x), b0_1, c8_1))));
        c8_2 = fma(vec4f(a8.w), b3_2, fma(vec4f(a8.z), b2_2, fma(vec4f(a8.y), b1_2, fma(vec4f(a8.x), b0_2, c8_2))));
        c8_3 = fma(vec4f(a8.w), b3_3, fma(vec4f(a8.z), b2_3, fma(vec4f(a8.y), b1_3, fma(vec4f(a8.x), b0_3, c8_3))));
        c9_0 = fma(vec4f(a9.w), b3_0, fma(vec4f(a9.z), b2_0, fma(vec4f(a9.y), b1_0, fma(vec4f(a9.x), b0_0, c9_0))));
        c9_1 = fma(vec4f(a9.w), b3_1, fma(vec4f(a9.z), b2_1, fma(vec4f(a9.y), b1_1, fma(vec4f(a9.x), b0_1, c9_1))));
        c9_2 = fma(vec4f(a9.w), b3_2, fma(vec4f(a9.z), b2_2, fma(vec4f(a9.y), b1_2, fma(vec4f(a9.x), b0_2, c9_2))));
        c9_3 = fma(vec4f(a9.w), b3_3, fma(vec4f(a9.z), b2_3, fma(vec4f(a9.y), b1_3, fma(vec4f(a9.x), b0_3, c9_3))));
        c10_0 = fma(vec4f(a10.w), b3_0, fma(vec4f(a10.z), b2_0, fma(vec4f(a10.y), b1_0, fma(vec4f(a10.x), b0_0, c10_0))));
        c10_1 = fma(vec4f(a10.w), b3_1, fma(vec4f(a10.z), b2_1, fma(vec4f(a10.y), b1_1, fma(vec4f(a10.x), b0_1, c10_1))));
        c10_2 = fma(vec4f(a10.w), b3_2, fma(vec4f(a10.z), b2_2, fma(vec4f(a10.y), b1_2, fma(vec4f(a10.x), b0_2, c10_2))));
        c10_3 = fma(vec4f(a10.w), b3_3, fma(vec4f(a10.z), b2_3, fma(vec4f(a10.y), b1_3, fma(vec4f(a10.x), b0_3, c10_3))));
        c11_0 = fma(vec4f(a11.w), b3_0, fma(vec4f(a11.z), b2_0, fma(vec4f(a11.y), b1_0, fma(vec4f(a11.x), b0_0, c11_0))));
        c11_1 = fma(vec4f(a11.w), b3_1, fma(vec4f(a11.z), b2_1, fma(vec4f(a11.y), b1_1, fma(vec4f(a11.x), b0_1, c11_1))));
        c11_2 = fma(vec4f(a11.w), b3_2, fma(vec4f(a11.z), b2_2, fma(vec4f(a11.y), b1_2, fma(vec4f(a11.x), b0_2, c11_2))));
        c11_3 = fma(vec4f(a11.w), b3_3, fma(vec4f(a11.z), b2_3, fma(vec4f(a11.y), b1_3, fma(vec4f(a11.x), b0_3, c11_3))));
    }
    // Stores and the activation stand once, in a loop, or they would be most of what there is to compile.
    let count = min(12u, params.m - row);
    for (var r = 0u; r < count; r++) {
        var s0: vec4f;
        var s1: vec4f;
        var s2: vec4f;
        var s3: vec4f;
        switch r {
            case 0u: { s0 = c0_0; s1 = c0_1; s2 = c0_2; s3 = c0_3; }
            case 1u: { s0 = c1_0; s1 = c1_1; s2 = c1_2; s3 = c1_3; }
            case 2u: { s0 = c2_0; s1 = c2_1; s2 = c2_2; s3 = c2_3; }
            case 3u: { s0 = c3_0; s1 = c3_1; s2 = c3_2; s3 = c3_3; }
            case 4u: { s0 = c4_0; s1 = c4_1; s2 = c4_2; s3 = c4_3; }
            case 5u: { s0 = c5_0; s1 = c5_1; s2 = c5_2; s3 = c5_3; }
            case 6u: { s0 = c6_0; s1 = c6_1; s2 = c6_2; s3 = c6_3; }
            case 7u: { s0 = c7_0; s1 = c7_1; s2 = c7_2; s3 = c7_3; }
            case 8u: { s0 = c8_0; s1 = c8_1; s2 = c8_2; s3 = c8_3; }
            case 9u: { s0 = c9_0; s1 = c9_1; s2 = c9_2; s3 = c9_3; }
            case 10u: { s0 = c10_0; s1 = c10_1; s2 = c10_2; s3 = c10_3; }
            default: { s0 = c11_0; s1 = c11_1; s2 = c11_2; s3 = c11_3; }
        }
        for (var q = 0u; q < 4u; q++) {
            var sum = s0;
            switch q {
                case 1u: { sum = s1; }
                case 2u: { sum = s2; }
                case 3u: { sum = s3; }
                default: {}
            }
            store(row + r, col + q * 4u, sum);
        }
    }
}
