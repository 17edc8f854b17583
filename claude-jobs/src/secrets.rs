//! [`Secrets`]: what must not get into a recording, nor into the log of a run.

use serde_json::Value;

use crate::outcome::{Outcome, Run};

/// What stands where a secret stood.
const HIDDEN: &str = "[secret]";

/// A variable with one of these among the words of its name holds a secret: `GIT_AUTHOR_NAME` does not.
const NAMES: &[&str] = &[
    "KEY",
    "KEYS",
    "APIKEY",
    "TOKEN",
    "TOKENS",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PGPASSWORD",
    "SSHPASS",
    "PAT",
    "PASSWD",
    "PASSPHRASE",
    "PASS",
    "CREDENTIAL",
    "CREDENTIALS",
    "AUTH",
];

/// Shorter values (`1`, `true`, `default`) would be found where they mean nothing.
const SHORTEST: usize = 8;

/// What keys and tokens of known makers begin with, and how long the rest is at least.
const FORMS: &[(&str, usize)] = &[
    ("sk-", 16),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghu_", 16),
    ("ghs_", 16),
    ("ghr_", 16),
    ("github_pat_", 16),
    ("glpat-", 16),
    ("xoxb-", 10),
    ("xoxp-", 10),
    ("AKIA", 16),
    ("AIza", 30),
    ("Bearer ", 8),
    ("bearer ", 8),
    // The beginning of `{"alg"` in a signed web token.
    ("eyJhbGciOi", 20),
];

/// What must not be kept of a run's output.
#[derive(Default)]
pub(crate) struct Secrets {
    /// The longest first: one may be part of another.
    values: Vec<String>,
    home: Option<String>,
}

impl Secrets {
    /// The secrets in the environment of this process, which that of a run begins with.
    pub(crate) fn of_this_process() -> Self {
        Self::of_this_process_and([])
    }

    /// And those among other variables.
    pub(crate) fn of_this_process_and(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let own = std::env::vars_os();
        let own = own.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::of(own.chain(variables))
    }

    pub(crate) fn of(environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut secrets = Self { values: Vec::new(), home: None };
        for (name, value) in environment {
            if name == "HOME" && value.len() > 1 {
                secrets.home = Some(value.trim_end_matches('/').to_owned());
                continue;
            }
            let name = name.to_ascii_uppercase();
            // `PWD` alone is the working folder.
            let says_so =
                |word: &str| NAMES.contains(&word) || (word == "PWD" && name.len() > "OLDPWD".len());
            if value.len() >= SHORTEST && name.split(['_', '-', '.']).any(says_so) {
                secrets.add(value);
            }
        }
        secrets
    }

    /// The same, but the folder of the user may be seen.
    pub(crate) fn without_home(self) -> Self {
        Self { home: None, ..self }
    }

    pub(crate) fn add(&mut self, secret: String) {
        if !secret.is_empty() {
            self.values.push(secret);
            self.values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        }
    }

    /// Takes them out of what claude has said: handlers, ledger and log get it without them.
    pub(crate) fn hide_in_run(&self, run: &mut Run) {
        let message = match &mut run.outcome {
            Outcome::Failure(failure) => Some(&mut failure.message),
            Outcome::Success => None,
        };
        let said = run.text.iter_mut().chain(message).chain(&mut run.last_events);
        for text in said.chain(&mut run.warnings).chain(&mut run.denials) {
            *text = self.hide(text);
        }
        run.structured.iter_mut().for_each(|answer| self.hide_in(answer));
    }

    /// Takes them out of every text in a JSON value, names of fields included.
    pub(crate) fn hide_in(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.hide(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide_in(item)),
            Value::Object(fields) => {
                let old = std::mem::take(fields);
                for (name, mut value) in old {
                    self.hide_in(&mut value);
                    fields.insert(self.hide(&name), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Takes them out of a text.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.values {
            text = hide_value(&text, value);
        }
        for (start, least) in FORMS {
            text = hide_form(&text, start, *least);
        }
        text = hide_passwords(&text);
        match &self.home {
            Some(home) => text.replace(home, "~"),
            None => text,
        }
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("Secrets").field(&self.values.len()).finish()
    }
}

/// Hides a value wherever it stands. One of letters only may be part of a longer word, and is hidden as a word.
fn hide_value(text: &str, value: &str) -> String {
    if !value.chars().all(char::is_alphabetic) {
        return text.replace(value, HIDDEN);
    }
    let mut safe = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in text.match_indices(value) {
        let end = at + value.len();
        let after = &text[end..];
        // The role, the password and the scheme of a URL may be one word.
        let is_part = text[..at].ends_with(char::is_alphanumeric)
            || after.starts_with(char::is_alphanumeric)
            || after.starts_with("://");
        safe.push_str(&text[done..at]);
        safe.push_str(if is_part { value } else { HIDDEN });
        done = end;
    }
    safe + &text[done..]
}

/// Hides each word that begins like this and goes on for long enough.
fn hide_form(text: &str, start: &str, least: usize) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(start) {
        let (before, found) = rest.split_at(at);
        let secret = &found[start.len()..];
        let end = secret.find(|character: char| !is_of_a_token(character)).unwrap_or(secret.len());
        let is_inside_a_word = before.chars().next_back().is_some_and(char::is_alphanumeric);
        safe.push_str(before);
        if end < least || is_inside_a_word {
            safe.push_str(start);
            rest = secret;
        } else {
            safe.push_str(HIDDEN);
            rest = &secret[end..];
        }
    }
    safe + rest
}

fn is_of_a_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "-_.~+/=".contains(character)
}

/// `scheme://user:password@host?password=word` becomes `scheme://user:[secret]@host?password=[secret]`.
pub(crate) fn hide_passwords(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        safe.push_str(before);
        let end = after
            .find(|character: char| character.is_whitespace() || "/\"'<>`".contains(character))
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@').and_then(|(login, host)| Some((login.split_once(':')?.0, host))) {
            Some((user, host)) => safe.push_str(&format!("{user}:{HIDDEN}@{host}")),
            None => safe.push_str(authority),
        }
        rest = tail;
    }
    hide_parameters(&(safe + rest))
}

/// The passwords among the parameters of URLs.
fn hide_parameters(text: &str) -> String {
    const NAME: &str = "password=";
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(NAME) {
        let (before, found) = rest.split_at(at + NAME.len());
        safe.push_str(before);
        let is_parameter = rest[..at].ends_with(['?', '&']);
        let ends = |character: char| character.is_whitespace() || "&;\"'<>`)".contains(character);
        let end = found.find(ends).unwrap_or(found.len());
        safe.push_str(if is_parameter && end > 0 { HIDDEN } else { &found[..end] });
        rest = &found[end..];
    }
    safe + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secrets() -> Secrets {
        let environment = [
            ("MY_API_KEY", "correct-horse-battery"),
            ("DEPLOY_TOKEN", "correct-horse"),
            ("CACHE_KEY", "default"),
            ("HOME", "/home/alice"),
            ("EDITOR", "something-long"),
            ("GIT_AUTHOR_NAME", "Ada Lovelace"),
            ("MONKEY_BARS", "in the garden"),
            ("PGPASSWORD", "postgres"),
            ("MYSQL_PWD", "mysqlsecret1"),
            ("PWD", "/work/of-others"),
            ("OLDPWD", "/work/of-others"),
        ];
        Secrets::of(environment.map(|(name, value)| (name.to_owned(), value.to_owned())))
    }

    #[test]
    fn what_is_secret_is_hidden_and_nothing_else() {
        let table = [
            ("the key is correct-horse-battery.", "the key is [secret]."),
            ("correct-horse", "[secret]"),
            ("the default is something-long", "the default is something-long"),
            ("Ada Lovelace in the garden", "Ada Lovelace in the garden"),
            ("cd /home/alice/repo", "cd ~/repo"),
            ("export ANTHROPIC_API_KEY=sk-ant-api03-AbCdEf_0123-456789", "export ANTHROPIC_API_KEY=[secret]"),
            ("ask-questions sk-short", "ask-questions sk-short"),
            ("risk-assessment-and-mitigation", "risk-assessment-and-mitigation"),
            ("token ghp_0123456789abcdefABCDEF0123456789abcd!", "token [secret]!"),
            ("Authorization: Bearer abc.def.ghi-123", "Authorization: [secret]"),
            ("postgres://bob:pa:ss@word@db:5432/jobs", "postgres://bob:[secret]@db:5432/jobs"),
            ("https://example.org/a@b:c", "https://example.org/a@b:c"),
            (
                "postgres://db/jobs?user=u&password=querypw1&x=y",
                "postgres://db/jobs?user=u&password=[secret]&x=y",
            ),
            ("set password=word in a file", "set password=word in a file"),
            ("install postgresql-client; the role postgres", "install postgresql-client; the role [secret]"),
            ("mysqlsecret1 in /work/of-others", "[secret] in /work/of-others"),
            ("Ünïcödé 🦀 ://🦀:x@y", "Ünïcödé 🦀 ://🦀:[secret]@y"),
        ];
        for (text, expected) in table {
            assert_eq!(secrets().hide(text), expected);
        }
    }

    #[test]
    fn it_is_hidden_wherever_it_stands() {
        let mut secrets = secrets();
        secrets.add("Project Nightingale".to_owned());
        secrets.add(String::new());
        let mut event = json!({
            "message": {"content": [{"input": {"command": "curl -H correct-horse-battery"}}]},
            "correct-horse": ["Project Nightingale is on", 3, null],
        });
        secrets.hide_in(&mut event);
        let expected = json!({
            "message": {"content": [{"input": {"command": "curl -H [secret]"}}]},
            "[secret]": ["[secret] is on", 3, null],
        });
        assert_eq!(event, expected);
    }

    #[test]
    fn it_does_not_show_what_it_hides() {
        assert_eq!(format!("{:?}", secrets()), "Secrets(4)");
    }
}
