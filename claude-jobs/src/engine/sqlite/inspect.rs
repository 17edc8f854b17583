//! A look at a database without changing it: for `doctor`.

use std::path::Path;
use std::str::FromStr;

use rustix::fs::{Access, access};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

use super::file::check_path;
use super::opening::{connect_problem, is_in_memory};
use super::schema;
use crate::engine::Inspection;
use crate::error::{Error, Result, in_its_words};
use crate::secrets::hide_passwords;

/// What is there. The file is neither made nor written.
pub(crate) async fn inspect(url: &str) -> Result<Inspection> {
    let refused = |reason: String| Error::Connect { url: hide_passwords(url), reason };
    let options = SqliteConnectOptions::from_str(url)
        .map_err(|error| refused(format!("{error}; write it as `sqlite://path/to/jobs.db`")))?
        .create_if_missing(false)
        .read_only(true);
    if is_in_memory(url) {
        return Ok(Inspection::Missing);
    }
    let path = options.get_filename().to_owned();
    check_path(&path).and_then(|()| check_access(&path)).map_err(refused)?;
    if !path.exists() {
        return Ok(Inspection::Missing);
    }
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await;
    let pool = pool.map_err(|error| refused(connect_problem(&path, &error)))?;
    let version = schema::up_to_date(&pool).await;
    pool.close().await;
    match version {
        Ok(Some(_)) => Ok(Inspection::Ready),
        Ok(None) => Ok(Inspection::NotMigrated),
        Err(Error::Database(source)) => {
            Err(refused(format!("{}: {}", path.display(), in_its_words(source.as_ref()))))
        }
        Err(other) => Err(other),
    }
}

/// SQLite makes files beside the database, so that its folder must be writable, too.
fn check_access(path: &Path) -> Result<(), String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if access(folder, Access::WRITE_OK | Access::EXEC_OK).is_err() {
        return Err(format!("the folder `{}` is not writable for this user", folder.display()));
    }
    if path.exists() && access(path, Access::READ_OK | Access::WRITE_OK).is_err() {
        return Err("the file is not readable and writable for this user".to_owned());
    }
    Ok(())
}
