//! A worker for a crate that is there.

use std::path::{Path, PathBuf};

use super::files::Files;
use super::manifest::{Manifest, Source};
use super::{add_worker_without_state, shown};
use crate::cli::exit::Problem;

/// What is added to the crate in this folder.
pub(super) fn files(folder: &Path, source: &Source) -> Result<Files, Problem> {
    let mut files = Files::default();
    let (path, before, after) = Manifest::read(folder)?.with_dependencies(source)?;
    files.change(path, before, after);
    let (path, is_library) = root(folder)?;
    let before = std::fs::read_to_string(&path)
        .map_err(|error| Problem::usage(format!("cannot read `{}`: {error}", shown(&path))))?;
    if declares_workers(&before) || folder.join("src/workers/mod.rs").exists() {
        return Err(Problem::usage(format!(
            "`{}` has a module `workers` already; nothing was written: rename that module",
            shown(&path)
        )));
    }
    let after = with_module(&before, if is_library { "pub mod workers;" } else { "mod workers;" });
    files.change(path, before, after);
    add_worker_without_state(&mut files, folder);
    Ok(files)
}

/// The file that the crate begins with, and whether that is a library's.
fn root(folder: &Path) -> Result<(PathBuf, bool), Problem> {
    let of = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
    let library = of("src/lib.rs").map(|path| (path, true));
    library.or_else(|| of("src/main.rs").map(|path| (path, false))).ok_or_else(|| {
        Problem::usage(format!(
            "`{}` has neither `src/lib.rs` nor `src/main.rs`: give the folder of a crate that has one",
            shown(folder)
        ))
    })
}

fn declares_workers(text: &str) -> bool {
    text.lines().any(|line| {
        let words: Vec<&str> =
            line.split(|character: char| !(character.is_alphanumeric() || character == '_')).collect();
        words.windows(2).any(|pair| pair == ["mod", "workers"])
    })
}

/// The text with this declaration before its first item: below the file's own documentation and attributes,
/// above what belongs to the item.
fn with_module(text: &str, declaration: &str) -> String {
    let (mut at, mut place) = (0, 0);
    let mut open = 0_i32;
    for line in text.split_inclusive('\n') {
        let begin = line.trim_start();
        at += line.len();
        let is_inner = open > 0 || begin.starts_with("//!") || begin.starts_with("#!");
        if is_inner {
            // An attribute may go over several lines.
            if !begin.starts_with("//") {
                open += brackets(line);
            }
            place = at;
        } else if begin.is_empty() {
            place = at;
        } else if !begin.starts_with("//") || begin.starts_with("///") {
            break;
        }
    }
    let (above, below) = text.split_at(place);
    let blank_above = if above.is_empty() || above.ends_with("\n\n") {
        ""
    } else if above.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    let blank_below = if below.is_empty() || is_module(below) { "" } else { "\n" };
    format!("{above}{blank_above}{declaration}\n{blank_below}{below}")
}

fn is_module(text: &str) -> bool {
    text.starts_with("mod ") || text.starts_with("pub mod ")
}

fn brackets(line: &str) -> i32 {
    line.chars()
        .map(|character| match character {
            '[' => 1,
            ']' => -1,
            _ => 0,
        })
        .sum()
}

/// What to do next.
pub(super) fn next(folder: &Path) -> String {
    format!(
        "next:\n  cd {}\n  cargo test workers\nto run jobs, let your program call `claude_jobs::cli::main()` (`main_with` where \
         handlers take state), or start a `claude_jobs::Runtime` in it\n",
        shown(folder)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_goes_before_the_first_item() {
        let cases = [
            ("", "mod workers;\n"),
            ("fn main() {}\n", "mod workers;\n\nfn main() {}\n"),
            ("//! A program.\n\nfn main() {}\n", "//! A program.\n\nmod workers;\n\nfn main() {}\n"),
            ("//! A program.\nfn main() {}\n", "//! A program.\n\nmod workers;\n\nfn main() {}\n"),
            ("//! A program.", "//! A program.\n\nmod workers;\n"),
            (
                "// Mine.\n\n/// Begins.\nfn main() {}\n",
                "// Mine.\n\nmod workers;\n\n/// Begins.\nfn main() {}\n",
            ),
            ("// Begins.\nfn main() {}\n", "mod workers;\n\n// Begins.\nfn main() {}\n"),
            (
                "#![warn(\n    clippy::all,\n)]\n\nmod a;\n",
                "#![warn(\n    clippy::all,\n)]\n\nmod workers;\nmod a;\n",
            ),
            // What cannot be made out gets it at its end, where it is as good.
            ("#![doc = \"[\"]\nuse a;\n", "#![doc = \"[\"]\nuse a;\n\nmod workers;\n"),
        ];
        for (before, after) in cases {
            assert_eq!(with_module(before, "mod workers;"), after);
        }
    }

    #[test]
    fn a_module_of_that_name_is_found() {
        for text in ["mod workers;", "pub(crate) mod workers {", "  pub mod workers ;"] {
            assert!(declares_workers(text), "{text}");
        }
        for text in ["mod workers_of_mine;", "// workers", "use workers::a;"] {
            assert!(!declares_workers(text), "{text}");
        }
    }
}
