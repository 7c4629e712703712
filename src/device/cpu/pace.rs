//! Pausing on a thread that has other work, such as a browser's. A run pauses after each slice of time, even within a
//! call.

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
/// Makes a future that is ready when the thread's other work has had its turn. In a browser that is after a macrotask.
#[cfg(target_arch = "wasm32")]
pub type Pause = Box<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>;

/// The rhythm in which a device pauses.
pub(super) struct Pace {
    slice: Duration,
    pause: Pause,
    /// The end of the current slice. It outlives a run, because many short runs must pause like one long run.
    due: Mutex<Instant>,
}

impl Pace {
    pub fn new(slice: Duration, pause: Pause) -> Self {
        Self { slice, pause, due: Mutex::new(Instant::now() + slice) }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= *self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pauses if the slice is over, then begins the next one.
    pub async fn keep(&self) {
        if self.is_over() {
            (self.pause)().await;
            *self.due.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + self.slice;
        }
    }
}

/// The one dispatch of a twin to the pool. On a device that pauses, it runs as much as fits into the time slice.
pub struct Dispatch<'a> {
    pool: &'a Pool,
    pace: Option<&'a Pace>,
    /// The first task to run.
    first: usize,
    rest: Cell<Rest>,
}

/// The work that a twin's call has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// It dispatched nothing, so all its work is done.
    Untouched,
    /// All tasks are done.
    Done,
    /// The tasks from this one on remain.
    From(usize),
}

impl<'a> Dispatch<'a> {
    /// A dispatch of all tasks at once.
    pub fn whole(pool: &'a Pool) -> Self {
        Self::part(pool, None, 0)
    }

    /// A dispatch of the tasks from `first` on until the slice is over, but of at least one.
    pub(super) fn part(pool: &'a Pool, pace: Option<&'a Pace>, first: usize) -> Self {
        Self { pool, pace, first, rest: Cell::new(Rest::Untouched) }
    }

    /// The pool's instruction set.
    pub fn isa(&self) -> Isa {
        self.pool.isa()
    }

    /// The number of threads of the pool.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Runs `task(i, scratch)` for every i below `tasks`, or for those of this part, as [`Pool::run`] does.
    ///
    /// # Panics
    /// If it is called twice, because the place where a part ended would be ambiguous.
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

    /// The next task, if any remain.
    pub(super) fn rest(&self) -> Option<usize> {
        match self.rest.get() {
            Rest::From(next) => Some(next),
            Rest::Untouched | Rest::Done => None,
        }
    }
}
