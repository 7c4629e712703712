//! The pointwise functions between a layer's two feed-forward matmuls (and in some heads).
//!
//! This file has only their names and ids, which the model's configuration, the CPU and the shaders share.

/// A pointwise function. Several names in `transformers` can mean the same one.
///
/// The discriminants are stable, because shaders receive them as `u32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Activation {
    /// `x`
    #[default]
    Linear = 0,
    /// `x Φ(x)`, where Φ is the normal distribution function: GELU by erf (Hendrycks and Gimpel, arXiv:1606.08415).
    Gelu = 1,
    /// GELU by its tanh approximation, which equals `x sigmoid(2 sqrt(2/π) (x + 0.044715 x³))`.
    GeluTanh = 2,
    /// `x sigmoid(1.702 x)`
    QuickGelu = 3,
    /// `Gelu` clipped to -10..=10.
    Gelu10 = 4,
    /// `max(x, 0)`
    Relu = 5,
    /// `max(x, 0)²`
    Relu2 = 6,
    /// `min(max(x, 0), 6)`
    Relu6 = 7,
    /// `x` above zero, `0.01 x` below.
    LeakyRelu = 8,
    /// `x sigmoid(x)`
    Silu = 9,
    /// `1 / (1 + e⁻ˣ)`
    Sigmoid = 10,
    /// `tanh(x)`
    Tanh = 11,
    /// `x tanh(ln(1 + eˣ))`
    Mish = 12,
    /// `Φ((x - 0.707107) / 0.282095)`
    Laplace = 13,
}

impl Activation {
    /// All functions, by ascending id.
    pub const ALL: [Activation; 14] = [
        Activation::Linear,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::QuickGelu,
        Activation::Gelu10,
        Activation::Relu,
        Activation::Relu2,
        Activation::Relu6,
        Activation::LeakyRelu,
        Activation::Silu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Mish,
        Activation::Laplace,
    ];

    /// The names that `config.json` may have, as in `transformers.activations.ACT2FN`, each with its function.
    ///
    /// `prelu` and `xielu` are missing, because they have parameters of their own, which a BERT checkpoint has no place
    /// for.
    pub const NAMES: [(&str, Activation); 20] = [
        ("gelu", Activation::Gelu),
        ("gelu_10", Activation::Gelu10),
        ("gelu_accurate", Activation::GeluTanh),
        ("gelu_fast", Activation::GeluTanh),
        ("gelu_new", Activation::GeluTanh),
        ("gelu_python", Activation::Gelu),
        ("gelu_python_tanh", Activation::GeluTanh),
        ("gelu_pytorch_tanh", Activation::GeluTanh),
        ("laplace", Activation::Laplace),
        ("leaky_relu", Activation::LeakyRelu),
        ("linear", Activation::Linear),
        ("mish", Activation::Mish),
        ("quick_gelu", Activation::QuickGelu),
        ("relu", Activation::Relu),
        ("relu2", Activation::Relu2),
        ("relu6", Activation::Relu6),
        ("sigmoid", Activation::Sigmoid),
        ("silu", Activation::Silu),
        ("swish", Activation::Silu),
        ("tanh", Activation::Tanh),
    ];

    /// The function that `transformers` calls `name`; `None` if it knows none, or if the function has parameters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(n, _)| *n == name).map(|(_, a)| *a)
    }

    /// The function of a PyTorch module without arguments, by the path of its class, such as
    /// `torch.nn.modules.activation.Sigmoid`; `None` for any other path.
    pub fn from_torch(path: &str) -> Option<Self> {
        const CLASSES: [(&str, Activation); 9] = [
            ("Identity", Activation::Linear),
            ("Sigmoid", Activation::Sigmoid),
            ("Tanh", Activation::Tanh),
            ("ReLU", Activation::Relu),
            ("ReLU6", Activation::Relu6),
            ("LeakyReLU", Activation::LeakyRelu),
            ("GELU", Activation::Gelu),
            ("SiLU", Activation::Silu),
            ("Mish", Activation::Mish),
        ];
        let class = path.strip_prefix("torch.nn.")?.rsplit('.').next()?;
        CLASSES.iter().find(|(known, _)| *known == class).map(|(_, activation)| *activation)
    }

    /// The number of the function in shaders.
    pub const fn id(self) -> u32 {
        self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_stable_and_names_resolve() {
        for (i, a) in Activation::ALL.iter().enumerate() {
            assert_eq!(a.id() as usize, i);
            assert!(Activation::NAMES.iter().any(|(_, b)| a == b), "{a:?} has no name");
        }
        assert_eq!(Activation::from_name("gelu_new"), Some(Activation::GeluTanh));
        assert_eq!(Activation::from_name("swish"), Some(Activation::Silu));
        assert_eq!(Activation::from_name("prelu"), None);
        assert_eq!(Activation::from_name("GELU"), None);
        assert_eq!(Activation::from_torch("torch.nn.modules.linear.Identity"), Some(Activation::Linear));
        assert_eq!(Activation::from_torch("torch.nn.Sigmoid"), Some(Activation::Sigmoid));
        for unknown in ["torch.nn.Softmax", "Sigmoid", "mine.nn.Sigmoid", "torch.nn.", ""] {
            assert_eq!(Activation::from_torch(unknown), None, "{unknown}");
        }
    }
}
