// y = act(x Wᵀ + b) + residual. A thread computes 4 rows by 4 columns and shares nothing.
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let col = id.x * 4u;
    let row = id.y * 4u;
    if row >= params.m || col >= params.n { return; }
    var c0 = vec4f(0.0);
    var c1 = vec4f(0.0);
    var c2 = vec4f(0.0);
    var c3 = vec4f(0.0);
    for (var k = 0u; k < params.k; k += 4u) {
        let a0 = load_a(row, k);
        let a1 = load_a(row + 1u, k);
        let a2 = load_a(row + 2u, k);
        let a3 = load_a(row + 3u, k);
        var b = load_b(k, col);
        c0 = fma(vec4f(a0.x), b, c0);
        c1 = fma(vec4f(a1.x), b, c1);
        c2 = fma(vec4f(a2.x), b, c2);
        c3 = fma(vec4f(a3.x), b, c3);
        b = load_b(k + 1u, col);
        c0 = fma(vec4f(a0.y), b, c0);
        c1 = fma(vec4f(a1.y), b, c1);
        c2 = fma(vec4f(a2.y), b, c2);
        c3 = fma(vec4f(a3.y), b, c3);
        b = load_b(k + 2u, col);
        c0 = fma(vec4f(a0.z), b, c0);
        c1 = fma(vec4f(a1.z), b, c1);
        c2 = fma(vec4f(a2.z), b, c2);
        c3 = fma(vec4f(a3.z), b, c3);
        b = load_b(k + 3u, col);
        c0 = fma(vec4f(a0.w), b, c0);
        c1 = fma(vec4f(a1.w), b, c1);
        c2 = fma(vec4f(a2.w), b, c2);
        c3 = fma(vec4f(a3.w), b, c3);
    }
    store(row, col, c0);
    store(row + 1u, col, c1);
    store(row + 2u, col, c2);
    store(row + 3u, col, c3);
}
