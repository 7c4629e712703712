//! The WGSL of an epilogue's activation: one file a function, so that no shader carries the others.

use crate::activation::Activation;

/// The pieces that define `activate(x: vec4f) -> vec4f`, in order.
pub(crate) fn pieces(activation: Activation) -> &'static [&'static str] {
    macro_rules! files {
        ($($name:literal),+) => { &[$(include_str!(concat!("../../shaders/lib/activation/", $name, ".wgsl"))),+] };
    }
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
