// min(max(x, 0), 6)
fn activate(x: vec4f) -> vec4f { return clamp(x, vec4f(0.0), vec4f(6.0)); }
