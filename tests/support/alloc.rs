//! Measures the memory that some work takes, with the test binary's allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    /// The bytes that this thread holds, the most that it held, and its largest allocation.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

/// The largest allocation of any thread.
static LARGEST_ANYWHERE: AtomicUsize = AtomicUsize::new(0);

fn took(bytes: usize) {
    // A thread that is ending no longer has counters.
    let _ = LIVE.try_with(|sizes| {
        sizes.set(sizes.get() + bytes as isize);
        PEAK.set(PEAK.get().max(sizes.get()));
        LARGEST.set(LARGEST.get().max(bytes));
    });
    LARGEST_ANYWHERE.fetch_max(bytes, Ordering::Relaxed);
}

fn gave_back(bytes: usize) {
    let _ = LIVE.try_with(|sizes| sizes.set(sizes.get() - bytes as isize));
}

// SAFETY: every call is passed unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        gave_back(layout.size());
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Counted like a move, in which both exist for a moment.
        took(size);
        gave_back(layout.size());
        unsafe { System.realloc(at, layout, size) }
    }
}

/// The memory that some work took.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// The most bytes that were held at once, beyond those held before.
    pub peak: usize,
    /// The bytes that are still held.
    pub kept: isize,
    /// The largest single allocation.
    pub largest: usize,
}

/// Runs `work` and measures its memory on this thread.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Usage) {
    let before = LIVE.get();
    PEAK.set(before);
    LARGEST.set(0);
    let result = work();
    (result, Usage { peak: (PEAK.get() - before) as usize, kept: LIVE.get() - before, largest: LARGEST.get() })
}

/// Runs `work` in a process of its own, where nothing else allocates, for [`largest_anywhere`]. `name` is the full path
/// of the calling test.
pub fn alone(name: &str, work: impl FnOnce()) {
    const KEY: &str = "CLOZE_TEST_ALONE";
    if std::env::var(KEY).is_ok_and(|alone| alone == name) {
        return work();
    }
    let me = std::env::current_exe().unwrap();
    let run = std::process::Command::new(me).args([name, "--exact", "--nocapture"]).env(KEY, name).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && text.contains("1 passed"), "{text}");
}

/// Runs `work` and returns the largest single allocation of any thread. Use it only inside [`alone`].
pub fn largest_anywhere<T>(work: impl FnOnce() -> T) -> (T, usize) {
    LARGEST_ANYWHERE.store(0, Ordering::Relaxed);
    let result = work();
    (result, LARGEST_ANYWHERE.load(Ordering::Relaxed))
}

#[test]
fn counts_what_is_taken() {
    let (_, usage) = measure(|| {
        drop(vec![0u8; 5000]);
        [vec![1u8; 3000], vec![1u8; 3000]]
    });
    assert_eq!((usage.peak, usage.largest), (6000, 5000));
    alone("support::alloc::counts_what_is_taken", || {
        let (_, largest) = largest_anywhere(|| {
            std::thread::spawn(|| drop(vec![0u8; 1 << 24])).join().unwrap();
        });
        assert_eq!(largest, 1 << 24);
    });
}
