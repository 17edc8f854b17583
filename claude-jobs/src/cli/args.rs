//! `args`: the options a run would get, merged and checked. Nothing is run.

use super::exit::{Exit, Problem};
use super::flags::Layer;
use super::output;
use crate::error::Error;
use crate::options::Options;

/// Print the checked args as JSON; run nothing
#[derive(Debug, clap::Args)]
pub(super) struct ArgsCommand {
    #[command(flatten)]
    layer: Layer,
}

impl ArgsCommand {
    pub(super) fn execute(self) -> Result<Exit, Problem> {
        let options = Options::merge([&self.layer.read()?]).map_err(Error::from)?;
        output::print_json(&options.to_json())?;
        Ok(Exit::Complete)
    }
}
