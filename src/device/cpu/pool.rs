//! A parallel-for that starts fast: a forward pass makes about 40 dispatches of a fraction of a millisecond each.
//!
//! Workers spin for some tens of microseconds while they wait for the next dispatch, then sleep. A late worker does not
//! delay a dispatch. The calling thread works too, closes the dispatch when no task is left, and waits only for the
//! workers that joined it. Without the feature `native`, the calling thread does everything.

use std::sync::{Mutex, PoisonError};

use super::micro::Isa;

#[cfg(feature = "native")]
mod workers;

/// A cache line of floats, of which aligned buffers are made.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(super) struct Line(pub [f32; 16]);

/// Floats that begin on a cache line, so that no vector of them crosses a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floats(Vec<Line>);

impl Floats {
    /// At least `len` zeros, in whole cache lines; `None` if there is not enough memory.
    pub fn zeros(len: usize) -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(16)).ok()?;
        lines.resize(len.div_ceil(16), Line::default());
        Some(Self(lines))
    }
}

impl std::ops::Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }
}

impl std::ops::DerefMut for Floats {
    fn deref_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// A worker's own memory, kept between dispatches.
#[derive(Default)]
pub struct Scratch {
    lines: Vec<Line>,
}

impl Scratch {
    /// `N` buffers of whole cache lines, at least as long as requested. They hold whatever was left in them.
    pub(super) fn buffers<const N: usize>(&mut self, lens: [usize; N]) -> [&mut [f32]; N] {
        let need: usize = lens.iter().map(|n| n.div_ceil(16)).sum();
        if self.lines.len() < need {
            self.lines.resize(need, Line::default());
        }
        let mut rest = bytemuck::cast_slice_mut(&mut self.lines);
        lens.map(|n| {
            let (buffer, after) = std::mem::take(&mut rest).split_at_mut(n.div_ceil(16) * 16);
            rest = after;
            buffer
        })
    }
}

/// Threads, their scratch memory, and the instruction set that they use.
pub struct Pool {
    isa: Isa,
    /// The scratch memory of the calling thread. The thread that holds it may dispatch.
    turn: Mutex<Scratch>,
    #[cfg(feature = "native")]
    workers: workers::Workers,
}

impl Pool {
    /// A pool of `threads` threads, with the calling one; 0 counts as 1. Dropping the pool ends the others.
    pub fn new(threads: usize) -> Self {
        Self::with_isa(threads, Isa::detect())
    }

    /// A pool that uses a given instruction set.
    ///
    /// # Panics
    /// If the machine lacks it: choose from [`Isa::available`].
    pub fn with_isa(threads: usize, isa: Isa) -> Self {
        assert!(Isa::available().contains(&isa), "this machine has no {}", isa.name());
        #[cfg(not(feature = "native"))]
        let _ = threads;
        Self {
            isa,
            turn: Mutex::default(),
            #[cfg(feature = "native")]
            workers: workers::Workers::new(threads.saturating_sub(1)),
        }
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The number of threads that work on a dispatch, with the calling one.
    pub fn threads(&self) -> usize {
        #[cfg(feature = "native")]
        return self.workers.count() + 1;
        #[cfg(not(feature = "native"))]
        1
    }

    /// Runs `task(i, scratch)` for every i below `tasks`, in any order, and returns when all are done.
    ///
    /// Dispatches from several threads take turns. A task must not dispatch to its own pool, because it would wait for
    /// itself.
    ///
    /// # Panics
    /// If a task panics. The other tasks finish first.
    pub fn run(&self, tasks: usize, task: impl Fn(usize, &mut Scratch) + Sync) {
        // A task that panicked leaves nothing important in the scratch memory.
        let mut scratch = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(feature = "native")]
        if tasks > 1 && self.workers.count() > 0 {
            return self.workers.run(tasks, &task, &mut scratch);
        }
        for i in 0..tasks {
            task(i, &mut scratch);
        }
    }
}

/// A slice of which each task writes its own part.
pub(super) struct Parts<'a> {
    start: *mut f32,
    len: usize,
    life: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: access goes only through unsafe methods, whose callers promise disjoint parts.
unsafe impl Sync for Parts<'_> {}

impl<'a> Parts<'a> {
    pub fn new(whole: &'a mut [f32]) -> Self {
        Self { start: whole.as_mut_ptr(), len: whole.len(), life: std::marker::PhantomData }
    }

    /// The address of element `at`.
    pub fn pointer(&self, at: usize) -> *mut f32 {
        assert!(at <= self.len);
        self.start.wrapping_add(at)
    }

    /// Elements `at..at + len`.
    ///
    /// # Safety
    /// No other part that overlaps them is in use meanwhile.
    #[expect(clippy::mut_from_ref, reason = "disjoint parts of one exclusive borrow; the contract says so")]
    pub unsafe fn get(&self, at: usize, len: usize) -> &mut [f32] {
        assert!(at <= self.len && len <= self.len - at);
        // SAFETY: in the bounds of the borrowed slice, and not aliased, by contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_task_runs_once() {
        for threads in [0, 1, 2, 5] {
            let pool = Pool::new(threads);
            for tasks in [0, 1, 2, 3, 7, 100] {
                for _ in 0..50 {
                    let hits: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    pool.run(tasks, |i, _| {
                        hits[i].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1));
                }
            }
        }
    }

    #[test]
    fn sleeping_workers_wake() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(3));
            let sum = AtomicUsize::new(0);
            pool.run(64, |i, _| {
                sum.fetch_add(i, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 64 * 63 / 2);
        }
    }

    #[test]
    fn callers_take_turns() {
        let pool = Pool::new(2);
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..200 {
                        let sum = AtomicUsize::new(0);
                        pool.run(10, |i, _| {
                            sum.fetch_add(i, Ordering::Relaxed);
                        });
                        assert_eq!(sum.into_inner(), 45);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_reaches_the_caller_and_spares_the_pool() {
        let pool = Pool::new(2);
        for bad in [0, 5, 19] {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                pool.run(20, |i, _| assert!(i != bad, "task {bad}"));
            }));
            assert!(outcome.is_err());
            let sum = AtomicUsize::new(0);
            pool.run(20, |_, _| {
                sum.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), 20);
        }
    }

    #[test]
    fn scratch_buffers_are_aligned_and_disjoint() {
        let mut scratch = Scratch::default();
        let [a, b, c] = scratch.buffers([5, 0, 17]);
        assert_eq!((a.len(), b.len(), c.len()), (16, 0, 32));
        assert_eq!((a.as_ptr() as usize % 64, c.as_ptr() as usize % 64), (0, 0));
        a.fill(1.0);
        c.fill(2.0);
        assert!(a.iter().all(|x| *x == 1.0));
    }
}
