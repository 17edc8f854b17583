//! Lists by filter.

use sqlx::{Postgres, QueryBuilder, Row};

use super::PostgresEngine;
use super::row::{self, cleaned, job_columns};
use crate::engine::Filter;
use crate::engine::list::{self, FEW, Part};
use crate::error::Result;
use crate::job::Job;

pub(super) async fn jobs(engine: &PostgresEngine, filter: &Filter) -> Result<Vec<Job>> {
    let mut sql = statement(engine, filter).await?;
    row::jobs(&engine.rows(sql.build().persistent(false)).await?)
}

/// The order of jobs_over is that of pruning.
pub(super) fn parts(filter: &Filter) -> Vec<Part> {
    let in_order = |part: Part| Part { is_ordered: part.is_ordered && part.index != "jobs_over", ..part };
    list::parts(filter).into_iter().map(in_order).collect()
}

/// What reads little for this filter. Either gives the same list.
pub(super) async fn statement(engine: &PostgresEngine, filter: &Filter) -> Result<QueryBuilder<Postgres>> {
    let parts = parts(filter);
    Ok(match parts.is_empty() || are_many(engine, filter, &parts).await? {
        true => by_id(engine, filter),
        false => by_parts(engine, filter, &parts),
    })
}

/// Whether more jobs would have to be put in order than is worth it.
async fn are_many(engine: &PostgresEngine, filter: &Filter, parts: &[Part]) -> Result<bool> {
    let Some(mut sql) = count_few(engine, filter, parts) else { return Ok(false) };
    let row = engine.row(sql.build().persistent(false)).await?;
    Ok(row.try_get::<i64, _>("jobs")? > i64::from(FEW))
}

/// Counts, up to one more than a few, what no index has in order. Each part reads its own index only.
pub(super) fn count_few(
    engine: &PostgresEngine,
    filter: &Filter,
    parts: &[Part],
) -> Option<QueryBuilder<Postgres>> {
    let mut sql = QueryBuilder::new("SELECT count(*) AS jobs FROM (");
    let mut between = "";
    for part in parts.iter().filter(|part| !part.is_ordered) {
        sql.push(between).push(fill(engine, "SELECT 1 FROM {schema}.jobs WHERE ")).push(part.rows);
        if let Some(queue) = &filter.queue {
            sql.push(" AND queue = ").push_bind(cleaned(queue));
        }
        between = " UNION ALL ";
    }
    sql.push(" LIMIT ").push_bind(i64::from(FEW) + 1).push(") AS few");
    (!between.is_empty()).then_some(sql)
}

/// The newest of each part, each by its own index; of all of them the newest. jobs_pkey for the rows.
pub(super) fn by_parts(engine: &PostgresEngine, filter: &Filter, parts: &[Part]) -> QueryBuilder<Postgres> {
    let mut sql = QueryBuilder::new(fill(
        engine,
        concat!("SELECT ", job_columns!(), " FROM {schema}.jobs WHERE id = ANY (ARRAY (SELECT id FROM ("),
    ));
    let mut between = "(";
    for part in parts {
        sql.push(between).push(fill(engine, "SELECT id FROM {schema}.jobs WHERE ")).push(part.rows);
        push_conditions(&mut sql, filter);
        // Not by jobs_pkey, which has this order: it would be walked until enough of these are met.
        sql.push(if part.is_ordered { " ORDER BY id DESC" } else { " ORDER BY id + 0 DESC" });
        sql.push(" LIMIT ").push_bind(i64::from(filter.limit));
        between = ") UNION ALL (";
    }
    sql.push(")) AS newest ORDER BY id DESC LIMIT ").push_bind(i64::from(filter.limit));
    sql.push(")) ORDER BY id DESC");
    sql
}

/// Down by number. jobs_pkey
pub(super) fn by_id(engine: &PostgresEngine, filter: &Filter) -> QueryBuilder<Postgres> {
    let mut sql =
        QueryBuilder::new(fill(engine, concat!("SELECT ", job_columns!(), " FROM {schema}.jobs WHERE true")));
    if let Some(state) = filter.state {
        sql.push(" AND state = ").push_bind(state.name()).push(fill(engine, "::text::{schema}.state"));
    }
    push_conditions(&mut sql, filter);
    sql.push(" ORDER BY id DESC LIMIT ").push_bind(i64::from(filter.limit));
    sql
}

/// All but the state.
fn push_conditions(sql: &mut QueryBuilder<Postgres>, filter: &Filter) {
    if let Some(queue) = &filter.queue {
        sql.push(" AND queue = ").push_bind(cleaned(queue));
    }
    if let Some(worker) = &filter.worker {
        sql.push(" AND worker = ").push_bind(cleaned(worker));
    }
    if let Some(tag) = &filter.tag {
        sql.push(" AND tags @> jsonb_build_array(").push_bind(cleaned(tag)).push("::text)");
    }
    if let Some(before) = filter.before {
        sql.push(" AND id < ").push_bind(before.0);
    }
}

fn fill(engine: &PostgresEngine, template: &str) -> String {
    engine.address.schema.fill(template)
}
