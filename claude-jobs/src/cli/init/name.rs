//! The name of a new crate.

/// Words that no crate, or no program, can be called.
const TAKEN: &[&str] = &[
    // Cargo's own folders and the crates that come with Rust.
    "alloc",
    "build",
    "core",
    "deps",
    "examples",
    "incremental",
    "proc-macro",
    "proc_macro",
    "std",
    "test",
    // What the new crate depends on.
    "claude-jobs",
    "claude_jobs",
    "tokio",
    // Rust's keywords.
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    // Names of devices: no folder can be called so everywhere.
    "aux",
    "con",
    "nul",
    "prn",
];

/// The longest name.
const MOST: usize = 64;

/// A name that cargo, systemd and docker take, and that leads out of no folder.
pub(super) fn checked(name: &str) -> Result<String, String> {
    let is_allowed = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "-_".contains(character)
    };
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) || !name.chars().all(is_allowed) {
        return Err("a crate's name is a lower-case letter, then lower-case letters, digits, `_` and `-`, \
                    such as `my_app`"
            .to_owned());
    }
    if name.len() > MOST {
        return Err(format!("it has {} characters: give a name of at most {MOST}", name.len()));
    }
    if TAKEN.contains(&name) {
        return Err("that name is taken by Rust, by cargo or by a dependency: give another one".to_owned());
    }
    Ok(name.to_owned())
}
