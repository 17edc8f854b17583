//! Inserts, in the engine's own transaction or the user's.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use uuid::Uuid;

use super::address::Schema;
use super::connections::{Work, rows};
use super::moment::Moment;
use super::row::{self, job_columns, json, optional_moment, state_bit};
use super::statements::Statement;
use super::{PostgresEngine, Query, retried, schema};
use crate::error::{Error, Result};
use crate::job::{Job, JobId, JobRow, Written};

/// The most rows per statement, and the most bytes of input, within one.
const MOST_ROWS: usize = 1_000;
const MOST_BYTES: usize = 8 << 20;

/// One array per column. A column that is the same in all rows comes as one value and an empty array,
/// which `unnest` fills up with `NULL`: most columns of a batch are.
///
/// The nodes are told in the same statement, once per queue.
macro_rules! insert {
    ($on_conflict:literal, $answer:literal) => {
        concat!(
            "WITH new AS ( \
    INSERT INTO {schema}.jobs (state, queue, worker, input, args, meta, tags, priority, max_attempts, \
        max_snoozes, inserted_at, scheduled_at, concurrency_key, unique_key, unique_until, unique_states, trace) \
    SELECT coalesce(n.state, $17)::{schema}.state, coalesce(n.queue, $18), coalesce(n.worker, $19), \
        n.input::json, coalesce(n.args::json, $20::json), coalesce(n.meta::json, $21::json), \
        coalesce(n.tags::jsonb, $22::jsonb), coalesce(n.priority, $23), coalesce(n.max_attempts, $24), \
        coalesce(n.max_snoozes, $25), coalesce(n.inserted_at, $26), coalesce(n.scheduled_at, $27), \
        coalesce(n.concurrency_key, $28), n.unique_key, coalesce(n.unique_until, $29), \
        coalesce(n.unique_states, $30), coalesce(n.trace, $34) \
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
        $8::smallint[], $9::bigint[], $10::bigint[], $11::timestamptz[], $12::timestamptz[], $13::text[], \
        $14::text[], $15::timestamptz[], $16::integer[], $33::text[]) \
        AS n (input, state, queue, worker, args, meta, tags, priority, max_attempts, max_snoozes, \
        inserted_at, scheduled_at, concurrency_key, unique_key, unique_until, unique_states, trace) ",
            $on_conflict,
            "RETURNING id, unique_key) SELECT ",
            $answer,
            " FROM new \
    WHERE (SELECT count(pg_notify($31, told.queue)) FROM unnest($32::text[]) AS told (queue)) >= 0"
        )
    };
}

/// Rows of which none is unique. To look for conflicts costs a tenth.
pub(super) const INSERT: &str = insert!("", "array_agg(id) AS ids");

/// Answers with the rows that no key stood in the way of. jobs_unique
pub(super) const INSERT_UNIQUE: &str =
    insert!("ON CONFLICT (unique_key) WHERE unique_key IS NOT NULL DO NOTHING ", "id, unique_key");

/// One job that need not be unique: most inserts are one by one, and to prepare for many takes longer than
/// to write it. The nodes are told in the same statement.
pub(super) const INSERT_ONE: &str = "INSERT INTO {schema}.jobs (state, queue, worker, input, args, meta, tags, \
        priority, max_attempts, max_snoozes, inserted_at, scheduled_at, concurrency_key, trace) \
    VALUES ($1::text::{schema}.state, $2::text, $3, $4::text::json, $5::text::json, $6::text::json, \
        $7::text::jsonb, $8, $9, $10, $11, $12, $13, $15) RETURNING id, pg_notify($14, $2::text)";

/// jobs_unique
pub(super) const RELEASE_EXPIRED: &str = "UPDATE {schema}.jobs AS j SET unique_key = NULL \
    FROM unnest($1::text[], $2::timestamptz[]) AS new (key, at) \
    WHERE j.unique_key = new.key AND j.unique_until <= new.at";

/// jobs_unique
pub(super) const HOLDERS: &str = concat!(
    "SELECT ",
    job_columns!(),
    ", unique_key, unique_until FROM {schema}.jobs WHERE unique_key = ANY ($1)"
);

/// What an insert needs besides the connection.
struct Inserter<'a> {
    insert: &'a Statement,
    insert_unique: &'a Statement,
    release_expired: &'a Statement,
    holders: &'a Statement,
    channel: &'a str,
    /// Whether the connection is ours to prepare statements on.
    persistent: bool,
}

impl<'a> Inserter<'a> {
    fn of(engine: &'a PostgresEngine) -> Self {
        Self {
            insert: &engine.sql.insert,
            insert_unique: &engine.sql.insert_unique,
            release_expired: &engine.sql.release_expired,
            holders: &engine.sql.holders,
            channel: engine.channel(),
            persistent: engine.address.notifications,
        }
    }
}

/// Writes jobs inside a transaction of the engine's.
pub(super) async fn insert_all(
    engine: &PostgresEngine,
    work: &mut Work,
    new: &[JobRow],
) -> Result<Vec<Written>> {
    Inserter::of(engine).insert_all(work.connection(), new).await
}

/// Writes jobs, all or none.
pub(super) async fn insert(engine: &PostgresEngine, new: &[JobRow]) -> Result<Vec<Written>> {
    if let [row] = new
        && row.unique.is_none()
    {
        let id = engine.row(one(engine, row)?).await?.try_get("id")?;
        return Ok(vec![Written::New(JobId(id))]);
    }
    let inserter = Inserter::of(engine);
    if let Some(part) = Parts::of(new).next().transpose()?
        && part.rows.len() == new.len()
        && part.is_plain()
    {
        // One statement, which is a transaction by itself.
        let query = inserter.query(inserter.insert, &part)?;
        return part.numbered(&engine.row(query).await?);
    }
    // Two batches may hold keys that each other wants: PostgreSQL then ends one of them.
    retried(|| async {
        let mut work = engine.connections.begin().await?;
        let written = inserter.insert_all(work.connection(), new).await;
        work.finish(written).await
    })
    .await
}

fn one<'q>(engine: &PostgresEngine, row: &JobRow) -> Result<Query<'q>> {
    let query = engine.query(&engine.sql.insert_one).bind(row.state.name()).bind(row.queue.clone());
    let query = query.bind(row.worker.clone()).bind(json(&row.input)?).bind(json(&row.args)?);
    let query = query.bind(json(&row.meta)?).bind(json(&row.tags)?).bind(i16::from(row.priority));
    let query = query.bind(i64::from(row.max_attempts)).bind(i64::from(row.max_snoozes));
    let query = query.bind(Moment(row.inserted_at)).bind(Moment(row.scheduled_at));
    let query = query.bind(row.concurrency_key.clone()).bind(engine.channel().to_owned());
    Ok(query.bind(row.trace.clone()))
}

/// Writes jobs on a connection of the user's that is inside a transaction on the database of that id.
pub(crate) async fn insert_in(
    connection: &mut PgConnection,
    schema_name: &str,
    database_id: Uuid,
    new: &[JobRow],
) -> Result<Vec<Written>> {
    let schema = Schema::of(schema_name).map_err(Error::Configuration)?;
    check_database(connection, &schema, database_id).await?;
    let statement = |template| Statement::of(template, &schema);
    let inserter = Inserter {
        insert: &statement(INSERT),
        insert_unique: &statement(INSERT_UNIQUE),
        release_expired: &statement(RELEASE_EXPIRED),
        holders: &statement(HOLDERS),
        channel: schema.name(),
        persistent: false,
    };
    inserter.insert_all(connection, new).await
}

/// A missing table fails the user's transaction; it is asked for in a way that does not.
async fn check_database(connection: &mut PgConnection, schema: &Schema, id: Uuid) -> Result<()> {
    let exists = sqlx::query(schema::EXISTS).bind(schema.name()).bind(schema.own("meta"));
    let found = rows(connection, exists.persistent(false));
    if !found.await?[0].try_get::<bool, _>("found")? {
        return Err(Error::OtherDatabase);
    }
    let sql = Statement::of(schema::DATABASE_ID, schema);
    let found = rows(connection, sqlx::query(sql.text()).persistent(false)).await?;
    let found = found.first().map(|row| row.try_get::<String, _>("value")).transpose()?;
    if found.is_some_and(|found| found == id.to_string()) { Ok(()) } else { Err(Error::OtherDatabase) }
}

/// Rows that one statement writes, and their inputs as they are sent.
struct Part<'a> {
    rows: Vec<&'a JobRow>,
    inputs: Vec<String>,
}

/// All rows, part by part.
struct Parts<'a> {
    rest: &'a [JobRow],
}

impl<'a> Parts<'a> {
    fn of(rows: &'a [JobRow]) -> Self {
        Self { rest: rows }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>>;

    fn next(&mut self) -> Option<Result<Part<'a>>> {
        let (mut inputs, mut bytes) = (Vec::new(), 0);
        for row in self.rest.iter().take(MOST_ROWS) {
            let input = match json(&row.input) {
                Ok(input) => input,
                Err(error) => return Some(Err(error)),
            };
            bytes += input.len();
            if bytes > MOST_BYTES && !inputs.is_empty() {
                break;
            }
            inputs.push(input);
        }
        let (rows, rest) = self.rest.split_at(inputs.len());
        self.rest = rest;
        (!rows.is_empty()).then(|| Ok(Part { rows: rows.iter().collect(), inputs }))
    }
}

impl Part<'_> {
    /// Whether nothing can stand in the way of any row.
    fn is_plain(&self) -> bool {
        self.rows.iter().all(|row| row.unique.is_none())
    }

    /// The answer for a plain part. The statement writes row by row, and each takes the next number: in
    /// the order of the numbers they are the rows in theirs.
    fn numbered(&self, answer: &PgRow) -> Result<Vec<Written>> {
        let mut ids: Vec<i64> = answer.try_get::<Option<_>, _>("ids")?.unwrap_or_default();
        if ids.len() != self.rows.len() {
            return Err(Error::Database("the database has not written every row".into()));
        }
        ids.sort_unstable();
        Ok(ids.into_iter().map(|id| Written::New(JobId(id))).collect())
    }
}

impl Inserter<'_> {
    async fn insert_all(&self, connection: &mut PgConnection, new: &[JobRow]) -> Result<Vec<Written>> {
        let mut parts = Parts::of(new);
        let mut ready = || parts.next().map(|part| self.ready(part?)).transpose();
        let mut written = Vec::with_capacity(new.len());
        let mut next = ready()?;
        while let Some((part, query)) = next {
            // While the server writes a part we make the next one ready.
            let writing = self.insert_part(connection, part, query);
            let (done, prepared): (_, Result<_>) = tokio::join!(biased; writing, async { ready() });
            written.extend(done?);
            next = prepared?;
        }
        Ok(written)
    }

    /// A part with its statement, if one is all it takes.
    fn ready<'a>(&self, part: Part<'a>) -> Result<(Part<'a>, Option<Query<'static>>)> {
        let query = part.is_plain().then(|| self.query(self.insert, &part)).transpose()?;
        Ok((part, query))
    }

    async fn insert_part(
        &self,
        connection: &mut PgConnection,
        part: Part<'_>,
        query: Option<Query<'static>>,
    ) -> Result<Vec<Written>> {
        if let Some(query) = query {
            let answer = rows(connection, query).await?;
            return part.numbered(super::first(&answer)?);
        }
        let mut answers: Vec<Option<Written>> = part.rows.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..part.rows.len()).collect();
        while !open.is_empty() {
            self.release_expired(connection, &part, &open).await?;
            self.insert_open(connection, &part, &open, &mut answers).await?;
            self.find_holders(connection, &part, &mut answers).await?;
            // A holder that was there a moment ago may have let go of its key since, and the key of one
            // that this batch has just written may be over for the next.
            open.retain(|index| answers[*index].is_none());
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// A key whose time is over for the next row that wants it no longer stands in the way. In one order for
    /// all, so that two batches do not wait for each other.
    async fn release_expired(
        &self,
        connection: &mut PgConnection,
        part: &Part<'_>,
        open: &[usize],
    ) -> Result<()> {
        let mut next = BTreeMap::new();
        for row in open.iter().map(|index| part.rows[*index]) {
            if let Some(unique) = &row.unique {
                next.entry(unique.key.as_str()).or_insert(Moment(row.inserted_at));
            }
        }
        let (keys, moments): (Vec<_>, Vec<_>) = next.into_iter().unzip();
        let query = sqlx::query(self.release_expired.text()).bind(keys).bind(moments);
        rows(connection, query.persistent(self.persistent)).await?;
        Ok(())
    }

    /// Inserts the rows that are still open, of each key the first.
    async fn insert_open(
        &self,
        connection: &mut PgConnection,
        part: &Part<'_>,
        open: &[usize],
        answers: &mut [Option<Written>],
    ) -> Result<()> {
        let mut seen = HashSet::new();
        let key = |index: &usize| part.rows[*index].unique.as_ref().map(|unique| unique.key.as_str());
        let sent: Vec<usize> =
            open.iter().copied().filter(|index| key(index).is_none_or(|key| seen.insert(key))).collect();
        let some = Part {
            rows: sent.iter().map(|index| part.rows[*index]).collect(),
            inputs: sent.iter().map(|index| part.inputs[*index].clone()).collect(),
        };
        let written = rows(connection, self.query(self.insert_unique, &some)?).await?;
        let (mut plain, mut keyed) = (Vec::new(), HashMap::new());
        for row in &written {
            let id: i64 = row.try_get("id")?;
            match row::optional_text(row, "unique_key")? {
                Some(key) => drop(keyed.insert(key, id)),
                None => plain.push(id),
            }
        }
        plain.sort_unstable();
        let mut plain = plain.into_iter();
        for index in sent {
            let id = match key(&index) {
                Some(key) => keyed.get(key).copied(),
                None => plain.next(),
            };
            answers[index] = id.map(|id| Written::New(JobId(id)));
        }
        Ok(())
    }

    /// Answers with the holder where a key stood in the way. Where it no longer does, because the row comes after
    /// the key's time, that row and those after it are left open.
    async fn find_holders(
        &self,
        connection: &mut PgConnection,
        part: &Part<'_>,
        answers: &mut [Option<Written>],
    ) -> Result<()> {
        let key = |index: usize| part.rows[index].unique.as_ref().map(|unique| unique.key.as_str());
        let open = || (0..part.rows.len()).filter(|index| answers[*index].is_none());
        let mut keys: Vec<_> = open().filter_map(key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        keys.sort_unstable();
        keys.dedup();
        let query = sqlx::query(self.holders.text()).bind(keys).persistent(self.persistent);
        let mut holders: HashMap<String, (Job, Option<Timestamp>)> = HashMap::new();
        for row in rows(connection, query).await? {
            let holder = (row::job(&row)?, optional_moment(&row, "unique_until")?);
            holders.insert(row::text(&row, "unique_key")?, holder);
        }
        for (index, answer) in answers.iter_mut().enumerate().filter(|(_, answer)| answer.is_none()) {
            let Some(key) = key(index) else { continue };
            match holders.get(key) {
                Some((_, Some(until))) if *until <= part.rows[index].inserted_at => drop(holders.remove(key)),
                Some((job, _)) => *answer = Some(Written::Duplicate(Box::new(job.clone()))),
                None => {}
            }
        }
        Ok(())
    }

    /// The statement with these rows.
    fn query(&self, statement: &Statement, part: &Part<'_>) -> Result<Query<'static>> {
        let rows = &part.rows[..];
        let state = Column::of(rows, |row| row.state.name());
        let queue = Column::of(rows, |row| row.queue.as_str());
        let worker = Column::of(rows, |row| row.worker.as_str());
        let args = Column::of_json(rows, |row| &row.args)?;
        let meta = Column::of_json(rows, |row| &row.meta)?;
        let tags = Column::of_json(rows, |row| &row.tags)?;
        let priority = Column::of(rows, |row| i16::from(row.priority));
        let max_attempts = Column::of(rows, |row| i64::from(row.max_attempts));
        let max_snoozes = Column::of(rows, |row| i64::from(row.max_snoozes));
        let inserted_at = Column::of(rows, |row| Moment(row.inserted_at));
        let scheduled_at = Column::of(rows, |row| Moment(row.scheduled_at));
        let concurrency_key = Column::of(rows, |row| row.concurrency_key.as_deref());
        let trace = Column::of(rows, |row| row.trace.as_deref());
        let unique_until =
            Column::of(rows, |row| row.unique.as_ref().and_then(|unique| unique.until).map(Moment));
        let unique_states = Column::of(rows, |row| {
            let states = row.unique.as_ref().map(|unique| &unique.states[..]).unwrap_or_default();
            states.iter().map(|state| state_bit(*state)).sum::<i32>()
        });
        let unique_key: Vec<_> = match rows.iter().any(|row| row.unique.is_some()) {
            true => rows.iter().map(|row| row.unique.as_ref().map(|unique| unique.key.as_str())).collect(),
            false => Vec::new(),
        };
        let mut told: Vec<_> = rows.iter().map(|row| row.queue.as_str()).collect();
        told.dedup();
        told.sort_unstable();
        told.dedup();
        let query = sqlx::query(statement.text()).persistent(self.persistent);
        let query = query.bind(&part.inputs).bind(state.each).bind(queue.each).bind(worker.each);
        let query = query.bind(args.each).bind(meta.each).bind(tags.each).bind(priority.each);
        let query = query.bind(max_attempts.each).bind(max_snoozes.each).bind(inserted_at.each);
        let query = query.bind(scheduled_at.each).bind(concurrency_key.each).bind(unique_key);
        let query = query.bind(unique_until.each).bind(unique_states.each);
        let query = query.bind(state.all).bind(queue.all).bind(worker.all).bind(args.all).bind(meta.all);
        let query = query.bind(tags.all).bind(priority.all).bind(max_attempts.all).bind(max_snoozes.all);
        let query = query.bind(inserted_at.all).bind(scheduled_at.all).bind(concurrency_key.all.flatten());
        let query = query.bind(unique_until.all.flatten()).bind(unique_states.all);
        Ok(query.bind(self.channel).bind(told).bind(trace.each).bind(trace.all.flatten()))
    }
}

/// A column of a batch: a value per row, or one for all.
struct Column<T> {
    each: Vec<T>,
    all: Option<T>,
}

impl<T: PartialEq> Column<T> {
    fn of<'a>(rows: &[&'a JobRow], read: impl Fn(&'a JobRow) -> T) -> Self {
        let all = rows.first().map(|row| read(row));
        if rows.iter().all(|row| Some(read(row)) == all) {
            return Self { each: Vec::new(), all };
        }
        Self { each: rows.iter().map(|row| read(row)).collect(), all: None }
    }
}

impl Column<String> {
    /// Compared before it is written.
    fn of_json<'a, J: 'a + PartialEq + serde::Serialize>(
        rows: &[&'a JobRow],
        read: impl Fn(&'a JobRow) -> &'a J,
    ) -> Result<Self> {
        let is_same = rows.windows(2).all(|pair| read(pair[0]) == read(pair[1]));
        let mut each = rows.iter().take(if is_same { 1 } else { rows.len() }).map(|row| json(read(row)));
        if is_same {
            return Ok(Self { all: each.next().transpose()?, each: Vec::new() });
        }
        Ok(Self { each: each.collect::<Result<_>>()?, all: None })
    }
}
