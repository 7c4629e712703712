//! The ops that select and pool rows, compared with naive loops on every device.

use cloze::block_on;
use cloze::device::{BatchSizes, Cancel, Rows};
use cloze::graph::Graph;
use cloze::ops::gather::gather;
use cloze::ops::pool::pool;
use cloze::ops::unit_rows::unit_rows;
use cloze::pooling::Pooling;

use crate::devices::kernels::noise;
use crate::support::devices::for_each_device;

#[test]
fn gather_takes_the_rows_that_are_named() {
    for_each_device(|test| {
        for cols in [1, 30, 64, 130] {
            let mut g = Graph::new();
            let x = g.input("x", Rows::Tokens, cols as u32);
            let index = g.input("picked", Rows::Picked, 1);
            let y = gather(&mut g, "y", x, index);
            let list = g.finish(&[y]);
            let values = noise(9 * cols, 5);
            let capacity = BatchSizes { tokens: 9, sequences: 1, longest: 9, picked: 6 };
            let mut plan = block_on(test.device.plan(&list, capacity)).unwrap();
            // A batch without any picked token is also valid.
            for picked in [vec![8_u32, 0, 3, 3, 7, 8], vec![4], vec![]] {
                let sizes = BatchSizes { picked: picked.len() as u32, ..capacity };
                let inputs = [(x.id, bytemuck::cast_slice(&values)), (index.id, bytemuck::cast_slice(&picked))];
                let found = block_on(test.device.run(&mut plan, sizes, &inputs, &Cancel::new())).unwrap().concat();
                let row = |at: &u32| &values[*at as usize * cols..][..cols];
                let expected: Vec<f32> = picked.iter().flat_map(row).copied().collect();
                assert_eq!(found, expected, "{cols} columns on {}", test.name);
            }
        }
    });
}

/// One column of a pooled sequence whose tokens have these values, without the first `skipped`.
fn pooled(pooling: Pooling, column: &[f64], skipped: usize) -> f64 {
    let counted = &column[skipped.min(column.len())..];
    let weights = (1..=column.len()).skip(skipped).map(|place| place as f64);
    let (n, total) = (counted.len() as f64, weights.clone().sum::<f64>());
    match pooling {
        Pooling::Cls => *counted.first().unwrap_or(&column[0]),
        _ if counted.is_empty() => 0.0,
        Pooling::Mean => counted.iter().sum::<f64>() / n,
        Pooling::Max => counted.iter().copied().fold(f64::MIN, f64::max),
        Pooling::MeanSqrtLen => counted.iter().sum::<f64>() / n.sqrt(),
        Pooling::WeightedMean => counted.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>() / total,
        Pooling::LastToken => counted[counted.len() - 1],
    }
}

#[test]
fn pool_is_the_naive_loop() {
    let all = Pooling::KEYS.map(|(_, pooling)| pooling);
    for_each_device(|test| {
        for cols in [1, 37, 130] {
            let bounds = [0_u32, 1, 71, 74];
            let sizes = BatchSizes { tokens: 74, sequences: 3, longest: 70, picked: 0 };
            let values = noise(74 * cols, 3);
            let alone = all.map(|pooling| vec![pooling]);
            let wide = vec![Pooling::Max, Pooling::Max, Pooling::Cls, Pooling::WeightedMean, Pooling::Mean];
            let most = (0..Pooling::MOST).map(|at| all[at % all.len()]).collect();
            for (poolings, skips) in alone.into_iter().chain([wide, most]).zip([false, true].into_iter().cycle()) {
                for skip in [None, Some([0_u32, 69, 2]), Some([1, 1, 3])].iter().filter(|s| skips || s.is_none()) {
                    let mut g = Graph::new();
                    let x = g.input("x", Rows::Tokens, cols as u32);
                    let cuts = g.input("bounds", Rows::Bounds, 1);
                    let skipped = g.input("skipped", Rows::Sequences, 1);
                    let y = pool(&mut g, "y", x, cuts, &poolings, skip.map(|_| skipped));
                    let list = g.finish(&[y]);
                    let mut plan = block_on(test.device.plan(&list, sizes)).unwrap();
                    let skip = skip.unwrap_or_default();
                    let fed = [(x.id, bytemuck::cast_slice(&values)), (cuts.id, bytemuck::cast_slice(&bounds))];
                    let inputs: Vec<_> = fed.into_iter().chain([(skipped.id, bytemuck::cast_slice(&skip))]).collect();
                    let found = block_on(test.device.run(&mut plan, sizes, &inputs, &Cancel::new())).unwrap().concat();
                    assert_eq!(found.len(), 3 * poolings.len() * cols);
                    let mut found = found.iter();
                    for (cut, skip) in bounds.windows(2).zip(skip) {
                        for (pooling, c) in poolings.iter().flat_map(|p| (0..cols).map(move |c| (*p, c))) {
                            let at = |t: u32| f64::from(values[t as usize * cols + c]);
                            let column: Vec<f64> = (cut[0]..cut[1]).map(at).collect();
                            // 70 roundings of sums up to 70.
                            let off =
                                (f64::from(*found.next().unwrap()) - pooled(pooling, &column, skip as usize)).abs();
                            assert!(off < 1e-4, "{pooling:?}, {skip}, {cols} columns on {}: off by {off}", test.name);
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn unit_rows_have_length_1() {
    for_each_device(|test| {
        for (rows, cols) in [(1, 1), (9, 37), (20, 130)] {
            let mut g = Graph::new();
            let x = g.input("x", Rows::Sequences, cols as u32);
            let y = unit_rows(&mut g, "y", x);
            let list = g.finish(&[y]);
            let sizes = BatchSizes { tokens: rows, sequences: rows, longest: 1, picked: 0 };
            let mut values = noise(rows as usize * cols, 7);
            // A row of zeros stays zero.
            values[..cols].fill(0.0);
            let mut plan = block_on(test.device.plan(&list, sizes)).unwrap();
            let inputs = [(x.id, bytemuck::cast_slice(&values))];
            let found = block_on(test.device.run(&mut plan, sizes, &inputs, &Cancel::new())).unwrap().concat();
            for (found, row) in found.chunks_exact(cols).zip(values.chunks_exact(cols)) {
                let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
                for (found, x) in found.iter().zip(row) {
                    let off = (f64::from(*found) - f64::from(*x) / length).abs();
                    assert!(off < 1e-6, "{cols} columns on {}: off by {off}", test.name);
                }
            }
        }
    });
}
