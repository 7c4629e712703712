// The derivative of x t, t = tanh(ln(1 + exp(x))): t + x (1 - t²) sigmoid(x). Only exp(-|x|) is taken.
fn slope(x: vec4f) -> vec4f {
    let e = exp(-abs(x));
    let above = x >= vec4f(0.0);
    let t = select((e * e + 2.0 * e) / (e * e + 2.0 * e + 2.0), (1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e), above);
    return t + x * (1.0 - t * t) * select(e, vec4f(1.0), above) / (1.0 + e);
}
