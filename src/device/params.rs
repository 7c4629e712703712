//! The parameters of ops. Each op declares them once; they are recorded and read by field name.
//!
//! An op's file declares its parameters with `params!`. That defines the struct `Params`, which records a call; the
//! struct `Values`, which the CPU twin, the grid and the flops read when the sizes of the batch are known; and the WGSL
//! struct `Params`, which is put before the op's shaders. In the uniform buffer each field takes 4 bytes.

use super::sizes::{BatchSizes, Rows};
use crate::activation::Activation;

/// One recorded parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamValue {
    /// A number, or the id of an enum's variant.
    U32(u32),
    /// A number.
    F32(f32),
    /// A number of rows, which may follow the batch.
    Rows(Rows),
    /// The length of the batch's longest sequence.
    Longest,
}

impl ParamValue {
    /// The bits that a kernel receives for a batch of these sizes.
    pub fn bits(self, sizes: BatchSizes) -> u32 {
        match self {
            ParamValue::U32(v) => v,
            ParamValue::F32(v) => v.to_bits(),
            ParamValue::Rows(r) => r.resolve(sizes),
            ParamValue::Longest => sizes.longest,
        }
    }

    pub(crate) fn number(self) -> u32 {
        match self {
            ParamValue::U32(v) => v,
            other => unreachable!("{other:?} is recorded where its op declares a number"),
        }
    }
}

/// The declaration of an op's parameters.
#[derive(Clone, Copy, Debug)]
pub struct ParamStruct {
    /// The names of the fields, in order.
    pub names: &'static [&'static str],
    /// The text of the WGSL struct `Params`.
    pub wgsl: &'static str,
}

/// The parameters of one call, as declared with `params!`.
pub trait OpParams {
    /// The declaration.
    const STRUCT: ParamStruct;

    /// The values to record, in the declaration's order.
    fn record(&self) -> Vec<ParamValue>;
}

/// A type that a parameter can be declared with.
pub trait Param: Copy {
    /// The type that the twin, the grid and the flops read.
    type Value;

    /// The value to record.
    fn record(self) -> ParamValue;

    /// The parameter from its recorded value.
    fn recorded(value: ParamValue) -> Self;

    /// The value for a batch, from its bits.
    fn value(bits: u32) -> Self::Value;
}

/// A parameter: the length of the batch's longest sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Longest;

impl Param for Longest {
    type Value = u32;

    fn record(self) -> ParamValue {
        ParamValue::Longest
    }

    fn recorded(_: ParamValue) -> Self {
        Self
    }

    fn value(bits: u32) -> u32 {
        bits
    }
}

impl Param for Rows {
    type Value = u32;

    fn record(self) -> ParamValue {
        ParamValue::Rows(self)
    }

    fn recorded(value: ParamValue) -> Self {
        match value {
            ParamValue::Rows(rows) => rows,
            other => unreachable!("{other:?} is recorded where its op declares rows"),
        }
    }

    fn value(bits: u32) -> u32 {
        bits
    }
}

impl Param for f32 {
    type Value = f32;

    fn record(self) -> ParamValue {
        ParamValue::F32(self)
    }

    fn recorded(value: ParamValue) -> Self {
        match value {
            ParamValue::F32(v) => v,
            other => unreachable!("{other:?} is recorded where its op declares f32"),
        }
    }

    fn value(bits: u32) -> f32 {
        f32::from_bits(bits)
    }
}

/// Implements [`Param`] for types that are recorded as a number. It gives the type, the conversion to the number, and
/// the one back.
macro_rules! numbers {
    ($($type:ty: |$value:ident| $to:expr, |$bits:ident| $back:expr;)+) => {$(
        impl $crate::device::Param for $type {
            type Value = $type;

            fn record(self) -> $crate::device::ParamValue {
                let $value = self;
                $crate::device::ParamValue::U32($to)
            }

            fn recorded(value: $crate::device::ParamValue) -> Self {
                <Self as $crate::device::Param>::value(value.number())
            }

            fn value($bits: u32) -> Self {
                $back
            }
        }
    )+};
}
#[cfg(feature = "train")]
pub(crate) use numbers;

numbers! {
    u32: |value| value, |bits| bits;
    bool: |value| u32::from(value), |bits| bits != 0;
    Activation: |value| value.id(), |bits| Activation::ALL[bits as usize];
}

/// Declares an op's parameters: `params! { rows: Rows, cols: u32, eps: f32 }`. Each type is a [`Param`]. It defines
/// `Params` (as recorded) and `Values` (for one batch), which are private to the crate.
macro_rules! params {
    ($($field:ident: $type:ident),+ $(,)?) => {
        /// The parameters of a call, as they are recorded.
        #[derive(Clone, Copy)]
        pub(crate) struct Params {
            $(pub $field: $type,)+
        }

        /// The parameters of a call, for one batch.
        #[derive(Clone, Copy)]
        #[allow(dead_code, reason = "some parameters are read by shaders alone")]
        pub(crate) struct Values {
            $(pub $field: <$type as $crate::device::Param>::Value,)+
        }

        impl $crate::device::OpParams for Params {
            const STRUCT: $crate::device::ParamStruct = Params::STRUCT;

            fn record(&self) -> Vec<$crate::device::ParamValue> {
                vec![$($crate::device::Param::record(self.$field)),+]
            }
        }

        #[allow(dead_code, reason = "not every op chooses its shaders by its parameters, or has a twin that needs them")]
        impl Params {
            /// The declaration.
            pub(crate) const STRUCT: $crate::device::ParamStruct = $crate::device::ParamStruct {
                names: &[$(stringify!($field)),+],
                wgsl: concat!(
                    "struct Params { ",
                    $(stringify!($field), ": ", $crate::device::wgsl_type!($type), ", ",)+
                    "}"
                ),
            };

            /// The recorded parameters of a call.
            pub(crate) fn recorded(context: &$crate::device::CallContext<'_>) -> Self {
                let [$($field),+] = context.call.params[..] else { unreachable!("a call of another op") };
                Self { $($field: $crate::device::Param::recorded($field)),+ }
            }

            /// The parameters for one batch, from their bits.
            pub(crate) fn resolved(bits: &[u32]) -> Values {
                let [$($field),+] = *bits else { unreachable!("a call of another op") };
                Values { $($field: <$type as $crate::device::Param>::value($field)),+ }
            }
        }
    };
}
pub(crate) use params;

/// The WGSL type of a parameter that is declared with this Rust type.
macro_rules! wgsl_type {
    (f32) => {
        "f32"
    };
    ($number:ident) => {
        "u32"
    };
}
pub(crate) use wgsl_type;

/// The grid or the flops of a call, as a function of the op's `Values`: `resolved!(|p| groups(p.rows, 8))`.
macro_rules! resolved {
    (|$values:ident| $result:expr) => {
        |bits| {
            let $values = Params::resolved(bits);
            $result
        }
    };
}
pub(crate) use resolved;
