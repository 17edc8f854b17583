//! Which account the CLI's credential belongs to, without telling the credential.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Variables that decide who pays.
const DECIDING: [&str; 9] = [
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_UNIX_SOCKET",
];

/// Those of them with which `auth status` knows too little: the credential is another program's affair.
const ELSEWHERE: [&str; 6] = [
    "ANTHROPIC_AUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CODE_USE_FOUNDRY",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_UNIX_SOCKET",
];

type Environment = BTreeMap<String, String>;

/// Sixteen digits for the account: by the credential's variables, else by the account that the CLI is logged in to,
/// else by machine and folder of its configuration.
pub(super) fn account(environment: &Environment) -> String {
    let mut parts: Vec<String> =
        DECIDING.iter().filter_map(|name| Some(format!("{name}={}", set(environment, name)?))).collect();
    let has_credential = parts.iter().any(|part| {
        !part.starts_with("ANTHROPIC_BASE_URL=") && !part.starts_with("ANTHROPIC_CUSTOM_HEADERS=")
    });
    if !has_credential {
        parts.push(logged_in(environment).unwrap_or_else(|| place(environment)));
    }
    let digest = Sha256::digest(parts.join("\n"));
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether the CLI itself knows whether it is logged in.
pub(super) fn is_checked_by_the_cli(environment: &Environment) -> bool {
    let is_elsewhere = ELSEWHERE.iter().any(|name| set(environment, name).is_some());
    let has_helper = configuration(environment)
        .and_then(|folder| std::fs::read_to_string(folder.join("settings.json")).ok())
        .is_some_and(|text| text.contains("\"apiKeyHelper\""));
    !is_elsewhere && !has_helper
}

fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// The account of the CLI's own login. The tokens change with each refresh, the account does not.
fn logged_in(environment: &Environment) -> Option<String> {
    let read = |path: PathBuf| serde_json::from_str::<Value>(&std::fs::read_to_string(path).ok()?).ok();
    let folder = set(environment, "CLAUDE_CONFIG_DIR").or_else(|| set(environment, "HOME"))?;
    let state = read(PathBuf::from(folder).join(".claude.json"))?;
    let id = |name: &str| state["oauthAccount"][name].as_str().map(str::to_owned);
    Some(format!("account {} {}", id("accountUuid")?, id("organizationUuid").unwrap_or_default()))
}

fn configuration(environment: &Environment) -> Option<PathBuf> {
    let own = set(environment, "CLAUDE_CONFIG_DIR").map(PathBuf::from);
    own.or_else(|| Some(PathBuf::from(set(environment, "HOME")?).join(".claude")))
}

fn place(environment: &Environment) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host} {}", configuration(environment).unwrap_or_default().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_same_credential_is_the_same_account_wherever_it_is_used() {
        let key = account(&environment(&[("ANTHROPIC_API_KEY", "sk-secret"), ("HOME", "/a")]));
        assert_eq!(key, account(&environment(&[("ANTHROPIC_API_KEY", "sk-secret"), ("HOME", "/b")])));
        assert_ne!(key, account(&environment(&[("ANTHROPIC_API_KEY", "sk-other")])));
        assert!(key.len() == 16 && !key.contains("secret"), "{key}");
        let home = |folder| account(&environment(&[("HOME", folder)]));
        assert_ne!(home("/nowhere/a"), home("/nowhere/b"));
    }

    #[test]
    fn a_login_is_told_by_its_account_and_not_by_its_tokens() {
        let named: Vec<_> = (0..2)
            .map(|number| {
                let home = tempfile::tempdir().expect("a folder");
                let state = format!(
                    r#"{{"oauthAccount":{{"accountUuid":"u","organizationUuid":"o"}},"n":{number}}}"#
                );
                std::fs::write(home.path().join(".claude.json"), state).expect("a file");
                account(&environment(&[("HOME", &home.path().display().to_string())]))
            })
            .collect();
        assert_eq!(named[0], named[1]);
    }

    #[test]
    fn logins_of_other_programs_are_not_asked_about() {
        assert!(is_checked_by_the_cli(&environment(&[("ANTHROPIC_API_KEY", "x")])));
        assert!(is_checked_by_the_cli(&environment(&[("CLAUDE_CODE_USE_BEDROCK", "")])), "empty is not set");
        assert!(!is_checked_by_the_cli(&environment(&[("CLAUDE_CODE_USE_BEDROCK", "1")])));
        let home = tempfile::tempdir().expect("a folder");
        std::fs::write(home.path().join("settings.json"), r#"{"apiKeyHelper": "vault"}"#).expect("a file");
        let folder = home.path().display().to_string();
        assert!(!is_checked_by_the_cli(&environment(&[("CLAUDE_CONFIG_DIR", &folder)])));
    }
}
