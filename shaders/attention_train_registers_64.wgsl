// ctx = M softmax(Q Kᵀ scale) V and lse = log Σ exp, M being dropout's choice, heads of 64. A thread carries 2 queries of one head through the keys of their sequence
// with a running maximum m and sum l (online softmax), so that a key is loaded once for all of them. No barrier.
// Written by unroll.py.
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> control: array<u32>;
@group(0) @binding(8) var<storage, read_write> ctx: array<vec4f>;
@group(0) @binding(9) var<storage, read_write> lse: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(local_invocation_id) lane: vec3u, @builtin(workgroup_id) group: vec3u) {
    let first = bounds[group.z];
    let end = bounds[group.z + 1u];
    let token = first + (group.x * 8u + lane.x) * 2u;
    if token >= end { return; }
    // In vectors of four.
    let hidden = params.heads * 16u;
    let head = group.y * 16u;
    let count = min(2u, end - token);
    // Loads and stores of queries stand once, in a loop, or they would be most of what there is to compile.
    var q0_0 = vec4f(0.0);
    var q0_1 = vec4f(0.0);
    var q0_2 = vec4f(0.0);
    var q0_3 = vec4f(0.0);
    var q0_4 = vec4f(0.0);
    var q0_5 = vec4f(0.0);
    var q0_6 = vec4f(0.0);
    var q0_7 = vec4f(0.0);
    var q0_8 = vec4f(0.0);
    var q0_9 = vec4f(0.0);
    var q0_10 = vec4f(0.0);
    var q0_11 = vec4f(0.0);
    var q0_12 = vec4f(0.0);
    var q0_13 = vec4f(0.0);
    var q0_14 = vec4f(0.0);
    var q0_15 = vec4f(0.0);
    var q1_0 = vec4f(0.0);
    var q1_1 = vec4f(0.0);
    var q1_2 = vec4f(0.0);
    var q1_3 = vec4f(0.0);
    var q1_4 = vec4f(0.0);
    var q1_5 = vec4f(0.0);
    var q1_6 = vec4f(0.0);
    var q1_7 = vec4f(0.0);
    var q1_8 = vec4f(0.0);
    var q1_9 = vec4f(0.0);
    var q1_10 = vec4f(0.0);
    var q1_11 = vec4f(0.0);
    var q1_12 = vec4f(0.0);
    var q1_13 = vec4f(0.0);
    var q1_14 = vec4f(0.0);
    var q1_15 = vec4f(0.0);
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
        let k8 = qkv[at + 8u] * params.scale;
        let k9 = qkv[at + 9u] * params.scale;
        let k10 = qkv[at + 10u] * params.scale;
        let k11 = qkv[at + 11u] * params.scale;
        let k12 = qkv[at + 12u] * params.scale;
        let k13 = qkv[at + 13u] * params.scale;
        let k14 = qkv[at + 14u] * params.scale;
        let k15 = qkv[at + 15u] * params.scale;
        switch q {
            case 0u: { q0_0 = k0; q0_1 = k1; q0_2 = k2; q0_3 = k3; q0_4 = k4; q0_5 = k5; q0_6 = k6; q0_7 = k7; q0_8 = k8; q0_9 = k9; q0_10 = k10; q0_11 = k11; q0_12 = k12; q0_13 = k13; q0_14 = k14; q0_15 = k15; }
            case 1u: { q1_0 = k0; q1_1 = k1; q1_2 = k2; q1_3 = k3; q1_4 = k4; q1_5 = k5; q1_6 = k6; q1_7 = k7; q1_8 = k8; q1_9 = k9; q1_10 = k10; q1_11 = k11; q1_12 = k12; q1_13 = k13; q1_14 = k14; q1_15 = k15; }
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
    var c0_8 = vec4f(0.0);
    var c0_9 = vec4f(0.0);
    var c0_10 = vec4f(0.0);
    var c0_11 = vec4f(0.0);
    var c0_12 = vec4f(0.0);
    var c0_13 = vec4f(0.0);
    var c0_14 = vec4f(0.0);
    var c0_15 = vec4f(0.0);
    var c1_0 = vec4f(0.0);
    var c1_1 = vec4f(0.0);
    var c1_2 = vec4f(0.0);
    var c1_3 = vec4f(0.0);
    var c1_4 = vec4f(0.0);
    var c1_5 = vec4f(0.0);
    var c1_6 = vec4f(0.0);
    var c1_7 = vec4f(0.0);
    var c1_8 = vec4f(0.0);
    var c1_9 = vec4f(0.0);
    var c1_10 = vec4f(0.0);
    var c1_11 = vec4f(0.0);
    var c1_12 = vec4f(0.0);
    var c1_13 = vec4f(0.0);
    var c1_14 = vec4f(0.0);
    var c1_15 = vec4f(0.0);
    var m0 = -3.0e38;
    var m1 = -3.0e38;
    var l0 = 0.0;
    var l1 = 0.0;
    let key = site_key(control[0], params.site);
    let r0 = row_key(key, (token + 0u) * params.heads + group.y);
    let r1 = row_key(key, (token + 1u) * params.heads + group.y);
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
        let k8 = qkv[at + hidden + 8u];
        let k9 = qkv[at + hidden + 9u];
        let k10 = qkv[at + hidden + 10u];
        let k11 = qkv[at + hidden + 11u];
        let k12 = qkv[at + hidden + 12u];
        let k13 = qkv[at + hidden + 13u];
        let k14 = qkv[at + hidden + 14u];
        let k15 = qkv[at + hidden + 15u];
        let s0 = dot(fma(q0_15, k15, fma(q0_14, k14, fma(q0_13, k13, fma(q0_12, k12, fma(q0_11, k11, fma(q0_10, k10, fma(q0_9, k9, fma(q0_8, k8, fma(q0_7, k7, fma(q0_6, k6, fma(q0_5, k5, fma(q0_4, k4, fma(q0_3, k3, fma(q0_2, k2, fma(q0_1, k1, q0_0 * k0))))))))))))))), vec4f(1.0));
        let s1 = dot(fma(q1_15, k15, fma(q1_14, k14, fma(q1_13, k13, fma(q1_12, k12, fma(q1_11, k11, fma(q1_10, k10, fma(q1_9, k9, fma(q1_8, k8, fma(q1_7, k7, fma(q1_6, k6, fma(q1_5, k5, fma(q1_4, k4, fma(q1_3, k3, fma(q1_2, k2, fma(q1_1, k1, q1_0 * k0))))))))))))))), vec4f(1.0));
        let n0 = max(m0, s0);
        let f0 = exp(m0 - n0);
        var p0 = exp(s0 - n0);
        m0 = n0;
        l0 = fma(l0, f0, p0);
        let n1 = max(m1, s1);
        let f1 = exp(m1 - n1);
        var p1 = exp(s1 - n1);
        m1 = n1;
        l1 = fma(l1, f1, p1);
        if params.threshold > 0u {
            p0 *= keep(r0, t - first, params.threshold, params.keep_scale);
            p1 *= keep(r1, t - first, params.threshold, params.keep_scale);
        }
        let v0 = qkv[at + 2u * hidden + 0u];
        c0_0 = fma(vec4f(p0), v0, c0_0 * f0);
        c1_0 = fma(vec4f(p1), v0, c1_0 * f1);
        let v1 = qkv[at + 2u * hidden + 1u];
        c0_1 = fma(vec4f(p0), v1, c0_1 * f0);
        c1_1 = fma(vec4f(p1), v1, c1_1 * f1);
        let v2 = qkv[at + 2u * hidden + 2u];
        c0_2 = fma(vec4f(p0), v2, c0_2 * f0);
        c1_2 = fma(vec4f(p1), v2, c1_2 * f1);
        let v3 = qkv[at + 2u * hidden + 3u];
        c0_3 = fma(vec4f(p0), v3, c0_3 * f0);
        c1_3 = fma(vec4f(p1), v3, c1_3 * f1);
        let v4 = qkv[at + 2u * hidden + 4u];
        c0_4 = fma(vec4f(p0), v4, c0_4 * f0);
        c1_4 = fma(vec4f(p1), v4, c1_4 * f1);
        let v5 = qkv[at + 2u * hidden + 5u];
        c0_5 = fma(vec4f(p0), v5, c0_5 * f0);
        c1_5 = fma(vec4f(p1), v5, c1_5 * f1);
        let v6 = qkv[at + 2u * hidden + 6u];
        c0_6 = fma(vec4f(p0), v6, c0_6 * f0);
        c1_6 = fma(vec4f(p1), v6, c1_6 * f1);
        let v7 = qkv[at + 2u * hidden + 7u];
        c0_7 = fma(vec4f(p0), v7, c0_7 * f0);
        c1_7 = fma(vec4f(p1), v7, c1_7 * f1);
        let v8 = qkv[at + 2u * hidden + 8u];
        c0_8 = fma(vec4f(p0), v8, c0_8 * f0);
        c1_8 = fma(vec4f(p1), v8, c1_8 * f1);
        let v9 = qkv[at + 2u * hidden + 9u];
        c0_9 = fma(vec4f(p0), v9, c0_9 * f0);
        c1_9 = fma(vec4f(p1), v9, c1_9 * f1);
        let v10 = qkv[at + 2u * hidden + 10u];
        c0_10 = fma(vec4f(p0), v10, c0_10 * f0);
        c1_10 = fma(vec4f(p1), v10, c1_10 * f1);
        let v11 = qkv[at + 2u * hidden + 11u];
        c0_11 = fma(vec4f(p0), v11, c0_11 * f0);
        c1_11 = fma(vec4f(p1), v11, c1_11 * f1);
        let v12 = qkv[at + 2u * hidden + 12u];
        c0_12 = fma(vec4f(p0), v12, c0_12 * f0);
        c1_12 = fma(vec4f(p1), v12, c1_12 * f1);
        let v13 = qkv[at + 2u * hidden + 13u];
        c0_13 = fma(vec4f(p0), v13, c0_13 * f0);
        c1_13 = fma(vec4f(p1), v13, c1_13 * f1);
        let v14 = qkv[at + 2u * hidden + 14u];
        c0_14 = fma(vec4f(p0), v14, c0_14 * f0);
        c1_14 = fma(vec4f(p1), v14, c1_14 * f1);
        let v15 = qkv[at + 2u * hidden + 15u];
        c0_15 = fma(vec4f(p0), v15, c0_15 * f0);
        c1_15 = fma(vec4f(p1), v15, c1_15 * f1);
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
        var s8: vec4f;
        var s9: vec4f;
        var s10: vec4f;
        var s11: vec4f;
        var s12: vec4f;
        var s13: vec4f;
        var s14: vec4f;
        var s15: vec4f;
        var l: f32;
        var m: f32;
        switch q {
            case 0u: { m = m0; l = l0; s0 = c0_0; s1 = c0_1; s2 = c0_2; s3 = c0_3; s4 = c0_4; s5 = c0_5; s6 = c0_6; s7 = c0_7; s8 = c0_8; s9 = c0_9; s10 = c0_10; s11 = c0_11; s12 = c0_12; s13 = c0_13; s14 = c0_14; s15 = c0_15; }
            default: { m = m1; l = l1; s0 = c1_0; s1 = c1_1; s2 = c1_2; s3 = c1_3; s4 = c1_4; s5 = c1_5; s6 = c1_6; s7 = c1_7; s8 = c1_8; s9 = c1_9; s10 = c1_10; s11 = c1_11; s12 = c1_12; s13 = c1_13; s14 = c1_14; s15 = c1_15; }
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
        ctx[out + 8u] = s8 / l;
        ctx[out + 9u] = s9 / l;
        ctx[out + 10u] = s10 / l;
        ctx[out + 11u] = s11 / l;
        ctx[out + 12u] = s12 / l;
        ctx[out + 13u] = s13 / l;
        ctx[out + 14u] = s14 / l;
        ctx[out + 15u] = s15 / l;
        lse[(token + q) * params.heads + group.y] = m + log(l);
    }
}
