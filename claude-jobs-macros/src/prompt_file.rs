//! `prompt_file = "prompts/review.md"`: the template of the prompt in a file of the user's crate.
//!
//! The one place that reads a file: beneath the folder of the crate's `Cargo.toml`, and generated code
//! includes the same file, so that a change of it builds the crate anew.

use std::env;
use std::path::{Component, Path, PathBuf};

use proc_macro2::TokenStream;
use quote::quote;
use syn::LitStr;

/// The file that the attribute names, and what is in it.
pub(crate) struct PromptFile {
    pub(crate) path: LitStr,
    pub(crate) text: LitStr,
}

impl PromptFile {
    /// Reads the file.
    pub(crate) fn read(path: LitStr) -> syn::Result<Self> {
        match text(&path.value()) {
            Ok(text) => Ok(Self { text: LitStr::new(&text, path.span()), path }),
            Err(problem) => Err(syn::Error::new(path.span(), problem)),
        }
    }

    /// An item that makes the crate depend on the file.
    pub(crate) fn dependency(&self) -> TokenStream {
        let path = format!("/{}", self.path.value());
        quote! {
            const _: &[u8] = ::core::include_bytes!(::core::concat!(::core::env!("CARGO_MANIFEST_DIR"), #path));
        }
    }
}

fn text(path: &str) -> Result<String, String> {
    let is_relative =
        Path::new(path).components().all(|part| !matches!(part, Component::RootDir | Component::Prefix(_)));
    if path.trim().is_empty() || !is_relative {
        return Err(
            "`prompt_file` takes a path from the folder of `Cargo.toml`, such as `\"prompts/review.md\"`"
                .to_owned(),
        );
    }
    let folder = env::var_os("CARGO_MANIFEST_DIR")
        .ok_or("`prompt_file` needs the variable CARGO_MANIFEST_DIR, which cargo sets: build with cargo")?;
    let cannot = |reason: String| format!("cannot read `{path}` from the folder of `Cargo.toml`: {reason}");
    let bytes = std::fs::read(PathBuf::from(folder).join(path)).map_err(|error| cannot(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|_| cannot("it is not UTF-8".to_owned()))?;
    if text.trim().is_empty() {
        return Err(format!("`{path}` is empty: write the prompt into it"));
    }
    Ok(text)
}
