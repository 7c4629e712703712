// y = (x - mean) / sqrt(var + eps) * gamma + beta. A workgroup takes a row: each thread sums every 64th column, then the
// sums are added pairwise in shared memory, so the order depends on the number of columns alone.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

var<workgroup> partial: array<f32, 64>;

// The sum of every thread's `mine`, in every thread.
fn total(thread: u32, mine: f32) -> f32 {
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
    // More rows than a dispatch has workgroups in one dimension go on in the next.
    let row = group.y * 32768u + group.x;
    if row >= params.rows { return; }
    let first = row * params.cols;
    var sum = 0.0;
    for (var c = thread; c < params.cols; c += 64u) { sum += x[first + c]; }
    let mean = total(thread, sum) / f32(params.cols);
    var squares = 0.0;
    for (var c = thread; c < params.cols; c += 64u) {
        let d = x[first + c] - mean;
        squares = fma(d, d, squares);
    }
    let scale = 1.0 / sqrt(total(thread, squares) / f32(params.cols) + params.eps);
    for (var c = thread; c < params.cols; c += 64u) {
        y[first + c] = fma((x[first + c] - mean) * scale, gamma[c], beta[c]);
    }
}
