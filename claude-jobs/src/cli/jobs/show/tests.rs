//! Sums over the ledger.

use jiff::Timestamp;

use super::*;

fn run(attempt: u32, cost_usd: Option<f64>) -> RunRow {
    RunRow {
        attempt,
        node: None,
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        session_id: None,
        outcome: "success".to_owned(),
        verdict: "complete".to_owned(),
        ending: "exit 0".to_owned(),
        cost_usd,
        turns: None,
        tokens: None,
        model: None,
        cli_version: None,
        result: None,
        structured: None,
        last_events: Vec::new(),
        environment: Default::default(),
    }
}

#[test]
fn unknown_costs_are_counted_not_added() {
    let runs = [run(1, Some(0.25)), run(2, None), run(3, Some(0.5))];
    assert_eq!(Spent::on(&runs), Spent { total_cost_usd: 0.75, unknown_costs: 1 });
    assert!(Spent::on(&[]).total_cost_usd.is_sign_positive());
}
