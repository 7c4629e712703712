//! The WGSL of an epilogue's activation. Each function has its own file, so no shader carries the others.

use crate::activation::Activation;

macro_rules! files {
    ($($name:literal),+) => { &[$(include_str!(concat!("../../shaders/lib/activation/", $name, ".wgsl"))),+] };
}

/// The files that define `activate(x: vec4f) -> vec4f`, in the order in which they are joined.
pub(crate) fn pieces(activation: Activation) -> &'static [&'static str] {
    match activation {
        Activation::Linear | Activation::Gelu => files!("shared_erfc", "linear_or_gelu"),
        Activation::GeluTanh => files!("shared_sigmoid", "gelu_tanh"),
        Activation::QuickGelu => files!("shared_sigmoid", "quick_gelu"),
        Activation::Gelu10 => files!("shared_erfc", "gelu_10"),
        Activation::Relu => files!("relu"),
        Activation::Relu2 => files!("relu2"),
        Activation::Relu6 => files!("relu6"),
        Activation::LeakyRelu => files!("leaky_relu"),
        Activation::Silu => files!("shared_sigmoid", "silu"),
        Activation::Sigmoid => files!("shared_sigmoid", "sigmoid"),
        Activation::Tanh => files!("shared_tanh", "tanh"),
        Activation::Mish => files!("mish"),
        Activation::Laplace => files!("shared_erfc", "laplace"),
    }
}

/// The files that define the derivative, `slope(x: vec4f) -> vec4f`, in the order in which they are joined.
#[cfg(feature = "train")]
pub(crate) fn slopes(activation: Activation) -> &'static [&'static str] {
    match activation {
        Activation::Linear => files!("slope_linear"),
        Activation::Gelu => files!("shared_erfc", "slope_gelu"),
        Activation::GeluTanh => files!("shared_sigmoid", "slope_gelu_tanh"),
        Activation::QuickGelu => files!("shared_sigmoid", "slope_quick_gelu"),
        Activation::Gelu10 => files!("shared_erfc", "slope_gelu_10"),
        Activation::Relu => files!("slope_relu"),
        Activation::Relu2 => files!("slope_relu2"),
        Activation::Relu6 => files!("slope_relu6"),
        Activation::LeakyRelu => files!("slope_leaky_relu"),
        Activation::Silu => files!("shared_sigmoid", "slope_silu"),
        Activation::Sigmoid => files!("shared_sigmoid", "slope_sigmoid"),
        Activation::Tanh => files!("shared_tanh", "slope_tanh"),
        Activation::Mish => files!("slope_mish"),
        Activation::Laplace => files!("slope_laplace"),
    }
}
