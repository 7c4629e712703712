// BERT's activations, chosen when the pipeline is made; numbers as in `Activation`.
override ACTIVATION: u32 = 0u;

// exp of large arguments is infinite, and inf / inf is not a number: tanh goes by exp(-2|x|).
fn tanh4(x: vec4f) -> vec4f {
    let e = exp(-2.0 * abs(x));
    return sign(x) * (1.0 - e) / (1.0 + e);
}

fn sigmoid4(x: vec4f) -> vec4f {
    let e = exp(-abs(x));
    return select(e, vec4f(1.0), x >= vec4f(0.0)) / (1.0 + e);
}

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

// x tanh(ln(1 + exp(x))), multiplied out so that only exp(-|x|) is taken.
fn mish4(x: vec4f) -> vec4f {
    let e = exp(-abs(x));
    let above = (1.0 + 2.0 * e) / (1.0 + 2.0 * e + 2.0 * e * e);
    let below = (e * e + 2.0 * e) / (e * e + 2.0 * e + 2.0);
    return x * select(below, above, x >= vec4f(0.0));
}

fn gelu4(x: vec4f) -> vec4f { return 0.5 * x * erfc4(-0.70710678118654752 * x); }

fn activate(x: vec4f) -> vec4f {
    let zero = vec4f(0.0);
    switch ACTIVATION {
        case 1u: { return gelu4(x); }
        case 2u: { return 0.5 * x * (1.0 + tanh4(0.7978845608028654 * (x + 0.044715 * x * x * x))); }
        // quick_gelu
        case 3u: { return x * sigmoid4(1.702 * x); }
        // gelu_10
        case 4u: { return min(gelu4(x), vec4f(10.0)); }
        // relu and its square, relu6, leaky_relu
        case 5u: { return max(x, zero); }
        case 6u: { return max(x, zero) * max(x, zero); }
        case 7u: { return min(max(x, zero), vec4f(6.0)); }
        case 8u: { return select(0.01 * x, x, x >= zero); }
        // silu, sigmoid
        case 9u: { return x * sigmoid4(x); }
        case 10u: { return sigmoid4(x); }
        case 11u: { return tanh4(x); }
        case 12u: { return mish4(x); }
        // laplace: the normal distribution's function, mean 0.707107, deviation 0.282095
        case 13u: { return 0.5 * erfc4((0.707107 - x) * 2.5066264); }
        default: { return x; }
    }
}
