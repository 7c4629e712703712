// delta[t, h] = Σ d_ctx ctx over a head's columns. One thread a head of a token.
@group(0) @binding(0) var<storage, read> ctx: array<f32>;
@group(0) @binding(1) var<storage, read> d_ctx: array<f32>;
@group(0) @binding(8) var<storage, read_write> delta: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.y * 32768u + group.x) * 64u + thread;
    if i >= params.rows * params.heads { return; }
    var sum = 0.0;
    for (var c = i * params.head_size; c < (i + 1u) * params.head_size; c++) { sum = fma(ctx[c], d_ctx[c], sum); }
    delta[i] = sum;
}
