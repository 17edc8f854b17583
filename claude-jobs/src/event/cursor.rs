//! [`Cursor`]: how far somebody has read the ledger.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::job::JobId;

/// How far somebody has read what runs came to. To be kept, and given to
/// [`Subscribe::after`](super::Subscribe::after) later: the text (`to_string`, `parse`) or serde's form holds all of it.
///
/// It says nothing about the time, and belongs to the database that it was made by. What its parts say is for
/// the engine that has made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Cursor {
    /// The id of the database.
    pub database: String,
    /// All of this was told, in the engine's own words.
    pub told: String,
    /// Of what came after, all of this is being told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The last of these that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Place>,
    /// Of these only runs that ended since then are told, in microseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
}

/// A place in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// What has written it, in the engine's own words.
    pub written: String,
    /// The job.
    pub job: JobId,
    /// Which of its attempts.
    pub attempt: u32,
}

impl Cursor {
    /// After all of this, in the engine's own words.
    pub fn after_all(database: Uuid, told: String) -> Self {
        Self { database: database.to_string(), told, until: None, last: None, since: None }
    }

    /// Refuses one of another database.
    ///
    /// # Errors
    ///
    /// [`Error::Configuration`].
    pub fn check(&self, database: Uuid) -> Result<()> {
        if self.database == database.to_string() {
            return Ok(());
        }
        Err(Error::Configuration("the cursor is of another database: its events are not here".to_owned()))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Cursor {
    type Err = Error;

    /// # Errors
    ///
    /// [`Error::Configuration`] for a text that no cursor has written.
    fn from_str(text: &str) -> Result<Self> {
        let refused = |problem| Error::Configuration(format!("this is no cursor: {problem}"));
        serde_json::from_str(text).map_err(refused)
    }
}
