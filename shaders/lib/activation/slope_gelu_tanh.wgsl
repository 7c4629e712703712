// The derivative of x s, s = sigmoid(u(x)): s + x s (1 - s) u'.
fn slope(x: vec4f) -> vec4f {
    let s = sigmoid4(1.5957691216057308 * (x + 0.044715 * x * x * x));
    return s + x * s * (1.0 - s) * 1.5957691216057308 * (1.0 + 0.134145 * x * x);
}
