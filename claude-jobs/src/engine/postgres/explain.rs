//! What is wrong when a database cannot be opened, and what to do.

use super::address::Address;
use super::problem::{POOLER, READS_ONLY, given};
use crate::error::Error;
use crate::error::in_its_words;

/// The SQLSTATE of an error of the server's.
pub(super) use crate::engine::refusal::code;

/// Whether this role, or this server, may not write.
pub(super) fn is_denied(error: &Error) -> bool {
    matches!(code(error).as_deref(), Some("42501" | READS_ONLY))
}

const WRONG_TLS: &str = "the server's certificate or TLS is not as `sslmode` asks: give `sslrootcert=FILE`, or another \
    `sslmode`";

/// Names the URL, without its password, and the remedy.
pub(super) fn explain(address: &Address, error: Error) -> Error {
    let Error::Database(source) = &error else { return error };
    let options = &address.options;
    let (user, schema) = (options.get_username(), address.schema.name());
    let database = options.get_database().unwrap_or(user);
    let problem = given(&**source);
    let remedy = match (code(&error).as_deref(), problem) {
        (Some("28P01" | "28000"), _) => {
            "check user and password in the URL, and the server's `pg_hba.conf`".to_owned()
        }
        (Some("3D000"), _) => format!("create it (`createdb {database}`), or name another one in the URL"),
        (Some("42501"), _) => format!(
            "let the database's owner run `CREATE SCHEMA {schema} AUTHORIZATION \"{user}\"` (or, where the tables \
             are there, grant their use), or connect as another user"
        ),
        (Some("42P07" | "42710"), _) => {
            format!("that is somebody else's in the schema `{schema}`: name another schema in the URL")
        }
        (Some("53300"), _) => "end other programs' connections, or raise the server's limit".to_owned(),
        (Some("57P03"), _) => "the server is starting or stopping: try again".to_owned(),
        (Some("08P01"), _) | (_, Some(sqlx::Error::Protocol(_))) => POOLER.to_owned(),
        // A certificate that is refused is an error of reading.
        (_, Some(sqlx::Error::Io(problem))) if problem.kind() == std::io::ErrorKind::InvalidData => {
            WRONG_TLS.to_owned()
        }
        (_, Some(sqlx::Error::Tls(_))) => WRONG_TLS.to_owned(),
        (_, Some(sqlx::Error::Io(_))) => {
            "no server answers there: is it running, and are host and port right?".to_owned()
        }
        _ => return address.refused(in_its_words(source.as_ref())),
    };
    let problem = problem.map_or_else(|| source.to_string(), |problem| in_its_words(problem));
    address.refused(format!("{problem}; {remedy}"))
}
