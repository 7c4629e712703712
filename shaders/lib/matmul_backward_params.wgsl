struct Params { m: u32, n: u32, k: u32, add: u32 }
@group(0) @binding(12) var<uniform> params: Params;

// N and K as the right side is padded.
fn packed_n() -> u32 { return (params.n + 63u) & ~63u; }
fn packed_k() -> u32 { return (params.k + 15u) & ~15u; }
