//! Two operations at the same moment, on two connections: either of them may be first, and neither is lost.

use super::Database;
use super::fixture::{
    NODE, OTHER, ask, at, claim, end, ids, insert, insert_each, job, new, node, open, running, settle, state,
    unique,
};
use crate::engine::{Cancelled, NodeRow};
use crate::error::Error;
use crate::job::State;

const ROUNDS: i64 = 40;

/// A job whose end is written just when somebody cancels it does not run again.
pub async fn cancel_and_settle(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    let mut asked = 0;
    for round in 0..ROUNDS {
        let run = running(&*engines[0], new(at(round))).await;
        let back = end(&run, State::Retryable, at(round));
        let (cancelled, settled) =
            tokio::join!(engines[0].cancel(run.id, at(round)), settle(&*engines[1], back, at(round)));
        asked += usize::from(matches!(cancelled.expect("it is not over"), Cancelled::Requested));
        if !settled {
            // Asked for in time: the settlement has written nothing, and the caller says the end of a cancelled job.
            let end = end(&run, State::Cancelled, at(round));
            assert!(settle(&*engines[1], end, at(round)).await, "it is its own run");
        }
        assert_eq!(state(&*engines[0], run.id).await, State::Cancelled, "round {round}");
    }
    println!("{asked} of {ROUNDS} were asked while they ran");
}

/// A job that is removed just when it is claimed is either gone or runs.
pub async fn delete_and_claim(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    for round in 0..ROUNDS {
        let id = insert(&*engines[0], new(at(round))).await.id;
        let request = ask(1, at(round));
        let (deleted, claimed) = tokio::join!(engines[0].delete(id), claim(&*engines[1], &request));
        match deleted {
            Ok(()) => {
                assert!(claimed.is_empty() && engines[0].job(id).await.expect("a read").is_none());
            }
            Err(Error::WrongState { .. }) => {
                assert_eq!(ids(&claimed), [id]);
                assert!(settle(&*engines[0], end(&claimed[0], State::Completed, at(round)), at(round)).await);
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// A node that renews its lease just when it is declared dead is told what came of it.
pub async fn renew_and_bury(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    let mut seen = node(NODE);
    for round in 1..=ROUNDS {
        let renewed = NodeRow { lease_until: at(1_000 + round), ..node(NODE) };
        let dead = [seen.clone()];
        let (lives, orphans) = tokio::join!(engines[0].renew(&renewed, true), engines[1].orphans(&dead));
        orphans.expect("a look");
        let nodes = engines[1].nodes().await.expect("a read");
        let is_there = nodes.iter().any(|node| node.id == NODE);
        assert_eq!(lives.expect("a write"), is_there, "round {round}");
        assert!(nodes.iter().any(|node| node.id == OTHER));
        if !is_there {
            assert!(engines[0].renew(&renewed, false).await.expect("a write"));
        }
        seen = renewed;
    }
}

/// A job that is retried by hand just when it is removed is either gone or there, and whoever retries it knows.
pub async fn prune_and_retry(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    for round in 0..ROUNDS {
        let run = running(&*engines[0], new(at(round))).await;
        assert!(settle(&*engines[0], end(&run, State::Completed, at(round)), at(round)).await);
        let (pruned, retried) = tokio::join!(
            engines[0].prune(State::Completed, at(9_000), 10),
            engines[1].retry(run.id, at(round))
        );
        match retried {
            Ok(_) => {
                assert_eq!(pruned.expect("a prune"), 0);
                assert_eq!(state(&*engines[0], run.id).await, State::Available);
                assert_eq!(engines[0].runs(run.id).await.expect("a read").len(), 1, "its ledger is there");
                engines[0].delete(run.id).await.expect("it waits");
            }
            Err(Error::NoSuchJob(_)) => assert_eq!(pruned.expect("a prune"), 1),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Of two who insert when a key's time is over, one gets it, and the other the first one's job.
pub async fn a_key_whose_time_is_over(database: &dyn Database) {
    let engines = [open(database).await, database.connect().await];
    for round in 0..ROUNDS {
        let now = at(10 * round);
        let row = || [unique("key", Some(at(10 * round + 10)), &State::ALL, now)];
        let (one, two) = (row(), row());
        let (one, two) = tokio::join!(insert_each(&*engines[0], &one), insert_each(&*engines[1], &two));
        assert_eq!(one[0].id(), two[0].id(), "round {round}");
        assert_ne!(one[0].duplicate, two[0].duplicate, "round {round}");
        assert_eq!(job(&*engines[0], one[0].id()).await.state, State::Available);
    }
}
