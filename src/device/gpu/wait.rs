//! Waits for the GPU, whether or not there is a thread to block.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// A value that a callback will deliver.
pub(super) struct Signal<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

impl<T: Send + 'static> Signal<T> {
    /// The future and the callback that completes it.
    pub fn new() -> (Self, impl FnOnce(T) + Send + 'static) {
        let state = Arc::new(Mutex::new(State { value: None, waker: None }));
        let theirs = state.clone();
        (Self(state), move |value| {
            let mut s = theirs.lock().unwrap_or_else(PoisonError::into_inner);
            s.value = Some(value);
            if let Some(w) = s.waker.take() {
                w.wake();
            }
        })
    }
}

impl<T> Future for Signal<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut s = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match s.value.take() {
            Some(v) => Poll::Ready(v),
            None => {
                s.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Lets the driver make progress until all submitted work is done. In a browser the event loop does that.
///
/// # Errors
/// The driver's message. Then a callback may never come, so nobody should wait for one.
pub(super) fn drive(device: &wgpu::Device) -> Result<(), String> {
    #[cfg(not(target_arch = "wasm32"))]
    device.poll(wgpu::PollType::wait_indefinitely()).map_err(|e| e.to_string())?;
    #[cfg(target_arch = "wasm32")]
    let _ = device;
    Ok(())
}
