// loss = w (log Σ exp(x) - x[label]) and its gradient w (softmax(x) - one-hot) for each row; 0 where there is no label.
// One thread a row: no barrier.
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_logits: array<f32>;
@group(0) @binding(9) var<storage, read_write> loss: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.rows { return; }
    let first = id.x * params.cols;
    let label = labels[id.x];
    let weight = select(0.0, weights[id.x], label < params.cols);
    var largest = -3.0e38;
    for (var c = 0u; c < params.cols; c++) { largest = max(largest, logits[first + c]); }
    var sum = 0.0;
    for (var c = 0u; c < params.cols; c++) { sum += exp(logits[first + c] - largest); }
    for (var c = 0u; c < params.cols; c++) {
        let p = exp(logits[first + c] - largest) / sum;
        d_logits[first + c] = weight * select(p, p - 1.0, c == label);
    }
    loss[id.x] = weight * (log(sum) + largest - logits[first + min(label, params.cols - 1u)]);
}
