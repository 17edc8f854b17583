//! Fields of any type that serde knows, without generics of the worker's own.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use claude_jobs::prelude::*;

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Page<T> {
    items: Vec<T>,
    next: Option<Box<Page<T>>>,
}

#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Severity {
    Low,
    High { above: u8 },
}

type Labels = BTreeMap<String, Vec<Page<u8>>>;

#[claude_worker(queue = "q", prompt = "{severity} {page} {pair.1} {issue.title} {path}")]
struct Nested {
    #[json]
    severity: Severity,
    #[json]
    page: Page<(u8, String)>,
    pair: (u8, i64),
    issue: Issue,
    #[json]
    path: PathBuf,
    _labels: Labels,
    _text: Cow<'static, str>,
    _map: HashMap<u64, [u8; 4]>,
    _boxed: Box<[String]>,
    _function_name: std::marker::PhantomData<fn() -> u8>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Issue {
    title: String,
}

fn main() {
    let page = Page { items: vec![], next: None };
    let issue = Issue { title: "t".into() };
    let _ = Nested::new(
        Severity::High { above: 3 }, page, (1, 2), issue, "a".into(), Labels::new(), "b".into(), HashMap::new(),
        Box::new([]), std::marker::PhantomData, 
    );
    let _ = Severity::Low;
}
