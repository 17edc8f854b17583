//! The URL: what of it is ours, what PostgreSQL's, and how it is shown without its password.

use std::str::FromStr;

use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use crate::error::{Error, Result};

/// The schema, unless the URL says otherwise.
const SCHEMA: &str = "claude_jobs";

/// The schema that other programs have their tables in, too.
const SHARED: &str = "public";

/// The most connections, unless the URL says otherwise; the listener's is one more.
const CONNECTIONS: u32 = 10;

/// Where the queue is, taken from `postgres://…?schema=…&connections=…&notifications=…`.
#[derive(Clone)]
pub(super) struct Address {
    /// What PostgreSQL needs to know. Holds the password: never shown.
    pub(super) options: PgConnectOptions,
    pub(super) schema: Schema,
    pub(super) connections: u32,
    /// Off behind a pooler that hands out server connections per transaction: nothing may then depend on
    /// the session, neither `LISTEN` nor settings nor prepared statements.
    pub(super) notifications: bool,
    /// The URL without its password.
    pub(super) shown: String,
}

/// The name of our schema, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schema(String);

impl Schema {
    pub(super) fn of(name: &str) -> Result<Self, String> {
        let mut bytes = name.bytes();
        let starts_well = bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_');
        let goes_on_well =
            bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if name.len() <= 63 && starts_well && goes_on_well && !name.starts_with("pg_") {
            return Ok(Self(name.to_owned()));
        }
        Err(format!(
            "schema `{}`: give 1 to 63 lower-case letters, digits and underscores, the first one no digit, and \
             not `pg_…`, which is PostgreSQL's own",
            name.escape_default()
        ))
    }

    /// The name. It is the notification channel, too.
    pub(super) fn name(&self) -> &str {
        &self.0
    }

    /// The name of a table, type or index of ours in it. Other programs have their tables in `public`, so that ours are
    /// named as in SQLite there.
    pub(super) fn own(&self, name: &str) -> String {
        match name.strip_prefix("jobs") {
            _ if self.0 != SHARED => name.to_owned(),
            Some(rest) => format!("claude_jobs{rest}"),
            None => format!("claude_jobs_{name}"),
        }
    }

    /// A statement's text, in which `{schema}.name` stands for a table or type, `{index}.name` for the name of a new index,
    /// and `{schema}` for the schema. Quoted: its name may be a reserved word.
    pub(super) fn fill(&self, template: &str) -> String {
        let schema = format!("\"{}\"", self.0);
        let text = self.named(template, "{schema}.", &format!("{schema}."));
        self.named(&text, "{index}.", "").replace("{schema}", &schema)
    }

    /// The text with this in place of each marker, and our own name behind it.
    fn named(&self, text: &str, marker: &str, place: &str) -> String {
        let mut parts = text.split(marker);
        let mut named = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            let (name, rest) = part.split_at(end.unwrap_or(part.len()));
            named += &format!("{place}{}{rest}", self.own(name));
        }
        named
    }
}

impl Address {
    /// Reads the URL.
    pub(super) fn parse(url: &str) -> Result<Self> {
        // What cannot be read is not shown either: who knows where its password is.
        let unreadable = |reason: String| Error::Connect { url: "postgres://…".to_owned(), reason };
        let misread = |problem: &dyn std::fmt::Display| {
            unreadable(format!(
                "{problem}; write it as `postgres://user:password@host:5432/database?schema={SCHEMA}`, with special \
                 characters in the password percent-encoded (`@` is `%40`, `/` is `%2F`)"
            ))
        };
        let (theirs, ours) = split(url);
        if has_misplaced_password(&theirs) {
            return Err(misread(&"a password may stand where it would be taken for another part"));
        }
        let options = PgConnectOptions::from_str(&theirs)
            .map_err(|error| misread(&error))?
            // One round trip less, and a pooler that knows no such setting goes along.
            .extra_float_digits(None)
            .disable_statement_logging();
        let mut address = Self {
            schema: Schema(SCHEMA.to_owned()),
            connections: CONNECTIONS,
            notifications: true,
            shown: shown(&options),
            options,
        };
        for (key, value) in ours {
            address.set(key, value).map_err(|reason| address.refused(reason))?;
        }
        if address.schema.name() != SCHEMA {
            address.shown.push_str(&format!("?schema={}", address.schema.name()));
        }
        Ok(address)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let value_shown = value.escape_default();
        match key {
            "schema" => self.schema = Schema::of(value)?,
            "connections" => match value.parse() {
                Ok(connections @ 1..=1000) => self.connections = connections,
                _ => return Err(format!("connections `{value_shown}`: give 1 to 1000")),
            },
            _ => match value {
                "on" => self.notifications = true,
                "off" => self.notifications = false,
                _ => return Err(format!("notifications `{value_shown}`: give `on` or `off`")),
            },
        }
        Ok(())
    }

    /// The error of a database that cannot be opened.
    pub(super) fn refused(&self, reason: String) -> Error {
        Error::Connect { url: self.shown.clone(), reason }
    }
}

/// The URL without our own parameters, and these.
fn split(url: &str) -> (String, Vec<(&str, &str)>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), Vec::new()) };
    let pairs = query.split('&').map(|pair| (pair, pair.split_once('=').unwrap_or((pair, ""))));
    let (ours, theirs): (Vec<_>, Vec<_>) = pairs.partition(|(_, (key, _))| is_ours(key));
    let theirs: Vec<_> =
        theirs.into_iter().filter(|(_, (key, _))| is_known(key)).map(|(pair, _)| pair).collect();
    let rest = if theirs.is_empty() { String::new() } else { format!("?{}", theirs.join("&")) };
    (format!("{base}{rest}"), ours.into_iter().map(|(_, pair)| pair).collect())
}

/// Whether an `@` stands behind the host, as it does where `/` or `#` of a password, or a missing `/` at the start, has
/// ended the host too early.
fn has_misplaced_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return true };
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    query.contains(';')
        || before_query
            .split_once(['/', '#'])
            .is_some_and(|(_, behind)| behind.contains(['@', '&', ';', '=']))
}

/// The parameters that the driver knows. It logs the others with their values.
const KNOWN: &[&str] = &[
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "password",
    "port",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "ssl-mode",
    "ssl-root-cert",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "statement-cache-capacity",
    "user",
];

fn is_known(key: &str) -> bool {
    KNOWN.contains(&key) || is_ours(key) || key.starts_with("options[")
}

fn is_ours(key: &str) -> bool {
    matches!(key, "schema" | "connections" | "notifications")
}

/// The names of parameters that neither we nor the driver know.
pub(super) fn unknown_parameters(url: &str) -> impl Iterator<Item = &str> {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let keys = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(key, _)| key));
    keys.filter(|key| !key.is_empty() && !is_known(key))
}

/// Put together again from the parts that are no secret.
fn shown(options: &PgConnectOptions) -> String {
    let (user, port) = (options.get_username(), options.get_port());
    let database = options.get_database().unwrap_or(user);
    match options.get_socket() {
        Some(socket) => format!("postgres://{user}@{}:{port}/{database}", socket.display()),
        None => format!("postgres://{user}@{}:{port}/{database}", options.get_host()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_parameters_are_taken_out_and_theirs_left_in() {
        let url = "postgres://me:secret@db.example:6432/app?schema=my_jobs&sslmode=require&notifications=off";
        let address = Address::parse(url).expect("a good URL");
        assert_eq!(
            (address.schema.name(), address.connections, address.notifications),
            ("my_jobs", 10, false)
        );
        assert!(matches!(address.options.get_ssl_mode(), sqlx::postgres::PgSslMode::Require));
        assert_eq!(address.shown, "postgres://me@db.example:6432/app?schema=my_jobs");
        assert_eq!(split(url).0, "postgres://me:secret@db.example:6432/app?sslmode=require");
        assert_eq!(address.schema.fill("SELECT 1 FROM {schema}.jobs"), "SELECT 1 FROM \"my_jobs\".jobs");
        let address =
            Address::parse("postgres://me:sec@ret@db.example/a%40b?password=x@y").expect("a good URL");
        assert_eq!(address.shown, "postgres://me@db.example:5432/a@b");
    }

    #[test]
    fn in_public_the_names_begin_with_ours() {
        let template = "CREATE INDEX {index}.jobs_due ON {schema}.jobs (x); \
            CREATE INDEX {index}.runs_written ON {schema}.runs (x)";
        for (schema, expected) in [
            (
                "public",
                "CREATE INDEX claude_jobs_due ON \"public\".claude_jobs (x); \
                 CREATE INDEX claude_jobs_runs_written ON \"public\".claude_jobs_runs (x)",
            ),
            (
                "mine",
                "CREATE INDEX jobs_due ON \"mine\".jobs (x); CREATE INDEX runs_written ON \"mine\".runs (x)",
            ),
        ] {
            assert_eq!(Schema::of(schema).expect("a name").fill(template), expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_the_password() {
        for (url, expected) in [
            ("postgres://me:p?ss@word@db/app", "percent-encoded"),
            ("postgres://me:p/ss@db/app", "percent-encoded"),
            ("postgres:/me:secret@db/app", "percent-encoded"),
            ("postgres:me:secret@db/app", "percent-encoded"),
            ("postgres://me:12/secret@db/app", "percent-encoded"),
            ("postgres://me:12#secret@db/app", "percent-encoded"),
            ("postgres://me@db/app&password=secret", "percent-encoded"),
            ("postgres://me@db/app?user=app;password=secret", "percent-encoded"),
            ("postgres://me:secret@db:notaport/app", "percent-encoded"),
            ("postgres://me:secret@db/app?sslmode=sometimes", "sometimes"),
            ("postgres://me:secret@db/app?schema=Jobs", "schema `Jobs`"),
            ("postgres://me:secret@db/app?schema=1jobs", "schema `1jobs`"),
            ("postgres://me:secret@db/app?schema=pg_jobs", "PostgreSQL's own"),
            ("postgres://me:secret@db/app?schema=", "schema ``"),
            ("postgres://me:secret@db/app?schema=a%22b", "schema `a%22b`"),
            ("postgres://me:secret@db/app?connections=0", "connections `0`"),
            ("postgres://me:secret@db/app?notifications=yes", "notifications `yes`"),
        ] {
            let Err(error) = Address::parse(url) else { panic!("{url} was read") };
            let text = format!("{error} {error:?}");
            assert!(text.contains(expected), "{expected} not in {text}");
            assert!(!text.contains("secret") && !text.contains("p?ss") && !text.contains("p/ss"), "{text}");
        }
    }
}
