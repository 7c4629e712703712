//! The generator of the unrolled kernels in this folder. Accumulators must have names, so these kernels are long.
//!
//! A test compares the files with what the generator writes. After a change here, write them again:
//!
//!     CLOZE_WRITE_SHADERS=1 cargo test --release --test cloze -- generated_kernels
//!
//! The body of a kernel is a chain of fma over ascending k for each accumulator. So a sum has the same order, and the same bits, in every shape of a
//! tile. A chain of four k is one expression: an accumulator that was spilled is read and written once for four.

mod attention;
mod attention_backward;
mod matmul;
mod text;

/// Every generated kernel: the stem of its file, and its text.
pub fn kernels() -> Vec<(&'static str, String)> {
    vec![
        ("matmul_registers_12x16", matmul::registers(12, 16)),
        ("matmul_registers_thin", matmul::thin()),
        ("matmul_tiles_32x32", matmul::tiles(32, 4)),
        ("matmul_tiles_64x64", matmul::tiles(64, 8)),
        ("attention_registers_32", attention::registers(32, 4, false)),
        ("attention_registers_64", attention::registers(64, 4, false)),
        ("attention_tiles_32", attention::tiles(32, false)),
        ("attention_tiles_64", attention::tiles(64, false)),
        ("attention_train_registers_32", attention::registers(32, 4, true)),
        ("attention_train_registers_64", attention::registers(64, 2, true)),
        ("attention_train_tiles_32", attention::tiles(32, true)),
        ("attention_train_tiles_64", attention::tiles(64, true)),
        ("attention_backward_registers_32", attention_backward::registers(32, 4)),
        ("attention_backward_registers_64", attention_backward::registers(64, 2)),
        ("attention_backward_tiles_32", attention_backward::tiles(32)),
        ("attention_backward_tiles_64", attention_backward::tiles(64)),
    ]
}
