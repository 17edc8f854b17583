//! [`Access`]: what opens a database, so that it can be kept from those who are not to open it.

use std::fmt;

/// Shorter passwords would be found where they mean nothing.
const SHORTEST: usize = 8;

/// What opens a queue's database: its URL, its file, its password. No variable of a run's environment holds any of it.
#[derive(Clone, Default)]
pub struct Access {
    texts: Vec<String>,
    /// As it is, and as a URL has it.
    password: Option<(String, String)>,
}

impl Access {
    /// With these texts, and the password as a URL has it.
    #[cfg_attr(not(any(feature = "sqlite", feature = "postgres")), allow(dead_code))]
    pub(crate) fn of(texts: impl IntoIterator<Item = String>, password: Option<&str>) -> Self {
        let password = password.filter(|encoded| !encoded.is_empty());
        Self {
            texts: texts.into_iter().filter(|text| !text.is_empty()).collect(),
            password: password.map(|encoded| (decoded(encoded), encoded.to_owned())),
        }
    }

    /// Whether a text leads to the database.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let plain = decoded(text);
        self.texts.iter().any(|way| stands_in(way, text, |_| true)) || self.has_password(&plain)
    }

    /// As a word of its own; a short one only where a password would stand, for else it may mean anything.
    fn has_password(&self, text: &str) -> bool {
        let Some((password, _)) = &self.password else { return false };
        let is_long = password.len() >= SHORTEST;
        text == password
            || text.contains(&format!(":{password}@"))
            || stands_in(password, text, |before| is_long || before.ends_with(['=', ':']))
    }

    /// The password in each of its forms, where it is long enough to be looked for.
    pub(crate) fn passwords(&self) -> impl Iterator<Item = &str> {
        let forms = self.password.iter().flat_map(|(password, encoded)| [password, encoded]);
        forms.map(String::as_str).filter(|password| password.len() >= SHORTEST)
    }
}

/// Whether a part stands in a text by itself, not within a longer name or path, and behind such a beginning.
fn stands_in(part: &str, text: &str, behind: impl Fn(&str) -> bool) -> bool {
    let is_of_a_name = |character: char| character.is_alphanumeric() || "-_./".contains(character);
    text.match_indices(part).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + part.len()..]);
        !before.ends_with(is_of_a_name) && !after.starts_with(is_of_a_name) && behind(before)
    })
}

/// Shows nothing of it.
impl fmt::Debug for Access {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Access").finish_non_exhaustive()
    }
}

/// A text with its `%40` as `@`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let byte = match (first, tail) {
            (b'%', [high, low, ..]) => {
                let digits = [*high, *low];
                std::str::from_utf8(&digits).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok())
            }
            _ => None,
        };
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_file_and_password_are_found_wherever_they_stand() {
        let access = Access::of(["postgres://me:p%40ss-word@db/app".to_owned()], Some("p%40ss-word"));
        for way in [
            "postgres://me:p%40ss-word@db/app",
            "DB=postgres://me:p%40ss-word@db/app;x",
            "p@ss-word",
            "host=db password=p@ss-word",
            "mysql://other:p%40ss-word@elsewhere/x",
        ] {
            assert!(access.is_in(way), "{way}");
        }
        for harmless in ["", "postgres://me@db/app", "password", "/usr/bin:/bin"] {
            assert!(!access.is_in(harmless), "{harmless}");
        }
        let access = Access::of(["/srv/jobs".to_owned()], Some("postgres"));
        for harmless in [
            "/var/lib/postgres-home",
            "/bin:/usr/lib/postgresql/15/bin",
            "/var/lib/postgres/x",
            "/srv/jobs-home",
            "/mnt/srv/jobs",
            "/srv/jobs/x",
        ] {
            assert!(!access.is_in(harmless), "{harmless}");
        }
        for way in ["postgres", "user=x password=postgres", "/srv/jobs", "DB=/srv/jobs;"] {
            assert!(access.is_in(way), "{way}");
        }
        let access = Access::of([], Some("%40h%2Frse-word"));
        for way in ["x=%40h%2frse-word", "@h/rse-word", "://u:%40h%2frse-word@h"] {
            assert!(access.is_in(way), "{way}");
        }
    }

    #[test]
    fn a_short_password_is_found_where_it_is_one() {
        let access = Access::of([], Some("abc"));
        for way in
            ["abc", "postgres://me:abc@db/app", "Host=db;password=abc", "jdbc:x?user=u&password=abc&y=z"]
        {
            assert!(access.is_in(way), "{way}");
        }
        assert!(!access.is_in("/home/abc/bin"), "else hardly any variable would be left");
        assert!(!Access::of([String::new()], Some("")).is_in("anything"));
        assert!(!Access::default().is_in("anything"));
    }

    #[test]
    fn what_only_looks_encoded_stays() {
        for (text, expected) in [("a%20b", "a b"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%C3%A4", "\u{e4}")]
        {
            assert_eq!(decoded(text), expected);
        }
    }

    #[test]
    fn it_is_not_shown() {
        assert_eq!(format!("{:?}", Access::of(["x".to_owned()], Some("secret"))), "Access { .. }");
    }
}
