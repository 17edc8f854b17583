//! The options of one job: the worker's templates filled with the job's values, all layers merged, the
//! whole checked. The same at insert and, because rows may be old or written by hand, at each claim.

use crate::definition::Definition;
use crate::options::{ArgMap, InvalidArgs, MAX_PROMPT_BYTES, Options};
use crate::untrusted::Values;

/// What a job's options are merged from, lowest first: defaults < worker < job < pinned.
pub(crate) struct Layers<'a> {
    defaults: Option<&'a ArgMap>,
    worker: ArgMap,
    job: &'a ArgMap,
    pinned: ArgMap,
}

impl<'a> Layers<'a> {
    /// The layers of a job of this worker with these values.
    pub(crate) fn new(definition: &Definition, values: &Values, job: &'a ArgMap) -> Self {
        let [worker, pinned] =
            [definition.args, definition.pinned_args].map(|args| args.filled(values.texts()));
        Self { defaults: None, worker, job, pinned }
    }

    /// Puts the runtime's own layer beneath them.
    pub(crate) fn over(self, defaults: &'a ArgMap) -> Self {
        Self { defaults: Some(defaults), ..self }
    }

    /// The value of an option as it will stand, if a layer sets it.
    pub(crate) fn get(&self, name: &str) -> Option<&serde_json::Value> {
        self.pinned.get(name).or_else(|| self.job.get(name)).or_else(|| self.worker.get(name))
    }

    /// The merged options.
    ///
    /// # Errors
    ///
    /// Every mistake at once, as [`Options::merge`]; or that outside text would reach a run that can write.
    pub(crate) fn merge(&self, definition: &Definition, values: &Values) -> Result<Options, InvalidArgs> {
        let layers = self.defaults.into_iter().chain([&self.worker, self.job, &self.pinned]);
        let mut options = Options::merge(layers)?;
        if values.is_fenced()
            && !definition.allow_untrusted_writes
            && let Some(problem) = options.untrusted_problem()
        {
            return Err(InvalidArgs::one(problem));
        }
        if let Some(output) = &definition.output {
            options.json_schema = Some(output.json_schema(self.job)?.to_owned());
        }
        options.is_untrusted = values.is_fenced();
        if let Some(prompt) = &mut options.prompt {
            prompt.push_str(values.appended());
            if prompt.len() > MAX_PROMPT_BYTES {
                return Err(InvalidArgs::one(format!(
                    "the prompt is {} bytes long with its fences; claude takes {MAX_PROMPT_BYTES}",
                    prompt.len()
                )));
            }
        }
        Ok(options)
    }
}
