//! `--queue`, and the lines about jobs.

use super::*;

#[test]
fn queues_are_named_with_their_number() {
    let served = |name: &str, concurrency| Ok(Served { name: name.to_owned(), concurrency });
    assert_eq!(super::served("review=4"), served("review", 4));
    assert_eq!(super::served("a=b=1"), served("a=b", 1));
    for (wrong, part) in [
        ("review", "NAME=N"),
        ("=2", "name is missing"),
        ("review=0", "`0`"),
        ("review=-1", "`-1`"),
        ("review=", "``"),
        ("review=4294967296", "from 1"),
    ] {
        let said = super::served(wrong).expect_err("it is wrong");
        assert!(said.contains(part), "{wrong:?}: {said}");
    }
}
