//! Enforces the minimum speed of a download.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use ureq::Agent;

/// The minimum bytes per second of a download, on average over the time limit for a silent server.
pub(super) const LEAST_PER_SECOND: u64 = 1 << 10;

/// Ends an agent's transfers if they are too slow. A limit on each read alone is not enough, because a server could
/// send a byte now and then for years.
pub(super) struct Watch {
    seen: Arc<Seen>,
    /// It is dropped when the transfer is over, which ends the thread.
    _over: Sender<()>,
}

#[derive(Default)]
struct Seen {
    bytes: AtomicU64,
    is_slow: AtomicBool,
}

impl Watch {
    /// Starts to watch: every `window` must bring its bytes.
    pub fn start(agent: &Agent, window: Duration) -> std::io::Result<Self> {
        let seen = Arc::new(Seen::default());
        let (over, wait) = channel();
        let (theirs, agent) = (Arc::clone(&seen), agent.clone());
        let least = window.as_secs().max(1) * LEAST_PER_SECOND;
        Builder::new().name("cloze-watch".into()).spawn(move || {
            while wait.recv_timeout(window) == Err(RecvTimeoutError::Timeout) {
                if theirs.bytes.swap(0, Ordering::Relaxed) < least {
                    theirs.is_slow.store(true, Ordering::Release);
                    // This also ends a wait for the server's next byte.
                    return agent.shutdown();
                }
            }
        })?;
        Ok(Self { seen, _over: over })
    }

    pub fn count(&self, bytes: usize) {
        self.seen.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Whether the transfer was ended because it was too slow.
    pub fn has_ended(&self) -> bool {
        self.seen.is_slow.load(Ordering::Acquire)
    }
}
