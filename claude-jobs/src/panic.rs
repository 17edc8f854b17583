//! Catching panics of code that must not take others with it.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Runs user code that may panic. None: it did.
pub(crate) fn quietly<T>(code: impl FnOnce() -> T) -> Option<T> {
    // A panic's own value may panic when it is dropped.
    catch_unwind(AssertUnwindSafe(code)).map_err(std::mem::forget).ok()
}

/// Awaits a future that may panic. Here and not in a task of its own: that would cost a change of threads.
pub(crate) async fn catch_panic<T>(mut future: Pin<&mut impl Future<Output = T>>) -> std::thread::Result<T> {
    let poll = |context: &mut Context<'_>| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context)));
        polled.map_or_else(|panic| Poll::Ready(Err(panic)), |polled| polled.map(Ok))
    };
    poll_fn(poll).await
}

/// The message of a panic.
pub(crate) fn panic_text(panic: Box<dyn Any + Send>) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    // It may panic itself when it is dropped.
    std::mem::forget(panic);
    text.unwrap_or_else(|| "without a message".into())
}
