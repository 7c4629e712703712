// 1 / (1 + exp(-x))
fn activate(x: vec4f) -> vec4f { return sigmoid4(x); }
