//! Spreads work on independent rows over the pool.

use super::pace::Dispatch;
use super::pool::{Parts, Scratch};

/// The fewest elements of a task, which take a few microseconds.
const FEWEST: usize = 8192;

/// Calls `work` for blocks of rows that together cover `0..rows`. Each call gets its part of every slice in `writes`;
/// the number beside a slice is its elements in each row. The cuts between blocks depend on the number of threads, so a
/// row's result must not depend on its block.
///
/// # Panics
/// If a slice is shorter than `rows` rows.
pub fn for_rows<const N: usize>(
    dispatch: &Dispatch<'_>,
    rows: usize,
    writes: [(&mut [f32], usize); N],
    work: impl Fn(std::ops::Range<usize>, [&mut [f32]; N], &mut Scratch) + Sync,
) {
    let widest = writes.iter().map(|(_, width)| *width).max().unwrap_or(1).max(1);
    let block = rows.div_ceil(4 * dispatch.threads()).max(FEWEST.div_ceil(widest));
    for_blocks(dispatch, rows, block, writes, work);
}

/// Like [`for_rows`], with blocks of `block` rows.
pub fn for_blocks<const N: usize>(
    dispatch: &Dispatch<'_>,
    rows: usize,
    block: usize,
    writes: [(&mut [f32], usize); N],
    work: impl Fn(std::ops::Range<usize>, [&mut [f32]; N], &mut Scratch) + Sync,
) {
    let parts = writes.map(|(slice, width)| {
        assert!(slice.len() >= rows * width, "rows of {width}");
        (Parts::new(slice), width)
    });
    dispatch.run(rows.div_ceil(block), |task, scratch| {
        let range = task * block..rows.min((task + 1) * block);
        let own = std::array::from_fn(|i| {
            let (all, width) = &parts[i];
            // SAFETY: each task has its own rows of each slice.
            unsafe { all.get(range.start * width, range.len() * width) }
        });
        work(range, own, scratch);
    });
}
