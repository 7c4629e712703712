// y = act(x Wᵀ + b) + residual, for few columns (a head's two logits): lanes lie along the rows, so that none is idle.
// A thread computes 4 rows by 4 columns and shares nothing.
// Written by unroll.py.
@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let row = id.x * 4u;
    let col = id.y * 4u;
    if row >= params.m { return; }
    let x0 = row_a(row + 0u);
    let x1 = row_a(row + 1u);
    let x2 = row_a(row + 2u);
    let x3 = row_a(row + 3u);
    var c0 = vec4f(0.0);
    var c1 = vec4f(0.0);
    var c2 = vec4f(0.0);
    var c3 = vec4f(0.0);
    let stride = packed_n() >> 2u;
    var w = col >> 2u;
    for (var k = 0u; k < params.k; k += 4u) {
        let a0 = load_a(x0, k);
        let a1 = load_a(x1, k);
        let a2 = load_a(x2, k);
        let a3 = load_a(x3, k);
        let b0 = load_b(w + 0u * stride);
        let b1 = load_b(w + 1u * stride);
        let b2 = load_b(w + 2u * stride);
        let b3 = load_b(w + 3u * stride);
        w += 4u * stride;
        c0 = fma(vec4f(a0.w), b3, fma(vec4f(a0.z), b2, fma(vec4f(a0.y), b1, fma(vec4f(a0.x), b0, c0))));
        c1 = fma(vec4f(a1.w), b3, fma(vec4f(a1.z), b2, fma(vec4f(a1.y), b1, fma(vec4f(a1.x), b0, c1))));
        c2 = fma(vec4f(a2.w), b3, fma(vec4f(a2.z), b2, fma(vec4f(a2.y), b1, fma(vec4f(a2.x), b0, c2))));
        c3 = fma(vec4f(a3.w), b3, fma(vec4f(a3.z), b2, fma(vec4f(a3.y), b1, fma(vec4f(a3.x), b0, c3))));
    }
    store(row + 0u, col, c0);
    store(row + 1u, col, c1);
    store(row + 2u, col, c2);
    store(row + 3u, col, c3);
}
