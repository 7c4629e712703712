//! The lowest speed that a download may have.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use ureq::Agent;

/// Bytes a second that a download has to bring, on average over the time that a server is waited for.
pub(super) const LEAST_PER_SECOND: u64 = 1 << 10;

/// Ends an agent's transfers when they are too slow: a limit on each read alone would let a server send a byte now and then
/// for years.
pub(super) struct Watch {
    seen: Arc<Seen>,
    /// Dropped when the transfer is over, which ends the thread.
    _over: Sender<()>,
}

#[derive(Default)]
struct Seen {
    bytes: AtomicU64,
    is_slow: AtomicBool,
}

impl Watch {
    /// Watches from now on: every `window` has to bring its bytes.
    pub fn start(agent: &Agent, window: Duration) -> std::io::Result<Self> {
        let seen = Arc::new(Seen::default());
        let (over, wait) = channel();
        let (theirs, agent) = (Arc::clone(&seen), agent.clone());
        let least = window.as_secs().max(1) * LEAST_PER_SECOND;
        Builder::new().name("cloze-watch".into()).spawn(move || {
            while wait.recv_timeout(window) == Err(RecvTimeoutError::Timeout) {
                if theirs.bytes.swap(0, Ordering::Relaxed) < least {
                    theirs.is_slow.store(true, Ordering::Release);
                    // Whoever waits for the server's next byte waits no longer.
                    return agent.shutdown();
                }
            }
        })?;
        Ok(Self { seen, _over: over })
    }

    pub fn count(&self, bytes: usize) {
        self.seen.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether the transfer was too slow and was ended for that.
    pub fn has_ended(&self) -> bool {
        self.seen.is_slow.load(Ordering::Acquire)
    }
}
