// erfc by its rational Chebyshev fit (Numerical Recipes, erfcc): relative error below 1.2e-7 everywhere,
// so that x * erfc keeps its digits on the negative side, where 1 + erf would cancel.
fn erfc4(x: vec4f) -> vec4f {
    let z = abs(x);
    let t = 1.0 / (1.0 + 0.5 * z);
    var p = vec4f(0.17087277);
    p = p * t - 0.82215223;
    p = p * t + 1.48851587;
    p = p * t - 1.13520398;
    p = p * t + 0.27886807;
    p = p * t - 0.18628806;
    p = p * t + 0.09678418;
    p = p * t + 0.37409196;
    p = p * t + 1.00002368;
    p = p * t - 1.26551223;
    let r = t * exp(p - z * z);
    return select(2.0 - r, r, x >= vec4f(0.0));
}
