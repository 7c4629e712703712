// ctx = softmax(Q Kᵀ scale) V, heads of 32. A thread carries 4 queries of one head through the keys of their sequence
// with a running maximum m and sum l (online softmax), so that a key is loaded once for all of them. No barrier.
// Written by unroll.py.
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(8) var<storage, read_write> ctx: array<vec4f>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + (group.x * 8u + lane.x) * 4u;
    if token >= end { return; }
    // In vectors of four.
    let hidden = params.heads * 8u;
    let head = group.y * 8u;
    let count = min(4u, end - token);
    // Loads and stores of queries stand once, in a loop, or they would be most of what there is to compile.
    var q0_0 = vec4f(0.0);
    var q0_1 = vec4f(0.0);
    var q0_2 = vec4f(0.0);
    var q0_3 = vec4f(0.0);
    var q0_4 = vec4f(0.0);
    var q0_5 = vec4f(0.0);
    var q0_6 = vec4f(0.0);
    var q0_7 = vec4f(0.0);
    var q1_0 = vec4f(0.0);
    var q1_1 = vec4f(0.0);
    var q1_2 = vec4f(0.0);
    var q1_3 = vec4f(0.0);
    var q1_4 = vec4f(0.0);
    var q1_5 = vec4f(0.0);
    var q1_6 = vec4f(0.0);
    var q1_7 = vec4f(0.0);
    var q2_0 = vec4f(0.0);
    var q2_1 = vec4f(0.0);
    var q2_2 = vec4f(0.0);
    var q2_3 = vec4f(0.0);
    var q2_4 = vec4f(0.0);
    var q2_5 = vec4f(0.0);
    var q2_6 = vec4f(0.0);
    var q2_7 = vec4f(0.0);
    var q3_0 = vec4f(0.0);
    var q3_1 = vec4f(0.0);
    var q3_2 = vec4f(0.0);
    var q3_3 = vec4f(0.0);
    var q3_4 = vec4f(0.0);
    var q3_5 = vec4f(0.0);
    var q3_6 = vec4f(0.0);
    var q3_7 = vec4f(0.0);
    for (var q = 0u; q < count; q++) {
        let at = (token + q) * 3u * hidden + head;
        let k0 = qkv[at + 0u] * params.scale;
        let k1 = qkv[at + 1u] * params.scale;
        let k2 = qkv[at + 2u] * params.scale;
        let k3 = qkv[at + 3u] * params.scale;
        let k4 = qkv[at + 4u] * params.scale;
        let k5 = qkv[at + 5u] * params.scale;
        let k6 = qkv[at + 6u] * params.scale;
        let k7 = qkv[at + 7u] * params.scale;
        switch q {
            case 0u: { q0_0 = k0; q0_1 = k1; q0_2 = k2; q0_3 = k3; q0_4 = k4; q0_5 = k5; q0_6 = k6; q0_7 = k7; }
            case 1u: { q1_0 = k0; q1_1 = k1; q1_2 = k2; q1_3 = k3; q1_4 = k4; q1_5 = k5; q1_6 = k6; q1_7 = k7; }
            case 2u: { q2_0 = k0; q2_1 = k1; q2_2 = k2; q2_3 = k3; q2_4 = k4; q2_5 = k5; q2_6 = k6; q2_7 = k7; }
            case 3u: { q3_0 = k0; q3_1 = k1; q3_2 = k2; q3_3 = k3; q3_4 = k4; q3_5 = k5; q3_6 = k6; q3_7 = k7; }
            default: {}
        }
    }
    var c0_0 = vec4f(0.0);
    var c0_1 = vec4f(0.0);
    var c0_2 = vec4f(0.0);
    var c0_3 = vec4f(0.0);
    var c0_4 = vec4f(0.0);
    var c0_5 = vec4f(0.0);
    var c0_6 = vec4f(0.0);
    var c0_7 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c1_1 = vec4f(0.0);
    var c1_2 = vec4f(0.0);
    var c1_3 = vec4f(0.0);
    var c1_4 = vec4f(0.0);
    var c1_5 = vec4f(0.0);
    var c1_6 = vec4f(0.0);
    var c1_7 = vec4f(0.0);
    var c2_0 = vec4f(0.0);
    var c2_1 = vec4f(0.0);
    var c2_2 = vec4f(0.0);
    var c2_3 = vec4f(0.0);
    var c2_4 = vec4f(0.0);
    var c2_5 = vec4f(0.0);
    var c2_6 = vec4f(0.0);
    var c2_7 = vec4f(0.0);
    var c3_0 = vec4f(0.0);
    var c3_1 = vec4f(0.0);
    var c3_2 = vec4f(0.0);
    var c3_3 = vec4f(0.0);
    var c3_4 = vec4f(0.0);
    var c3_5 = vec4f(0.0);
    var c3_6 = vec4f(0.0);
    var c3_7 = vec4f(0.0);
    var m0 = -3.0e38;
    var m1 = -3.0e38;
    var m2 = -3.0e38;
    var m3 = -3.0e38;
    var l0 = 0.0;
    var l1 = 0.0;
    var l2 = 0.0;
    var l3 = 0.0;
    var at = first * 3u * hidden + head;
    for (var t = first; t < end; t++) {
        let k0 = qkv[at + hidden + 0u];
        let k1 = qkv[at + hidden + 1u];
        let k2 = qkv[at + hidden + 2u];
        let k3 = qkv[at + hidden + 3u];
        let k4 = qkv[at + hidden + 4u];
        let k5 = qkv[at + hidden + 5u];
        let k6 = qkv[at + hidden + 6u];
        let k7 = qkv[at + hidden + 7u];
        let s0 = dot(fma(q0_7, k7, fma(q0_6, k6, fma(q0_5, k5, fma(q0_4, k4, fma(q0_3, k3, fma(q0_2, k2, fma(q0_1, k1, q0_0 * k0))))))), vec4f(1.0));
        let s1 = dot(fma(q1_7, k7, fma(q1_6, k6, fma(q1_5, k5, fma(q1_4, k4, fma(q1_3, k3, fma(q1_2, k2, fma(q1_1, k1, q1_0 * k0))))))), vec4f(1.0));
        let s2 = dot(fma(q2_7, k7, fma(q2_6, k6, fma(q2_5, k5, fma(q2_4, k4, fma(q2_3, k3, fma(q2_2, k2, fma(q2_1, k1, q2_0 * k0))))))), vec4f(1.0));
        let s3 = dot(fma(q3_7, k7, fma(q3_6, k6, fma(q3_5, k5, fma(q3_4, k4, fma(q3_3, k3, fma(q3_2, k2, fma(q3_1, k1, q3_0 * k0))))))), vec4f(1.0));
        let n0 = max(m0, s0);
        let f0 = exp(m0 - n0);
        let p0 = exp(s0 - n0);
        m0 = n0;
        l0 = fma(l0, f0, p0);
        let n1 = max(m1, s1);
        let f1 = exp(m1 - n1);
        let p1 = exp(s1 - n1);
        m1 = n1;
        l1 = fma(l1, f1, p1);
        let n2 = max(m2, s2);
        let f2 = exp(m2 - n2);
        let p2 = exp(s2 - n2);
        m2 = n2;
        l2 = fma(l2, f2, p2);
        let n3 = max(m3, s3);
        let f3 = exp(m3 - n3);
        let p3 = exp(s3 - n3);
        m3 = n3;
        l3 = fma(l3, f3, p3);
        let v0 = qkv[at + 2u * hidden + 0u];
        c0_0 = fma(vec4f(p0), v0, c0_0 * f0);
        c1_0 = fma(vec4f(p1), v0, c1_0 * f1);
        c2_0 = fma(vec4f(p2), v0, c2_0 * f2);
        c3_0 = fma(vec4f(p3), v0, c3_0 * f3);
        let v1 = qkv[at + 2u * hidden + 1u];
        c0_1 = fma(vec4f(p0), v1, c0_1 * f0);
        c1_1 = fma(vec4f(p1), v1, c1_1 * f1);
        c2_1 = fma(vec4f(p2), v1, c2_1 * f2);
        c3_1 = fma(vec4f(p3), v1, c3_1 * f3);
        let v2 = qkv[at + 2u * hidden + 2u];
        c0_2 = fma(vec4f(p0), v2, c0_2 * f0);
        c1_2 = fma(vec4f(p1), v2, c1_2 * f1);
        c2_2 = fma(vec4f(p2), v2, c2_2 * f2);
        c3_2 = fma(vec4f(p3), v2, c3_2 * f3);
        let v3 = qkv[at + 2u * hidden + 3u];
        c0_3 = fma(vec4f(p0), v3, c0_3 * f0);
        c1_3 = fma(vec4f(p1), v3, c1_3 * f1);
        c2_3 = fma(vec4f(p2), v3, c2_3 * f2);
        c3_3 = fma(vec4f(p3), v3, c3_3 * f3);
        let v4 = qkv[at + 2u * hidden + 4u];
        c0_4 = fma(vec4f(p0), v4, c0_4 * f0);
        c1_4 = fma(vec4f(p1), v4, c1_4 * f1);
        c2_4 = fma(vec4f(p2), v4, c2_4 * f2);
        c3_4 = fma(vec4f(p3), v4, c3_4 * f3);
        let v5 = qkv[at + 2u * hidden + 5u];
        c0_5 = fma(vec4f(p0), v5, c0_5 * f0);
        c1_5 = fma(vec4f(p1), v5, c1_5 * f1);
        c2_5 = fma(vec4f(p2), v5, c2_5 * f2);
        c3_5 = fma(vec4f(p3), v5, c3_5 * f3);
        let v6 = qkv[at + 2u * hidden + 6u];
        c0_6 = fma(vec4f(p0), v6, c0_6 * f0);
        c1_6 = fma(vec4f(p1), v6, c1_6 * f1);
        c2_6 = fma(vec4f(p2), v6, c2_6 * f2);
        c3_6 = fma(vec4f(p3), v6, c3_6 * f3);
        let v7 = qkv[at + 2u * hidden + 7u];
        c0_7 = fma(vec4f(p0), v7, c0_7 * f0);
        c1_7 = fma(vec4f(p1), v7, c1_7 * f1);
        c2_7 = fma(vec4f(p2), v7, c2_7 * f2);
        c3_7 = fma(vec4f(p3), v7, c3_7 * f3);
        at += 3u * hidden;
    }
    for (var q = 0u; q < count; q++) {
        var s0: vec4f;
        var s1: vec4f;
        var s2: vec4f;
        var s3: vec4f;
        var s4: vec4f;
        var s5: vec4f;
        var s6: vec4f;
        var s7: vec4f;
        var l: f32;
        switch q {
            case 0u: { l = l0; s0 = c0_0; s1 = c0_1; s2 = c0_2; s3 = c0_3; s4 = c0_4; s5 = c0_5; s6 = c0_6; s7 = c0_7; }
            case 1u: { l = l1; s0 = c1_0; s1 = c1_1; s2 = c1_2; s3 = c1_3; s4 = c1_4; s5 = c1_5; s6 = c1_6; s7 = c1_7; }
            case 2u: { l = l2; s0 = c2_0; s1 = c2_1; s2 = c2_2; s3 = c2_3; s4 = c2_4; s5 = c2_5; s6 = c2_6; s7 = c2_7; }
            default: { l = l3; s0 = c3_0; s1 = c3_1; s2 = c3_2; s3 = c3_3; s4 = c3_4; s5 = c3_5; s6 = c3_6; s7 = c3_7; }
        }
        let out = (token + q) * hidden + head;
        ctx[out + 0u] = s0 / l;
        ctx[out + 1u] = s1 / l;
        ctx[out + 2u] = s2 / l;
        ctx[out + 3u] = s3 / l;
        ctx[out + 4u] = s4 / l;
        ctx[out + 5u] = s5 / l;
        ctx[out + 6u] = s6 / l;
        ctx[out + 7u] = s7 / l;
    }
}
