//! Giving way: on a thread that has other work, as a browser's has, a run pauses after each slice of time, also within
//! a call.

use std::cell::Cell;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use web_time::Instant;

use super::micro::Isa;
use super::pool::{Pool, Scratch};

/// Makes a future that is ready when the thread's other work has had its turn.
#[cfg(not(target_arch = "wasm32"))]
pub type Pause = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;
/// Makes a future that is ready when the thread's other work has had its turn: in a browser, after a macrotask.
#[cfg(target_arch = "wasm32")]
pub type Pause = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>;

/// When a device pauses, and how.
pub(super) struct Pace {
    slice: Duration,
    pause: Pause,
    /// When the current slice is over. It outlives a run: many short runs must give way as one long does.
    due: Mutex<Instant>,
}

impl Pace {
    pub fn new(slice: Duration, pause: Pause) -> Self {
        Self { slice, pause, due: Mutex::new(Instant::now() + slice) }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses if the slice is over, and begins the next.
    pub async fn keep(&self) {
        if self.is_over() {
            (self.pause)().await;
            *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + self.slice;
        }
    }
}

/// A twin's one dispatch to the pool. On a device that gives way, as much of it as fits into the time slice.
pub struct Dispatch<'a> {
    pool: &'a Pool,
    pace: Option<&'a Pace>,
    /// The first task to run.
    first: usize,
    rest: Cell<Rest>,
}

/// What a twin's call left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It dispatched nothing: all that it did is done.
    Untouched,
    /// Nothing is left.
    Done,
    /// The tasks from this one.
    From(usize),
}

impl<'a> Dispatch<'a> {
    /// All tasks at once.
    pub fn whole(pool: &'a Pool) -> Self {
        Self::part(pool, None, 0)
    }

    /// The tasks from `first` until the slice is over, but at least one.
    pub(super) fn part(pool: &'a Pool, pace: Option<&'a Pace>, first: usize) -> Self {
        Self { pool, pace, first, rest: Cell::new(Rest::Untouched) }
    }

    /// The pool's instruction set.
    pub fn isa(&self) -> Isa {
        self.pool.isa()
    }

    /// The pool's threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Runs `task(i, scratch)` for every i below `tasks` as [`Pool::run`] does, or for those of this part.
    ///
    /// # Panics
    /// If it is called twice: the place where a part ended would not be known.
    pub fn run(&self, tasks: usize, task: impl Fn(usize, &mut Scratch) + Sync) {
        assert_eq!(self.rest.replace(Rest::Done), Rest::Untouched, "a twin makes one dispatch");
        let Some(pace) = self.pace else { return self.pool.run(tasks, task) };
        for i in self.first..tasks {
            self.pool.run(1, |_, scratch| task(i, scratch));
            if i + 1 < tasks && pace.is_over() {
                return self.rest.set(Rest::From(i + 1));
            }
        }
    }

    /// Where to go on, if anything is left.
    pub(super) fn rest(&self) -> Option<usize> {
        match self.rest.get() {
            Rest::From(next) => Some(next),
            Rest::Untouched | Rest::Done => None,
        }
    }
}
