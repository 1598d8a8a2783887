//! `omnivenue schema`: the JSON Schemas of what goes in and comes out.

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Options;
use super::exit::{CommandError, Done};

/// `omnivenue schema`.
#[derive(Debug, Args)]
pub(crate) struct Schema {
    /// Of what
    #[arg(value_name = "NAME", value_parser = PossibleValuesParser::new(omnivenue::SCHEMAS))]
    name: String,
}

impl Schema {
    pub(crate) fn run(self, options: &Options) -> Result<Done, CommandError> {
        let schema = omnivenue::schema(&self.name).ok_or_else(|| CommandError::Usage(format!("there is no schema {}", self.name)))?;
        options.output().either(&schema, || format!("{schema:#}"))?;
        Ok(Done::Well)
    }
}
