//! The wire form of a message: the API's server-sent events, and the one object without streaming.

use serde_json::{Value, json};

use super::reply::Message;

/// The whole message as a stream of events.
pub(super) fn stream(message: &Message, model: &str, number: usize) -> String {
    let block = identified(message, number);
    let (empty, delta) = split(&block);
    let mut text = opening(message, model, number);
    text += &event(json!({ "type": "content_block_start", "index": 0, "content_block": empty }));
    text += &event(json!({ "type": "content_block_delta", "index": 0, "delta": delta }));
    text += &event(json!({ "type": "content_block_stop", "index": 0 }));
    text += &event(json!({
        "type": "message_delta",
        "delta": { "stop_reason": message.stop_reason, "stop_sequence": null },
        "usage": { "output_tokens": message.output_tokens },
    }));
    text + &event(json!({ "type": "message_stop" }))
}

/// The first event of a stream; the final number of output tokens is not known yet.
pub(super) fn opening(message: &Message, model: &str, number: usize) -> String {
    let mut start = envelope(message, model, number);
    start["content"] = json!([]);
    start["stop_reason"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    event(json!({ "type": "message_start", "message": start }))
}

/// One event in the wire form; its name is its `type`.
pub(super) fn event(data: Value) -> String {
    let name = data["type"].as_str().expect("every event has a type");
    format!("event: {name}\ndata: {data}\n\n")
}

/// The whole message as one object.
pub(super) fn object(message: &Message, model: &str, number: usize) -> Value {
    envelope(message, model, number)
}

fn envelope(message: &Message, model: &str, number: usize) -> Value {
    json!({
        "id": format!("msg_{number}"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [identified(message, number)],
        "stop_reason": message.stop_reason,
        "stop_sequence": null,
        "usage": { "input_tokens": message.input_tokens, "output_tokens": message.output_tokens },
    })
}

/// Tool calls carry an id by which the result is sent back.
fn identified(message: &Message, number: usize) -> Value {
    let mut block = message.block.clone();
    if block["type"] == "tool_use" {
        block["id"] = json!(format!("toolu_{number}"));
    }
    block
}

/// A block as it starts, empty, and the delta that fills it.
fn split(block: &Value) -> (Value, Value) {
    let mut empty = block.clone();
    if block["type"] == "tool_use" {
        empty["input"] = json!({});
        let input = block["input"].to_string();
        (empty, json!({ "type": "input_json_delta", "partial_json": input }))
    } else {
        empty["text"] = json!("");
        (empty, json!({ "type": "text_delta", "text": block["text"] }))
    }
}
