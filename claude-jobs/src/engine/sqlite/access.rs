//! What opens a database file.

use std::str::FromStr;

use sqlx::sqlite::SqliteConnectOptions;

use super::opening::is_in_memory;
use crate::engine::Access;

/// What opens the database of that URL: the URL, and the file.
pub(crate) fn access(url: &str) -> Access {
    if is_in_memory(url) {
        return Access::default();
    }
    let file = SqliteConnectOptions::from_str(url).ok();
    let file = file.and_then(|options| std::path::absolute(options.get_filename()).ok());
    let real = file.as_ref().and_then(|file| file.canonicalize().ok());
    let files = file.into_iter().chain(real).filter_map(|file| file.into_os_string().into_string().ok());
    Access::of(files.chain([url.to_owned()]), None)
}
