// AdamW: g = d_p clip; m += (1 - beta1) (g - m); v = beta2 v + (1 - beta2) g²; p = p (1 - lr decay) - lr c1 m / (c2 sqrt(v) + eps);
// then d_p = 0, and that alone where the norm is not finite. control = (key, lr, c1, c2), c1 and c2 the corrections of the moments' bias. One thread an element.
@group(0) @binding(0) var<storage, read> control: array<f32>;
@group(0) @binding(1) var<storage, read> squared_norm: array<f32>;
@group(0) @binding(8) var<storage, read_write> p: array<f32>;
@group(0) @binding(9) var<storage, read_write> d_p: array<f32>;
@group(0) @binding(10) var<storage, read_write> m: array<f32>;
@group(0) @binding(11) var<storage, read_write> v: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.y * 32768u + group.x) * 64u + thread;
    if i >= params.len { return; }
    // By its bits: a compiler may take every number for finite.
    if (bitcast<u32>(squared_norm[0]) & 0x7f800000u) == 0x7f800000u { d_p[i] = 0.0; return; }
    var clip = 1.0;
    if params.max_norm > 0.0 { clip = min(1.0, params.max_norm / (sqrt(squared_norm[0]) + 1e-6)); }
    let lr = control[1];
    let g = d_p[i] * clip;
    let first = m[i] + (1.0 - params.beta1) * (g - m[i]);
    let second = params.beta2 * v[i] + (1.0 - params.beta2) * g * g;
    m[i] = first;
    v[i] = second;
    p[i] = p[i] * (1.0 - lr * params.decay) - lr * control[2] * first / (sqrt(second) * control[3] + params.eps);
    d_p[i] = 0.0;
}
