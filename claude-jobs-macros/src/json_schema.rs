//! A literal `json_schema = "…"` is judged while the attribute is read: by the check that the runtime makes too, and
//! with the place in the schema, which no const expression could say.

use proc_macro2::Ident;
use syn::{Expr, ExprLit, Lit};

use crate::problems::Problems;

/// Whether a literal of this option is a schema that claude takes; where it is none, the option counts as
/// given and is left out.
pub(crate) fn literal_is_valid(key: &Ident, value: &Expr, problems: &mut Problems) -> bool {
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = value else { return true };
    if key != "json_schema" {
        return true;
    }
    let mistakes = claude_jobs_json_schema::problems(&text.value());
    for mistake in &mistakes {
        problems.at(text, format!("`json_schema`: {mistake}"));
    }
    mistakes.is_empty()
}
