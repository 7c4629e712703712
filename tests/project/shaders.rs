//! The unrolled kernels are those that their generator writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

#[path = "../../shaders/unrolled/mod.rs"]
mod unrolled;

#[test]
fn generated_kernels_are_what_the_generator_writes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders/unrolled");
    let writes = std::env::var_os("CLOZE_WRITE_SHADERS").is_some();
    let mut names = BTreeSet::new();
    for (stem, text) in unrolled::kernels() {
        let file = dir.join(format!("{stem}.wgsl"));
        if writes {
            fs::write(&file, &text).unwrap();
        }
        assert!(
            fs::read_to_string(&file).is_ok_and(|found| found == text),
            "{stem}.wgsl differs: see shaders/unrolled/mod.rs"
        );
        names.insert(format!("{stem}.wgsl"));
    }
    let there = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let there: BTreeSet<String> = there.filter(|name| name.ends_with(".wgsl")).collect();
    assert_eq!(there, names, "the folder has only generated kernels");
}
