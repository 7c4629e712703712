// The derivative of min(max(x, 0), 6)
fn slope(x: vec4f) -> vec4f { return select(vec4f(0.0), vec4f(1.0), (x > vec4f(0.0)) & (x < vec4f(6.0))); }
