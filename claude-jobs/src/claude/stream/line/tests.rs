//! What the CLI may print, and what is read of it.

use serde_json::{Value, json};

use super::super::Tail;
use super::{DEEPEST, Lines, MOST_OF_A_LINE, MOST_OF_A_STRING, Unread};

/// The events of an output that comes in pieces of this length.
fn read_in(pieces: usize, output: &[u8]) -> (Vec<Value>, Unread) {
    let (mut lines, mut events) = (Lines::default(), Vec::new());
    for piece in output.chunks(pieces) {
        lines.feed(piece, &mut |event| events.push(event));
    }
    let unread = lines.finish(&mut |event| events.push(event));
    (events, unread)
}

/// The one event of a line, however it comes.
fn event(line: impl AsRef<[u8]>) -> Value {
    let line = line.as_ref();
    let mut read = [1, 3, line.len().max(1)].map(|pieces| {
        let (mut events, unread) = read_in(pieces, line);
        assert_eq!((events.len(), unread.lines), (1, 0), "{}", String::from_utf8_lossy(line));
        events.remove(0)
    });
    assert_eq!(read[0], read[1]);
    assert_eq!(read[1], read[2]);
    read[0].take()
}

#[test]
fn what_is_json_is_taken_as_it_is() {
    for text in [
        r#"{"a":[1,-2.5e3,true,false,null,"x",{},[]],"b":{"c":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀"}}"#,
        r#" { "a" : [ ] , "b" : "{}[],:" } "#,
        r#"{}"#,
    ] {
        assert_eq!(event(text), serde_json::from_str::<Value>(text).expect("it is JSON"));
    }
}

#[test]
fn what_a_strict_parser_refuses_is_repaired() {
    for (line, expected) in [
        (r#"{"a":"x \ud83d end"}"#.as_bytes(), json!("x \u{fffd} end")),
        (br#"{"a":"\ud83d"}"#, json!("\u{fffd}")),
        (br#"{"a":"\ude00\ud83d!"}"#, json!("\u{fffd}\u{fffd}!")),
        (br#"{"a":"\ud83d\ud83d\ude00"}"#, json!("\u{fffd}\u{1f600}")),
        (br#"{"a":"\ud83d\n\ude00"}"#, json!("\u{fffd}\n\u{fffd}")),
        (br#"{"a":"\ud83d\u0041"}"#, json!("\u{fffd}A")),
        (br#"{"a":"\uD83D\"x"}"#, json!("\u{fffd}\"x")),
        (br#"{"a":"\u12 x"}"#, json!("\u{fffd} x")),
        (br#"{"a":"C:\x"}"#, json!("C:\\x")),
        (b"{\"a\":\"tab\there\0\x1b\"}", json!("tab\there\0\u{1b}")),
        (b"{\"a\":\"\xff\xfe ok\"}", json!("\u{fffd}\u{fffd} ok")),
        (b"{\"a\":\"\xc3\"}", json!("\u{fffd}")),
        (br#"{"a":NaN}"#, Value::Null),
        (br#"{"a":-Infinity}"#, Value::Null),
        (br#"{"a":1e999}"#, Value::Null),
        (b"\xef\xbb\xbf{\"a\":1}\r", json!(1)),
        (b"\0{\"a\":1\0}", json!(1)),
    ] {
        let shown = String::from_utf8_lossy(line);
        assert_eq!(event(line)["a"], expected, "{shown}");
    }
    assert_eq!(event(br#"{"k\ud83d":1}"#), json!({"k\u{fffd}": 1}));
}

#[test]
fn any_nesting_is_read_and_cut_where_it_is_too_deep() {
    for depth in [DEEPEST - 1, DEEPEST, DEEPEST + 1, 200, 100_000] {
        let line = format!(
            r#"{{"type":"result","deep":{}"x","y"{},"total_cost_usd":0.5}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        let event = event(&line);
        assert_eq!(event["total_cost_usd"], 0.5);
        let levels = std::iter::successors(Some(&event["deep"]), |inner| inner.get(0)).count();
        assert_eq!(levels, depth.min(DEEPEST - 1) + 1, "depth {depth}");
    }
    let objects = format!(r#"{{"d":{}1{},"z":1}}"#, r#"{"k":"#.repeat(500), "}".repeat(500));
    assert_eq!(event(objects)["z"], 1);
}

#[test]
fn what_is_no_event_is_counted_and_the_next_line_is_read() {
    let output = b"{\"a\":1}\r\n\nnot json\n   \n{\"half\":\"\n[1]\n{\"b\":2}}\n\xff\xff\n{\"c\":3}";
    for pieces in [1, 2, 7, output.len()] {
        let (events, unread) = read_in(pieces, output);
        assert_eq!(events, [json!({"a": 1}), json!({"b": 2}), json!({"c": 3})]);
        assert_eq!(unread.lines, 5);
        assert!(unread.text.starts_with("not json\n{\"half\":\"\n"), "{:?}", unread.text);
    }
}

#[test]
fn a_long_string_is_cut_and_what_follows_it_is_not() {
    let line = |text: &str, escape: &str| {
        format!(
            r#"{{"type":"result","m":[{{"t":"{}{escape}{}"}}],"result":"{text}","cost":1}}"#,
            "x".repeat(MOST_OF_A_STRING - 3),
            "y".repeat(MOST_OF_A_STRING),
        )
    };
    for (escape, kept) in [("\\n", 1), ("\\u00e9", 2), ("\\ud83d\\ude00", 0)] {
        let (events, unread) = read_in(1 << 20, line("done", escape).as_bytes());
        assert_eq!(unread.lines, 0);
        let text = events[0]["m"][0]["t"].as_str().expect("a text");
        assert!(text.len() <= MOST_OF_A_STRING + kept, "{}", text.len());
        assert_eq!((&events[0]["result"], &events[0]["cost"]), (&json!("done"), &json!(1)));
    }
}

#[test]
fn a_full_line_keeps_the_fields_of_its_event() {
    let piece = format!(r#""{}","#, "x".repeat(8 * 1024 * 1024));
    let strings = format!(
        r#"{{"type":"result","many":[{}"end"],"o":{{"a":1,"b":{{"c":[1,2]}},"d":2}},"result":"done","cost":1}}"#,
        piece.repeat(12)
    );
    let numbers =
        format!(r#"{{"many":[{}1],"o":{{"a":1,"b":2}},"result":"done","cost":1}}"#, "1,".repeat(2_000_000));
    for line in [strings, numbers] {
        let (events, unread) = read_in(1 << 20, line.as_bytes());
        assert_eq!(unread.lines, 0);
        assert_eq!((&events[0]["result"], &events[0]["cost"]), (&json!("done"), &json!(1)));
        assert_eq!(events[0]["o"]["a"], 1);
        assert!(events[0]["many"].as_array().is_some_and(|many| (2..=250_002).contains(&many.len())));
    }
    let endless = vec![b'x'; 3 * MOST_OF_A_LINE];
    assert_eq!(read_in(1 << 20, &endless).1.lines, 1);
}

#[test]
fn of_a_text_without_end_the_end_is_kept() {
    let mut tail = Tail::default();
    for number in 0..10_000 {
        tail.feed(format!("line {number}\n").as_bytes());
    }
    tail.feed("é".as_bytes());
    let text = tail.into_text();
    assert!(text.len() <= Tail::MOST && text.len() > Tail::MOST - 8, "{}", text.len());
    assert!(text.ends_with("line 9999\né"), "{text}");
    let mut tail = Tail::default();
    tail.feed("é".repeat(Tail::MOST).as_bytes());
    tail.feed(b"x");
    assert!(!tail.into_text().contains('\u{fffd}'), "no character is cut in two");
}

/// As when a hook or a tool writes to the CLI's own output.
#[test]
fn an_event_is_read_whatever_stands_beside_it_in_its_line() {
    let result = r#"{"type":"result","result":"a {\"type\": b"}"#;
    for (line, events) in [
        (format!("warning: 5\" wide {result}"), 1),
        (format!("\u{1b}[0m{result}"), 1),
        (format!("{{{{\"type\"{result}\u{1b}[0m done"), 1),
        (format!("{{\"type\":\"assis{result}"), 1),
        (format!("x {{\"type\" {{{result} done {result}"), 2),
        (format!("{result}{result}"), 2),
        (format!("{result}, {result}"), 2),
        (format!("{result}}}]"), 1),
    ] {
        for pieces in [1, 7, line.len()] {
            let (read, unread) = read_in(pieces, format!("{line}\n{result}").as_bytes());
            let expected = serde_json::from_str::<Value>(result).expect("it is JSON");
            assert_eq!(read, vec![expected; events + 1], "{line}");
            assert_eq!(unread.lines, u64::from(line != format!("{result}{result}")), "{line}");
        }
    }
}
