//! Statements over many rows: `VALUES (…), (…), …` with one placeholder per value.
//!
//! A statement is prepared per number of rows, so many rows are written in powers of two: whatever the
//! batches are, few statements are kept.

use std::sync::{Arc, OnceLock};

use sqlx::AssertSqlSafe;

/// Up to so many rows are written by one statement, however many they are.
pub(super) const FEW: usize = 16;

/// The most rows per statement, as a power of two. SQLite allows 32,766 placeholders.
const MOST: u32 = 8;

/// A statement for each number of rows.
pub(super) struct Statement {
    /// Before and after the rows.
    before: &'static str,
    after: &'static str,
    /// Placeholders per row; those in the text before come first.
    columns: usize,
    /// By number of rows, then by power of two.
    texts: [OnceLock<Arc<str>>; FEW + MOST as usize + 1],
}

impl Statement {
    pub(super) const fn new(before: &'static str, columns: usize, after: &'static str) -> Self {
        Self { before, after, columns, texts: [const { OnceLock::new() }; FEW + MOST as usize + 1] }
    }

    /// The rows in parts, each with the statement that writes it.
    pub(super) fn parts<'a, T>(
        &'static self,
        mut rows: &'a [T],
    ) -> impl Iterator<Item = (AssertSqlSafe<Arc<str>>, &'a [T])> {
        std::iter::from_fn(move || {
            let power = rows.len().checked_ilog2()?.min(MOST);
            let (size, kept_at) = match rows.len() {
                few @ ..=FEW => (few, few - 1),
                _ => (1 << power, FEW + power as usize),
            };
            let (part, rest) = rows.split_at(size);
            rows = rest;
            Some((self.kept(kept_at, size), part))
        })
    }

    /// The statement that writes one row.
    pub(super) fn for_one(&'static self) -> AssertSqlSafe<Arc<str>> {
        self.kept(0, 1)
    }

    fn kept(&self, at: usize, rows: usize) -> AssertSqlSafe<Arc<str>> {
        AssertSqlSafe(Arc::clone(self.texts[at].get_or_init(|| self.text(rows).into())))
    }

    fn text(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns].join(", "));
        format!("{} {} {}", self.before, vec![row; rows].join(", "), self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_one_part_and_in_order() {
        static STATEMENT: Statement = Statement::new("VALUES", 2, "LIMIT 1");
        let rows: Vec<usize> = (0..777).collect();
        let parts: Vec<_> = STATEMENT.parts(&rows).collect();
        let sizes: Vec<_> = parts.iter().map(|(_, part)| part.len()).collect();
        assert_eq!(sizes, [256, 256, 256, 9]);
        assert_eq!(parts.iter().flat_map(|(_, part)| *part).copied().collect::<Vec<_>>(), rows);
        let (text, _) = STATEMENT.parts(&rows[..1]).next().expect("a part");
        assert_eq!(&*text.0, "VALUES (?, ?) LIMIT 1");
        assert!(STATEMENT.parts(&[0u8; 0]).next().is_none());
    }
}
