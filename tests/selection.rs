//! The ops that choose and pool rows, against naive loops on every device.

use cloze::block_on;
use cloze::device::{Cancel, Live, Rows};
use cloze::graph::Graph;
use cloze::ops::gather::gather;
use cloze::ops::pool::pool;
use cloze::pooling::Pooling;

use crate::kernels::noise;
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
            let capacity = Live { tokens: 9, sequences: 1, longest: 9, picked: 6 };
            let mut plan = block_on(test.device.plan(&list, capacity)).unwrap();
            // None at all is a batch too.
            for picked in [vec![8_u32, 0, 3, 3, 7, 8], vec![4], vec![]] {
                let live = Live { picked: picked.len() as u32, ..capacity };
                let inputs = [(x.id, bytemuck::cast_slice(&values)), (index.id, bytemuck::cast_slice(&picked))];
                let found = block_on(test.device.run(&mut plan, live, &inputs, &Cancel::new())).unwrap().concat();
                let row = |at: &u32| &values[*at as usize * cols..][..cols];
                let expected: Vec<f32> = picked.iter().flat_map(row).copied().collect();
                assert_eq!(found, expected, "{cols} columns on {}", test.name);
            }
        }
    });
}

#[test]
fn pool_is_the_naive_loop() {
    for_each_device(|test| {
        for cols in [1, 37, 130] {
            let bounds = [0_u32, 1, 71, 74];
            let live = Live { tokens: 74, sequences: 3, longest: 70, picked: 0 };
            let values = noise(74 * cols, 3);
            for (_, pooling) in Pooling::KEYS {
                let mut g = Graph::new();
                let x = g.input("x", Rows::Tokens, cols as u32);
                let cuts = g.input("bounds", Rows::Bounds, 1);
                let y = pool(&mut g, "y", x, cuts, pooling);
                let list = g.finish(&[y]);
                let mut plan = block_on(test.device.plan(&list, live)).unwrap();
                let inputs = [(x.id, bytemuck::cast_slice(&values)), (cuts.id, bytemuck::cast_slice(&bounds))];
                let found = block_on(test.device.run(&mut plan, live, &inputs, &Cancel::new())).unwrap().concat();
                assert_eq!(found.len(), 3 * cols);
                for (b, cut) in bounds.windows(2).enumerate() {
                    for c in 0..cols {
                        let column = (cut[0]..cut[1]).map(|t| f64::from(values[t as usize * cols + c]));
                        let n = f64::from(cut[1] - cut[0]);
                        let expected = match pooling {
                            Pooling::Cls => f64::from(values[cut[0] as usize * cols + c]),
                            Pooling::Mean => column.sum::<f64>() / n,
                            Pooling::Max => column.fold(f64::MIN, f64::max),
                            Pooling::MeanSqrtLen => column.sum::<f64>() / n.sqrt(),
                        };
                        // 70 roundings of sums up to 70.
                        let off = (f64::from(found[b * cols + c]) - expected).abs();
                        assert!(off < 1e-4, "{pooling:?}, {cols} columns on {}: off by {off}", test.name);
                    }
                }
            }
        }
    });
}
