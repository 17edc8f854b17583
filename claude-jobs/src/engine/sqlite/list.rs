//! Lists by filter.

use sqlx::{QueryBuilder, Sqlite, SqlitePool};

use super::row::{self, job_columns};
use crate::engine::Filter;
use crate::engine::list::{FEW, Part, parts};
use crate::error::Result;
use crate::job::Job;

pub(super) async fn jobs(readers: &SqlitePool, filter: &Filter) -> Result<Vec<Job>> {
    let mut sql = statement(readers, filter).await?;
    let rows = sql.build().fetch_all(readers).await?;
    Ok(rows.iter().map(row::job).collect::<sqlx::Result<_>>()?)
}

/// What reads little for this filter. Either gives the same list.
pub(super) async fn statement(readers: &SqlitePool, filter: &Filter) -> Result<QueryBuilder<Sqlite>> {
    let parts = parts(filter);
    Ok(match parts.is_empty() || are_many(readers, filter, &parts).await? {
        true => by_id(filter),
        false => by_parts(filter, &parts),
    })
}

/// Whether more jobs would have to be put in order than is worth it.
async fn are_many(readers: &SqlitePool, filter: &Filter, parts: &[Part]) -> Result<bool> {
    let Some(mut sql) = count_few(filter, parts) else { return Ok(false) };
    let jobs: i64 = sql.build_query_scalar().fetch_one(readers).await?;
    Ok(jobs > i64::from(FEW))
}

/// Counts, up to one more than a few, what no index has in order. Each part reads its own index only.
pub(super) fn count_few(filter: &Filter, parts: &[Part]) -> Option<QueryBuilder<Sqlite>> {
    let mut sql = QueryBuilder::new("SELECT count(*) FROM (");
    let mut between = "";
    for part in parts.iter().filter(|part| !part.is_ordered) {
        sql.push(between).push("SELECT 1");
        push_source(&mut sql, part);
        if let Some(queue) = &filter.queue {
            sql.push(" AND queue = ").push_bind(queue.clone());
        }
        between = " UNION ALL ";
    }
    sql.push(" LIMIT ").push_bind(FEW + 1).push(")");
    (!between.is_empty()).then_some(sql)
}

/// The newest of each part, each by its own index; of all of them the newest. The primary key for the
/// rows.
pub(super) fn by_parts(filter: &Filter, parts: &[Part]) -> QueryBuilder<Sqlite> {
    let mut sql = QueryBuilder::new(concat!(
        "SELECT ",
        job_columns!(),
        " FROM claude_jobs WHERE id IN (SELECT id FROM ("
    ));
    let mut between = "";
    for part in parts {
        sql.push(between).push("SELECT id FROM (SELECT id");
        push_source(&mut sql, part);
        push_conditions(&mut sql, filter);
        sql.push(" ORDER BY id DESC LIMIT ").push_bind(filter.limit).push(")");
        between = " UNION ALL ";
    }
    sql.push(") ORDER BY id DESC LIMIT ").push_bind(filter.limit).push(") ORDER BY id DESC");
    sql
}

/// A part's rows, by its index: left to itself, SQLite takes the primary key, which has the order.
fn push_source(sql: &mut QueryBuilder<Sqlite>, part: &Part) {
    sql.push(" FROM claude_jobs INDEXED BY claude_").push(part.index).push(" WHERE ").push(part.rows);
}

/// Down by number: the primary key.
pub(super) fn by_id(filter: &Filter) -> QueryBuilder<Sqlite> {
    let mut sql =
        QueryBuilder::new(concat!("SELECT ", job_columns!(), " FROM claude_jobs NOT INDEXED WHERE true"));
    if let Some(state) = filter.state {
        sql.push(" AND state = ").push_bind(state.name());
    }
    push_conditions(&mut sql, filter);
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(filter.limit);
    sql
}

/// All but the state.
fn push_conditions(sql: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    if let Some(queue) = &filter.queue {
        sql.push(" AND queue = ").push_bind(queue.clone());
    }
    if let Some(worker) = &filter.worker {
        sql.push(" AND worker = ").push_bind(worker.clone());
    }
    if let Some(tag) = &filter.tag {
        // A damaged row has no tags.
        sql.push(
            " AND EXISTS (SELECT 1 FROM json_each(CASE WHEN json_valid(tags) THEN tags ELSE '[]' END) \
             WHERE value = ",
        )
        .push_bind(tag.clone())
        .push(")");
    }
    if let Some(before) = filter.before {
        sql.push(" AND id < ").push_bind(before.0);
    }
}
