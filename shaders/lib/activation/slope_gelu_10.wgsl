// The derivative of GELU, zero where that is clipped. It never falls to -10.
fn slope(x: vec4f) -> vec4f {
    let cdf = 0.5 * erfc4(-0.70710678118654752 * x);
    let inside = cdf + x * 0.39894228040143268 * exp(-0.5 * x * x);
    return select(inside, vec4f(0.0), x * cdf > vec4f(10.0));
}
