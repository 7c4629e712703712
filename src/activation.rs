#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    None = 0,
    Gelu = 1,
    GeluTanh = 2,
    QuickGelu = 3,
    Relu = 4,
    Silu = 5,
    Tanh = 6,
}
impl Activation {
    pub fn from_id(i: u32) -> Option<Self> {
        use Activation::*;
        [None, Gelu, GeluTanh, QuickGelu, Relu, Silu, Tanh].into_iter().nth(i as usize)
    }
    pub fn apply(self, x: f32) -> f32 {
        match self {
            Activation::Gelu => {
                let x = x as f64;
                (0.5 * x * (1.0 + libm_erf(x / 2f64.sqrt()))) as f32
            }
            Activation::None => x,
            Activation::Relu => x.max(0.0),
            Activation::Tanh => x.tanh(),
            _ => todo!(),
        }
    }
}
fn libm_erf(x: f64) -> f64 {
    let z = x.abs();
    let t = 1.0 / (1.0 + 0.5 * z);
    let r = t
        * (-z * z - 1.26551223
            + t * (1.00002368
                + t * (0.37409196
                    + t * (0.09678418
                        + t * (-0.18628806
                            + t * (0.27886807
                                + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))))
            .exp();
    if x >= 0.0 { 1.0 - r } else { r - 1.0 }
}
