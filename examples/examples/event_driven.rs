//! Events come in bursts: the same push ten times over, because a webhook is delivered at least once and a
//! branch is pushed to again and again. Uniqueness makes one run of them; a distinct event gets its own.
//! The webhook believes only what is signed.
//!
//! `cargo run -p claude-jobs-examples --example event_driven` (add `-- --live` for the real claude)

use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing::post};
use claude_jobs::claude::{Request, RunnerError};
use claude_jobs::engine::Filter;
use claude_jobs::prelude::*;
use claude_jobs_examples::{Outcome, Stage, answer};
use hmac::{Hmac, Mac};
use serde::Deserialize;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the sender and we know. In earnest it comes from the environment.
const SECRET: &[u8] = b"it is not a secret here";

/// Reviews what was pushed to a branch. For an hour, one review per branch and commit.
#[claude_worker(
    queue = "reviews",
    unique_period = "1h",
    unique_by = ["worker", "branch", "commit"],
    prompt = "Review commit {commit} on branch {branch}.",
    pinned_args = { permission_mode = "plan", max_turns = 5, max_budget_usd = 0.5 },
)]
#[derive(Debug, Deserialize)]
struct ReviewPush {
    branch: String,
    commit: String,
}

/// `POST /push` with the event and its signature.
async fn on_push(Shared(queue): Shared<Queue>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let signature =
        headers.get("x-hub-signature-256").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !is_signed(&body, signature) {
        return (StatusCode::UNAUTHORIZED, "not signed by us".into());
    }
    let Ok(push) = serde_json::from_slice::<ReviewPush>(&body) else {
        return (StatusCode::UNPROCESSABLE_ENTITY, "not a push".into());
    };
    match ReviewPush::new(push.branch, push.commit).insert(&queue).await {
        Ok(inserted) if inserted.duplicate => {
            (StatusCode::OK, format!("job {} is there already", inserted.id()))
        }
        Ok(inserted) => (StatusCode::ACCEPTED, format!("job {}", inserted.id())),
        // The sender tries again later.
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

/// Compares in constant time.
fn is_signed(body: &[u8], signature: &str) -> bool {
    let claimed = signature.strip_prefix("sha256=").and_then(|text| hex::decode(text).ok());
    claimed.is_some_and(|claimed| mac(body).verify_slice(&claimed).is_ok())
}

fn mac(body: &[u8]) -> Hmac<Sha256> {
    // Any length of key will do for HMAC.
    Hmac::<Sha256>::new_from_slice(SECRET)
        .map(|mac| mac.chain_update(body))
        .unwrap_or_else(|_| unreachable!())
}

/// Sends an event as its source would; the status of the answer.
async fn send(port: u16, body: &str, signature: &str) -> Result<u16, Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let length = body.len();
    let request = format!(
        "POST /push HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\
         X-Hub-Signature-256: {signature}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split_whitespace().nth(1).ok_or("no status")?.parse()?;
    println!("{status}  {}", answer.lines().last().unwrap_or_default());
    Ok(status)
}

#[tokio::main]
async fn main() -> Outcome {
    let stage = Stage::new().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let webhook = Router::new().route("/push", post(on_push)).with_state(stage.queue.clone());
    let server = tokio::spawn(async move { axum::serve(listener, webhook).await });

    let signed = |body: &str| format!("sha256={}", hex::encode(mac(body.as_bytes()).finalize().into_bytes()));
    let burst = r#"{"branch": "main", "commit": "c0ffee"}"#;
    let (mut accepted, mut duplicates) = (0, 0);
    for _ in 0..10 {
        match send(port, burst, &signed(burst)).await? {
            202 => accepted += 1,
            200 => duplicates += 1,
            status => return Err(format!("status {status}").into()),
        }
    }
    let other = r#"{"branch": "main", "commit": "facade"}"#;
    assert_eq!(send(port, other, &signed(other)).await?, 202, "another commit is another event");
    assert_eq!(send(port, other, &signed(burst)).await?, 401, "a signature is for one body only");
    assert_eq!(send(port, "{}", &signed("{}")).await?, 422);
    assert_eq!((accepted, duplicates), (1, 9), "a burst is one job");
    server.abort();

    let claude = |request: Request| async move {
        Ok::<_, RunnerError>(answer(&format!("Looks good: {}", request.prompt())))
    };
    stage.runtime(claude).queue("reviews", 2).drain().await?;
    let jobs = stage.queue.list(&Filter::default()).await?;
    println!("\n{} events, {} jobs", 13, jobs.len());
    assert_eq!(jobs.len(), 2);
    assert!(jobs.iter().all(|job| job.state.is_final()), "both were reviewed");
    Ok(())
}
