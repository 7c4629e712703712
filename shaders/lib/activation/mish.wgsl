// x tanh(ln(1 + exp(x))), multiplied out so that only exp(-|x|) is taken.
fn activate(x: vec4f) -> vec4f {
    let e = exp(-abs(x));
    let above = (1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e);
    let below = (e * e + 2.0 * e) / (e * e + 2.0 * e + 2.0);
    return x * select(below, above, x >= vec4f(0.0));
}
