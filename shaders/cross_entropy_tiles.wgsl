// loss = w (log Σ exp(x) - x[label]) and its gradient w (softmax(x) - one-hot) for each row; 0 where there is no label.
// A workgroup takes a row: each thread every 64th column, then pairwise in shared memory.
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_logits: array<f32>;
@group(0) @binding(9) var<storage, read_write> loss: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

var<workgroup> partial: array<f32, 64>;

fn largest_of(thread: u32, mine: f32) -> f32 {
    workgroupBarrier();
    partial[thread] = mine;
    for (var half = 32u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if thread < half { partial[thread] = max(partial[thread], partial[thread + half]); }
    }
    workgroupBarrier();
    return partial[0];
}

fn sum_of(thread: u32, mine: f32) -> f32 {
    workgroupBarrier();
    partial[thread] = mine;
    for (var half = 32u; half > 0u; half >>= 1u) {
        workgroupBarrier();
        if thread < half { partial[thread] += partial[thread + half]; }
    }
    workgroupBarrier();
    return partial[0];
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32, @builtin(workgroup_id) group: vec3u) {
    let row = group.y * 32768u + group.x;
    if row >= params.rows { return; }
    let first = row * params.cols;
    let label = labels[row];
    let weight = select(0.0, weights[row], label < params.cols);
    var mine = -3.0e38;
    for (var c = thread; c < params.cols; c += 64u) { mine = max(mine, logits[first + c]); }
    let largest = largest_of(thread, mine);
    mine = 0.0;
    for (var c = thread; c < params.cols; c += 64u) { mine += exp(logits[first + c] - largest); }
    let sum = sum_of(thread, mine);
    for (var c = thread; c < params.cols; c += 64u) {
        let p = exp(logits[first + c] - largest) / sum;
        d_logits[first + c] = weight * select(p, p - 1.0, c == label);
    }
    if thread == 0u { loss[row] = weight * (log(sum) + largest - logits[first + min(label, params.cols - 1u)]); }
}
