//! Work on rows that do not depend on each other, dealt out to the pool.

use super::pace::Dispatch;
use super::pool::{Parts, Scratch};

/// Elements of a task at least: a few microseconds.
const FEWEST: usize = 8192;

/// Calls `work` for blocks of rows that together are `0..rows`, each with its own part of every slice in `writes`, given
/// with its elements a row. How rows are cut into blocks depends on the threads: no row's result may.
///
/// # Panics
/// If a slice does not have that many rows.
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

/// The same with blocks of `block` rows.
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
