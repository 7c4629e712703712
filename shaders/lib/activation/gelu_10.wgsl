// GELU, clipped
fn activate(x: vec4f) -> vec4f { return clamp(0.5 * x * erfc4(-0.70710678118654752 * x), vec4f(-10.0), vec4f(10.0)); }
