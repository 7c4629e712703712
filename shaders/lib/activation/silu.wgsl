// x sigmoid(x)
fn activate(x: vec4f) -> vec4f { return x * sigmoid4(x); }
