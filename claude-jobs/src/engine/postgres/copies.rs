//! A copy of a database becomes a database of its own, so that its runtimes leave the original's runs and sessions alone.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::postgres::types::Oid;
use uuid::Uuid;

use super::address::Schema;
use super::connections::{Connections, Work};
use super::explain::code;
use super::moment::Moment;
use super::row::state_bit;
use super::schema::lock_number;
use super::statements::Statement;
use crate::clock::Clock;
use crate::engine::COPIED;
use crate::error::{Error, Result};
use crate::job::State;

/// Where a database is: what its own tables say of it differs in a copy. Not in one that was copied with its whole server,
/// byte by byte: from here that looks like a standby that took over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Origin {
    /// The server's own number. None where this role may not ask for it.
    server: Option<String>,
    database: u32,
    schema: u32,
}

impl Origin {
    /// Whether a database that says it is from here, and is found at `found`, is a copy.
    fn is_copied_to(&self, found: &Self) -> bool {
        let is_other_server =
            self.server.as_ref().zip(found.server.as_ref()).is_some_and(|(own, new)| own != new);
        is_other_server || (self.database, self.schema) != (found.database, found.schema)
    }
}

/// Notes where the database was found. If it is a copy, it becomes a database of its own: it gets another id, jobs that were
/// running are cancelled, and sessions of the original are continued in forks.
pub(super) async fn note_origin(connections: &Connections, schema: &Schema) -> Result<()> {
    let mut work = connections.begin().await?;
    let said = stored(&mut work, schema).await;
    let said = work.finish(said).await?;
    let found = find(connections, schema).await?;
    if said.as_deref().and_then(read).is_some_and(|said| !said.is_copied_to(&found)) {
        return Ok(());
    }
    let mut work = connections.begin().await?;
    let noted = note_alone(&mut work, schema, &found).await;
    work.finish(noted).await
}

async fn note_alone(work: &mut Work, schema: &Schema, found: &Origin) -> Result<()> {
    let lock = sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(lock_number("migrations", schema));
    work.rows(lock.persistent(false)).await?;
    if let Some(said) = stored(work, schema).await? {
        match read(&said) {
            Some(said) if !said.is_copied_to(found) => return Ok(()),
            // An operator empties the entry to make this database count as a copy (docs/running-a-fleet.md).
            _ => separate(work, schema).await?,
        }
    }
    let text = serde_json::to_string(found).map_err(|error| Error::Database(error.into()))?;
    set(work, schema, "origin", &text).await
}

/// Where the database is.
async fn find(connections: &Connections, schema: &Schema) -> Result<Origin> {
    let sql = "SELECT system_identifier::text AS server FROM pg_catalog.pg_control_system()";
    let server = match connections.rows(sqlx::query(sql).persistent(false)).await {
        Ok(rows) => Some(rows[0].try_get("server")?),
        Err(error) if code(&error).as_deref() == Some("42501") => None,
        Err(error) => return Err(error),
    };
    let sql = "SELECT d.oid AS database, n.oid AS schema FROM pg_catalog.pg_database AS d, pg_catalog.pg_namespace AS n \
        WHERE d.datname = current_database() AND n.nspname = $1";
    let rows = connections.rows(sqlx::query(sql).bind(schema.name()).persistent(false)).await?;
    let (Oid(database), Oid(schema)) = (rows[0].try_get("database")?, rows[0].try_get("schema")?);
    Ok(Origin { server, database, schema })
}

async fn separate(work: &mut Work, schema: &Schema) -> Result<()> {
    set(work, schema, "database_id", &Uuid::now_v7().to_string()).await?;
    work.script(&Statement::of("DELETE FROM {schema}.nodes", schema)).await?;
    // jobs_executing
    let cancel = Statement::of(
        "UPDATE {schema}.jobs SET state = 'cancelled', finished_at = $1, reason = $2, cancel_requested = false, \
         unique_key = CASE WHEN unique_states & $3 <> 0 THEN unique_key END WHERE state = 'executing'",
        schema,
    );
    let cancel = sqlx::query(cancel.text()).bind(Moment(Clock::system().now())).bind(COPIED);
    work.rows(cancel.bind(state_bit(State::Cancelled)).persistent(false)).await?;
    // All rows, once.
    let sessions = Statement::of(
        "UPDATE {schema}.jobs SET continuation = jsonb_set(continuation::jsonb, '{session,fork}', 'true')::text \
         WHERE continuation LIKE '{%' AND continuation::jsonb ? 'session'",
        schema,
    );
    work.script(&sessions).await
}

fn read(text: &str) -> Option<Origin> {
    serde_json::from_str(text).ok()
}

async fn stored(work: &mut Work, schema: &Schema) -> Result<Option<String>> {
    let sql = Statement::of("SELECT value FROM {schema}.meta WHERE key = 'origin'", schema);
    let rows = work.rows(sqlx::query(sql.text()).persistent(false)).await?;
    Ok(rows.first().map(|row| row.try_get("value")).transpose()?)
}

async fn set(work: &mut Work, schema: &Schema, key: &str, value: &str) -> Result<()> {
    let sql = Statement::of(
        "INSERT INTO {schema}.meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = $2",
        schema,
    );
    work.rows(sqlx::query(sql.text()).bind(key).bind(value).persistent(false)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_another_database_schema_or_server() {
        let origin = |server: &str, database, schema| Origin {
            server: Some(server.to_owned()).filter(|server| !server.is_empty()),
            database,
            schema,
        };
        for (found, is_copy) in [
            (origin("7", 1, 2), false),
            (origin("", 1, 2), false),
            (origin("8", 1, 2), true),
            (origin("7", 2, 2), true),
            (origin("", 1, 3), true),
        ] {
            assert_eq!(origin("7", 1, 2).is_copied_to(&found), is_copy, "{found:?}");
            assert_eq!(found.is_copied_to(&origin("7", 1, 2)), is_copy, "{found:?}");
        }
    }
}
