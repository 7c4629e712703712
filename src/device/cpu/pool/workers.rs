//! The threads of a pool.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::Scratch;

/// How often a worker checks for a new dispatch before it sleeps: for about 50 to 150 microseconds.
const SPINS: usize = 4000;
/// How often the caller checks whether the workers are done before it lets other threads run.
const PATIENCE: usize = 1000;

/// A bit of [`State::members`]: the dispatch takes no more workers.
const CLOSED: usize = 1 << (usize::BITS - 1);

type Task<'a> = &'a (dyn Fn(usize, &mut Scratch) + Sync);

/// The work of a dispatch. The caller writes it while `members` is CLOSED and no worker is inside.
struct Job {
    task: Task<'static>,
    tasks: usize,
}

struct State {
    job: UnsafeCell<Option<Job>>,
    /// Counts dispatches, so that waiting workers see a new one.
    epoch: AtomicUsize,
    /// The next task to take.
    next: AtomicUsize,
    /// The number of workers inside the dispatch, and whether it is CLOSED.
    members: AtomicUsize,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    alarm: Condvar,
}

// SAFETY: only the thread that has the pool's turn writes `job`, while `members` is CLOSED and has no worker. Only
// members of an open dispatch read it. The other fields are Sync.
unsafe impl Sync for State {}

pub(super) struct Workers {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` threads, or fewer if the system refuses more.
    pub fn new(count: usize) -> Self {
        let state = Arc::new(State {
            job: UnsafeCell::new(None),
            epoch: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            members: AtomicUsize::new(CLOSED),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::new(()),
            alarm: Condvar::new(),
        });
        let spawn = |i| {
            let state = Arc::clone(&state);
            std::thread::Builder::new().name(format!("cloze-{i}")).spawn(move || state.work()).ok()
        };
        let threads = (0..count).map_while(spawn).collect();
        Self { state, threads }
    }

    pub fn count(&self) -> usize {
        self.threads.len()
    }

    /// Runs the tasks together with the calling thread, which must have the pool's turn.
    pub fn run(&self, tasks: usize, task: Task, scratch: &mut Scratch) {
        let state = &*self.state;
        // SAFETY: only the lifetime changes. No worker uses the task after the dispatch is closed and its members have
        // left. This function waits for that before it returns, and it does not unwind before.
        let task: Task<'static> = unsafe { std::mem::transmute::<Task<'_>, Task<'static>>(task) };
        // SAFETY: the last dispatch ended with `members` CLOSED and empty, and the turn is ours.
        unsafe { *state.job.get() = Some(Job { task, tasks }) };
        state.next.store(0, Ordering::Relaxed);
        state.members.fetch_and(!CLOSED, Ordering::Release);
        state.epoch.fetch_add(1, Ordering::SeqCst);
        if state.sleepers.load(Ordering::SeqCst) > 0 {
            state.wake();
        }
        state.take_tasks(task, tasks, scratch);
        state.members.fetch_or(CLOSED, Ordering::AcqRel);
        let mut looks = 0;
        while state.members.load(Ordering::Acquire) != CLOSED {
            looks += 1;
            if looks < PATIENCE { std::hint::spin_loop() } else { std::thread::yield_now() }
        }
        let panic = state.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        self.state.epoch.fetch_add(1, Ordering::SeqCst);
        self.state.wake();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its tasks, and has no others.
            let _ = thread.join();
        }
    }
}

impl State {
    /// The main loop of a worker.
    fn work(&self) {
        let mut scratch = Scratch::default();
        let mut seen = 0;
        loop {
            seen = self.wait(seen);
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            if self.members.fetch_add(1, Ordering::Acquire) & CLOSED == 0 {
                // SAFETY: the dispatch is open and this worker is a member, so the job stays until it leaves.
                if let Some(job) = unsafe { &*self.job.get() } {
                    self.take_tasks(job.task, job.tasks, &mut scratch);
                }
            }
            self.members.fetch_sub(1, Ordering::Release);
        }
    }

    /// Takes tasks until none is left. It never unwinds: the first panic is kept for the caller, the others are
    /// dropped.
    fn take_tasks(&self, task: Task, tasks: usize, scratch: &mut Scratch) {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let i = self.next.fetch_add(1, Ordering::Relaxed);
                if i >= tasks {
                    return;
                }
                task(i, scratch);
            }
        }));
        if let Err(payload) = outcome {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
        }
    }

    /// Waits for an epoch other than `seen`.
    fn wait(&self, seen: usize) -> usize {
        for look in 0..SPINS {
            let epoch = self.epoch.load(Ordering::Acquire);
            if epoch != seen {
                return epoch;
            }
            // On a busy machine, the caller may be waiting for this core.
            if look % 100 == 99 { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let epoch = loop {
            // Either this sees the new epoch, or the caller sees this worker among the sleepers.
            let epoch = self.epoch.load(Ordering::SeqCst);
            if epoch != seen {
                break epoch;
            }
            bed = self.alarm.wait(bed).unwrap_or_else(PoisonError::into_inner);
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        epoch
    }

    fn wake(&self) {
        // Taking the lock ensures that no worker is between its check of the epoch and its sleep.
        drop(self.bed.lock());
        self.alarm.notify_all();
    }
}
