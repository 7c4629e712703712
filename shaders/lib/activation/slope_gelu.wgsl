// The derivative of x Φ(x): Φ(x) + x φ(x), φ the normal density.
fn slope(x: vec4f) -> vec4f {
    return 0.5 * erfc4(-0.70710678118654752 * x) + x * 0.39894228040143268 * exp(-0.5 * x * x);
}
