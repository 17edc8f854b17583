//! A loopback stand-in for the Anthropic Messages API, scripted per test.
//!
//! The real CLI also makes small requests of its own (titles, permission questions in plan mode).
//! They carry no tools and ask for few tokens; they are answered with a word, recorded apart, and
//! use up no scripted reply.

mod reply;
mod sse;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use axum::Router;
use axum::body::{Body as HttpBody, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, post};
use serde_json::{Value, json};
use tokio::sync::oneshot;

pub use reply::Reply;
use reply::{Body, Broken, Message};

/// The stand-in, on a port of its own; gone when dropped.
///
/// It runs on a thread of its own, so that a test may block while the CLI talks to it.
pub struct Api {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Api").field(&self.address).finish()
    }
}

/// One message request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The JSON body.
    pub body: Value,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

struct Shared {
    state: Mutex<Exchange>,
}

/// What has been asked, and what answers.
struct Exchange {
    answer: Box<dyn FnMut(&Request) -> Reply + Send>,
    requests: Vec<Request>,
    side_requests: Vec<Request>,
}

impl Api {
    /// Starts a stand-in that gives these replies in order; the last one repeats.
    ///
    /// # Panics
    /// When there is no reply, or no loopback port is free.
    pub fn start(replies: impl IntoIterator<Item = Reply>) -> Api {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        assert!(!replies.is_empty(), "the stand-in needs at least one reply");
        Api::answering(move |_| {
            let reply = if replies.len() == 1 { replies.front().cloned() } else { replies.pop_front() };
            reply.expect("the last reply stays")
        })
    }

    /// Starts a stand-in that replies to each request what this says.
    ///
    /// # Panics
    /// When no loopback port is free.
    pub fn answering(answer: impl FnMut(&Request) -> Reply + Send + 'static) -> Api {
        let exchange = Exchange { answer: Box::new(answer), requests: Vec::new(), side_requests: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(exchange) });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
        let address = listener.local_addr().expect("a bound listener has one");
        let (stop, stopped) = oneshot::channel();
        let router = router(shared.clone());
        thread::spawn(move || serve(listener, router, stopped));
        Api { address, shared, _stop: stop }
    }

    /// The base URL, for `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The message requests so far, without the CLI's small ones.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// The small requests that the CLI made of its own.
    pub fn side_requests(&self) -> Vec<Request> {
        self.shared.lock().side_requests.clone()
    }
}

impl Request {
    /// Whether this text is anywhere in the messages.
    pub fn mentions(&self, text: &str) -> bool {
        let quoted = json!(text).to_string();
        let inside = &quoted[1..quoted.len() - 1];
        self.body["messages"].to_string().contains(inside)
    }

    /// The texts that the user side sent, without the CLI's own `<system-reminder>` blocks.
    pub fn user_texts(&self) -> Vec<String> {
        let messages = self.body["messages"].as_array().into_iter().flatten();
        messages
            .filter(|message| message["role"] == "user")
            .flat_map(|message| match &message["content"] {
                Value::String(text) => vec![text.clone()],
                Value::Array(blocks) => {
                    blocks.iter().filter_map(|block| block["text"].as_str().map(str::to_owned)).collect()
                }
                _ => Vec::new(),
            })
            .filter(|text| !text.trim_start().starts_with("<system-reminder>"))
            .collect()
    }

    /// The definition of a tool that the CLI offers to the model.
    pub fn tool(&self, name: &str) -> Option<&Value> {
        let mut tools = self.body["tools"].as_array()?.iter();
        tools.find(|tool| tool["name"] == name)
    }

    /// Small requests of the CLI's own have no tools and few tokens to answer with; a run's own
    /// requests ask for 32,000 or more.
    fn is_small(&self) -> bool {
        let tools = self.body["tools"].as_array().map_or(0, Vec::len);
        tools == 0 && self.body["max_tokens"].as_u64().is_none_or(|limit| limit < 16_000)
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Exchange> {
        self.state.lock().expect("no holder panics")
    }
}

impl Exchange {
    /// Records a request and picks its reply and its number.
    fn receive(&mut self, request: Request) -> (Reply, usize) {
        if request.is_small() {
            self.side_requests.push(request);
            return (Reply::text("ok"), 1000 + self.side_requests.len());
        }
        let reply = (self.answer)(&request);
        self.requests.push(request);
        (reply, self.requests.len())
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/messages", post(messages))
        .route("/v1/messages/count_tokens", post(count_tokens))
        .fallback(any(async || StatusCode::OK))
        // A prompt may be ten megabytes.
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(shared)
}

fn serve(listener: std::net::TcpListener, router: Router, stopped: oneshot::Receiver<()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be started");
    runtime.block_on(async {
        listener.set_nonblocking(true).expect("a listener can be non-blocking");
        let listener = tokio::net::TcpListener::from_std(listener).expect("it is a listener");
        tokio::select! {
            served = async { axum::serve(listener, router).await } => served.expect("it serves for ever"),
            // Either way the owner is gone.
            _ = stopped => {}
        }
    });
}

async fn messages(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let streaming = body["stream"] == true;
    let model = body["model"].as_str().unwrap_or_default().to_owned();
    let headers = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.to_string(), value.into_owned())
    });
    let request = Request { body, headers: headers.collect() };
    let (reply, number) = shared.lock().receive(request);

    tokio::time::sleep(reply.delay).await;
    let mut response = Response::builder();
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let (status, kind, body) = match reply.body {
        Body::Message(message) if streaming => {
            let text = sse::stream(&message, &model, number);
            (200, "text/event-stream", HttpBody::from(text))
        }
        Body::Message(message) => {
            let object = sse::object(&message, &model, number);
            (200, "application/json", HttpBody::from(object.to_string()))
        }
        Body::Error { status, body } => (status, "application/json", HttpBody::from(body)),
        Body::Broken(Broken::ErrorEvent { status, kind, message }) if !streaming => {
            (status, "application/json", HttpBody::from(reply::error_body(&kind, &message)))
        }
        Body::Broken(broken) => (200, "text/event-stream", broken_body(broken, &model, number).await),
    };
    response.status(status).header("content-type", kind).body(body).expect("a test's headers are valid")
}

async fn broken_body(broken: Broken, model: &str, number: usize) -> HttpBody {
    let start = || {
        let message = Message {
            block: json!({ "type": "text", "text": "" }),
            stop_reason: "end_turn",
            input_tokens: 10,
            output_tokens: 1,
        };
        sse::opening(&message, model, number)
    };
    match broken {
        Broken::NotAStream(body) => HttpBody::from(body),
        Broken::ErrorEvent { kind, message, .. } => {
            let error = json!({ "type": "error", "error": { "type": kind, "message": message } });
            HttpBody::from(start() + &sse::event(error))
        }
        Broken::Dropped => {
            let end = Err(std::io::Error::other("dropped by the test"));
            HttpBody::from_stream(futures_util::stream::iter([Ok(start()), end]))
        }
        Broken::Silent => std::future::pending().await,
    }
}

async fn count_tokens() -> Response {
    axum::Json(json!({ "input_tokens": 10 })).into_response()
}
