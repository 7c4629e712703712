// d_x = s (g - mean(g) - n mean(g n)), with g = gamma d_y, n = (x - mean) s and s = 1 / sqrt(var + eps); stats = mean, s.
// A workgroup takes a row: each thread sums every 64th column, then the sums are added pairwise in shared memory.
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> d_y: array<f32>;
@group(0) @binding(8) var<storage, read_write> d_x: array<f32>;
@group(0) @binding(9) var<storage, read_write> stats: array<f32>;
@group(0) @binding(12) var<uniform> params: Params;

var<workgroup> partial: array<vec2f, 64>;

// The sum of every thread's `mine`, in every thread.
fn total(thread: u32, mine: vec2f) -> vec2f {
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
    let n = f32(params.cols);
    var sum = 0.0;
    for (var c = thread; c < params.cols; c += 64u) { sum += x[first + c]; }
    let mean = total(thread, vec2f(sum, 0.0)).x / n;
    var squares = 0.0;
    for (var c = thread; c < params.cols; c += 64u) {
        let d = x[first + c] - mean;
        squares = fma(d, d, squares);
    }
    let scale = 1.0 / sqrt(total(thread, vec2f(squares, 0.0)).x / n + params.eps);
    var sums = vec2f(0.0);
    for (var c = thread; c < params.cols; c += 64u) {
        let g = gamma[c] * d_y[first + c];
        sums += vec2f(g, g * (x[first + c] - mean) * scale);
    }
    let means = total(thread, sums) / n;
    for (var c = thread; c < params.cols; c += 64u) {
        let g = gamma[c] * d_y[first + c];
        d_x[first + c] = scale * (g - means.x - (x[first + c] - mean) * scale * means.y);
    }
    if thread == 0u {
        stats[row * 2u] = mean;
        stats[row * 2u + 1u] = scale;
    }
}
