//! Looking into file systems that may not answer.

use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Request;
use crate::outcome::{Ending, NotStarted, StopReason};

/// How long a file system may take to say what is there.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Looks into the file system on a thread of its own: a folder that does not answer (of a network, say) holds up its own
/// run only, which can be stopped. Nobody waits for that thread when the program ends.
///
/// # Errors
///
/// How the run ends that was stopped meanwhile, or whose folders do not answer.
pub(super) async fn looked_up<T: Send + 'static>(
    request: &Request,
    look: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Ending> {
    let (answer, found) = oneshot::channel();
    let look = move || drop(answer.send(look()));
    if let Err(error) = thread::Builder::new().name("claude-jobs-look".to_owned()).spawn(look) {
        return Err(Ending::NotStarted(NotStarted::Environment(format!(
            "no thread can be started: {error}"
        ))));
    }
    tokio::select! {
        found = timeout(ANSWERS_WITHIN, found) => match found {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) => Err(Ending::Failed("the look at its folders panicked".to_owned())),
            Err(_) => Err(Ending::NotStarted(NotStarted::Refused(silent(request)))),
        },
        reason = request.stop.fired() => Err(Ending::Stopped(reason)),
        () = request.lease.ended() => Err(Ending::Stopped(StopReason::LeaseLost)),
    }
}

fn silent(request: &Request) -> String {
    let place = match &request.options.working_dir {
        Some(folder) => format!("`{folder}`, or a folder of the CLI,"),
        None => "a folder of the CLI".to_owned(),
    };
    let seconds = ANSWERS_WITHIN.as_secs();
    format!("{place} did not answer within {seconds} s: see whether its file system is there")
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::Poll;

    use super::*;
    use crate::claude::{Lease, Stop};
    use crate::options::Options;

    #[tokio::test(start_paused = true)]
    async fn what_does_not_answer_in_time_is_told() {
        let options = Options { working_dir: Some("/net/repo".to_owned()), ..Options::default() };
        let request = Request::on(Box::new(options), Stop::default(), Lease::default());
        let (go, gone) = mpsc::channel::<()>();
        let mut look = pin!(looked_up(&request, move || gone.recv()));
        let begun = std::future::poll_fn(|cx| Poll::Ready(look.as_mut().poll(cx).is_pending())).await;
        tokio::time::advance(ANSWERS_WITHIN - Duration::from_secs(1)).await;
        let waits = std::future::poll_fn(|cx| Poll::Ready(look.as_mut().poll(cx).is_pending())).await;
        assert!(begun && waits);
        tokio::time::advance(Duration::from_secs(1)).await;
        let Err(Ending::NotStarted(NotStarted::Refused(why))) = look.await else {
            panic!("it does not start")
        };
        assert!(why.starts_with("`/net/repo`, or a folder of the CLI, did not answer within 30 s"), "{why}");
        go.send(()).expect("it still looks");
    }
}
