// GELU by tanh: 0.5 (1 + tanh y) is sigmoid(2 y)
fn activate(x: vec4f) -> vec4f { return x * sigmoid4(1.5957691216057308 * (x + 0.044715 * x * x * x)); }
