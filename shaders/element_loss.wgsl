// The loss of each element and its gradient, summed over a row: (x - target)², or binary cross-entropy with x a logit,
// max(x, 0) - x target + ln(1 + exp(-|x|)). One thread a row.
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> targets: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_logits: array<f32>;
@group(0) @binding(9) var<storage, read_write> loss: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

const SQUARED = 0u;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.rows { return; }
    let weight = weights[id.x];
    var sum = 0.0;
    for (var c = 0u; c < params.cols; c++) {
        let i = id.x * params.cols + c;
        let x = logits[i];
        let e = exp(-abs(x));
        if params.kind == SQUARED {
            let d = x - targets[i];
            sum += d * d;
            d_logits[i] = weight * 2.0 * d;
        } else {
            sum += max(x, 0.0) - x * targets[i] + log(1.0 + e);
            d_logits[i] = weight * (select(e, 1.0, x >= 0.0) / (1.0 + e) - targets[i]);
        }
    }
    loss[id.x] = weight * sum;
}
