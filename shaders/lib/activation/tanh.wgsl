// tanh(x)
fn activate(x: vec4f) -> vec4f { return tanh4(x); }
