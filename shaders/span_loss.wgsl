// Cross-entropy over a sequence's tokens of where a span begins (column 0) and ends (column 1), with its gradient. A label
// is a token of the sequence; one past its end is none. One thread a column of a sequence.
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> bounds: array<u32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_logits: array<f32>;
@group(0) @binding(9) var<storage, read_write> loss: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.sequences * 2u { return; }
    let side = id.x & 1u;
    let first = bounds[id.x >> 1u];
    let count = bounds[(id.x >> 1u) + 1u] - first;
    let label = labels[id.x];
    let weight = select(0.0, weights[id.x], label < count);
    let at = first * 2u + side;
    var largest = -3.0e38;
    for (var t = 0u; t < count; t++) { largest = max(largest, logits[at + t * 2u]); }
    var sum = 0.0;
    for (var t = 0u; t < count; t++) { sum += exp(logits[at + t * 2u] - largest); }
    for (var t = 0u; t < count; t++) {
        let p = exp(logits[at + t * 2u] - largest) / sum;
        d_logits[at + t * 2u] = weight * select(p, p - 1.0, t == label);
    }
    loss[id.x] = weight * (log(sum) + largest - logits[at + min(label, count - 1u) * 2u]);
}
