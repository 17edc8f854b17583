//! What attempts leave for the next one: sessions and where they are, answers, and whether claude had started.

use super::Database;
use super::fixture::{
    HOST, HOSTS, NODE, OTHER, QUEUE, WORKER, all_jobs, ask, at, claim, continuing, end, fields, ids, insert,
    insert_all, is_busy, job, keyed, new, open, running, settle,
};
use crate::engine::{BusyLook, ClaimRequest, Limits};
use crate::error::Error;
use crate::job::{Continuation, JobId, State};
use crate::settlement::Settlement;

/// A job that is to continue a session is claimed where that is; elsewhere only when it was released. Others are claimed
/// past it.
pub async fn sessions_are_continued_where_they_are(database: &dyn Database) {
    let engine = open(database).await;
    let (here, elsewhere) = (ask(9, at(10)), ClaimRequest { host: HOSTS[1], ..ask(9, at(10)) });
    for (what, row) in [("plain", new(at(0))), ("keyed", keyed("a", at(0)))] {
        for limits in [Limits::local(9), Limits::local(9).global(9)] {
            let what = format!("{what} {limits:?}");
            let run = running(&*engine, row.clone()).await;
            let back = Settlement {
                continuation: continuing("session", Some(HOST)),
                ..end(&run, State::Available, at(1))
            };
            assert!(settle(&*engine, back, at(1)).await);
            let other = insert(&*engine, new(at(5))).await;
            let claimed = claim(&*engine, &ClaimRequest { limits, ..elsewhere.clone() }).await;
            assert_eq!(ids(&claimed), [other.id], "{what}: behind it in line");
            assert!(settle(&*engine, end(&claimed[0], State::Completed, at(9)), at(9)).await);
            let busy = async |host| {
                let look = BusyLook { queues: &[QUEUE], workers: &[WORKER], host, now: at(10) };
                engine.is_busy(&look).await.expect("a look")
            };
            assert_eq!((busy(HOSTS[1]).await, busy(HOST).await), (false, true), "{what}");
            let kept = |queue: &str, host: &str| (queue.to_owned(), host.to_owned());
            for (due_before, kept) in
                [(at(0), vec![]), (at(10), vec![kept("other", HOSTS[1]), kept(QUEUE, HOST)])]
            {
                let released = engine.release_sessions(due_before, &kept).await.expect("a write");
                assert_eq!((released, busy(HOSTS[1]).await), (0, false), "{what} {due_before} {kept:?}");
            }
            let kept = [kept("other", HOST), kept(QUEUE, HOSTS[1])];
            assert_eq!(engine.release_sessions(at(1), &kept).await.expect("a write"), 1, "{what}");
            assert!(busy(HOSTS[1]).await, "{what}");
            let anywhere = claim(&*engine, &ClaimRequest { limits, ..elsewhere.clone() }).await;
            assert_eq!(ids(&anywhere), [run.id], "{what}: nobody came for it");
            assert_eq!(anywhere[0].continuation, continuing("session", Some(HOST)), "{what}");
            let back = Settlement {
                continuation: continuing("session", Some(HOST)),
                ..end(&anywhere[0], State::Available, at(10))
            };
            assert!(settle(&*engine, back, at(10)).await);
            let continued = claim(&*engine, &ClaimRequest { limits, ..here.clone() }).await;
            assert_eq!(ids(&continued), [run.id], "{what}");
            assert!(settle(&*engine, end(&continued[0], State::Completed, at(10)), at(10)).await);
            assert_eq!(job(&*engine, run.id).await.continuation, Continuation::default(), "{what}");
        }
    }
    assert!(!is_busy(&*engine, &[QUEUE], &[WORKER], at(10)).await);
}

/// A session without a recorded host is continued on any node.
pub async fn a_session_without_a_place(database: &dyn Database) {
    let engine = open(database).await;
    let run = running(&*engine, new(at(0))).await;
    let continuation = continuing("session", None);
    let back = Settlement { continuation: continuation.clone(), ..end(&run, State::Available, at(1)) };
    assert!(settle(&*engine, back, at(1)).await);
    let claimed = claim(&*engine, &ClaimRequest { host: HOSTS[1], ..ask(1, at(2)) }).await;
    assert_eq!(claimed[0].continuation, continuation);
}

/// By hand a job goes on as it was to, also one that is over.
pub async fn what_is_retried_by_hand(database: &dyn Database) {
    let engine = open(database).await;
    for state in [State::Retryable, State::Scheduled, State::Discarded] {
        let run = running(&*engine, new(at(0))).await;
        let continuation = continuing("session", Some(HOST));
        let ended = Settlement { continuation: continuation.clone(), ..end(&run, state, at(60)) };
        assert!(settle(&*engine, ended, at(1)).await);
        let retried = engine.retry(run.id, at(2)).await.expect("it does not run");
        assert_eq!(retried.continuation, continuation, "{state}");
        let elsewhere = claim(&*engine, &ClaimRequest { host: HOSTS[1], ..ask(1, at(2)) }).await;
        assert!(elsewhere.is_empty(), "{state}");
        engine.cancel(run.id, at(2)).await.expect("it waits");
    }
}

/// An answer is stored while its attempt runs, by nobody afterwards; the last one stays until the job is gone.
pub async fn answers(database: &dyn Database) {
    let engine = open(database).await;
    let first = running(&*engine, new(at(0))).await;
    assert_eq!(engine.answer(first.id).await.expect("a read"), None);
    for text in [r#"{"text":"one"}"#, r#"{"text":"zwei\u0000 ü"}"#] {
        assert!(engine.keep_answer(first.id, 1, text).await.expect("a write"));
        assert_eq!(engine.answer(first.id).await.expect("a read"), Some((1, text.to_owned())));
    }
    assert!(!engine.keep_answer(first.id, 2, "{}").await.expect("no write"), "another attempt");
    assert!(!engine.keep_answer(JobId(999), 1, "{}").await.expect("no write"), "no such job");
    assert!(settle(&*engine, end(&first, State::Available, at(1)), at(1)).await);
    assert!(!engine.keep_answer(first.id, 1, "{}").await.expect("no write"), "it is settled");
    let second = claim(&*engine, &ask(1, at(2))).await.remove(0);
    assert!(!engine.keep_answer(first.id, 1, "{}").await.expect("no write"), "it is another's");
    assert_eq!(engine.answer(first.id).await.expect("a read").map(|(attempt, _)| attempt), Some(1));
    assert!(engine.keep_answer(second.id, 2, "{}").await.expect("a write"));
    assert_eq!(engine.answer(first.id).await.expect("a read"), Some((2, "{}".to_owned())));
    assert!(settle(&*engine, end(&second, State::Completed, at(3)), at(3)).await);
    assert!(engine.answer(first.id).await.expect("a read").is_some());
    assert_eq!(engine.prune(State::Completed, at(4), 9).await.expect("a write"), 1);
    assert_eq!(engine.answer(first.id).await.expect("a read"), None, "pruned with its job");
    let third = running(&*engine, new(at(5))).await;
    assert!(engine.keep_answer(third.id, 1, "{}").await.expect("a write"));
    assert!(settle(&*engine, end(&third, State::Discarded, at(6)), at(6)).await);
    engine.delete(third.id).await.expect("it does not run");
    assert_eq!(engine.answer(third.id).await.expect("a read"), None, "deleted with its job");
}

/// A handler runs again where there is an answer for it, and its job does not run.
pub async fn handlers_run_again(database: &dyn Database) {
    let engine = open(database).await;
    let refused = async |id| {
        let problem = engine.retry_handler(id, at(1)).await.expect_err("refused");
        assert!(matches!(problem, Error::WrongState { .. }), "{problem}");
    };
    let bare = insert(&*engine, new(at(0))).await;
    refused(bare.id).await;
    engine.delete(bare.id).await.expect("it waits");
    for state in [State::Completed, State::Discarded, State::Cancelled, State::Retryable] {
        let run = running(&*engine, new(at(0))).await;
        assert!(engine.keep_answer(run.id, 1, "{}").await.expect("a write"));
        refused(run.id).await;
        assert!(
            settle(&*engine, Settlement { scheduled_at: at(90), ..end(&run, state, at(1)) }, at(1)).await
        );
        let retried = engine.retry_handler(run.id, at(2)).await.expect("there is an answer");
        let fields = (retried.state, retried.scheduled_at, retried.finished_at, &retried.reason);
        assert_eq!(fields, (State::Available, at(2), None, &None), "{state}");
        assert!(retried.continuation.answered && retried.continuation.failed_handlers == 0, "{state}");
        let again = claim(&*engine, &ask(1, at(2))).await.remove(0);
        assert_eq!((again.id, again.attempt), (run.id, 2), "{state}");
        assert!(again.continuation.answered, "{state}");
        assert!(settle(&*engine, end(&again, State::Completed, at(3)), at(3)).await);
    }
    assert!(matches!(engine.retry_handler(JobId(999), at(1)).await, Err(Error::NoSuchJob(_))));
}

/// Which attempts claude was seen to start in is known of those that run.
pub async fn begun(database: &dyn Database) {
    let engine = open(database).await;
    engine.mark_begun(&[]).await.expect("nothing to write");
    insert_all(&*engine, &vec![new(at(0)); 3]).await;
    let runs = claim(&*engine, &ask(3, at(0))).await;
    let marks = [(runs[2].id, 1), (runs[0].id, 1), (runs[1].id, 7), (JobId(999), 1)];
    engine.mark_begun(&marks).await.expect("a write");
    let begun: Vec<_> = all_jobs(&*engine).await.iter().map(|job| job.begun).collect();
    assert_eq!(begun, [1, 0, 1], "only the attempt that is named is marked");
    let orphans = engine.orphans(&[super::fixture::node(NODE)]).await.expect("a look");
    assert_eq!(orphans.iter().map(|job| job.begun).collect::<Vec<_>>(), [1, 0, 1]);
    assert!(settle(&*engine, end(&runs[1], State::Available, at(1)), at(1)).await);
    engine.mark_begun(&[(runs[1].id, 1)]).await.expect("nothing to write");
    assert_eq!(job(&*engine, runs[1].id).await.begun, 0, "it does not run any more");
    let again = claim(&*engine, &ClaimRequest { node: OTHER, ..ask(1, at(2)) }).await.remove(0);
    engine.mark_begun(&[(again.id, 2)]).await.expect("a write");
    assert_eq!(job(&*engine, again.id).await.begun, 2);
    let before = fields(&job(&*engine, again.id).await);
    engine.mark_begun(&[(again.id, 2)]).await.expect("a write");
    assert_eq!(fields(&job(&*engine, again.id).await), before);
}
