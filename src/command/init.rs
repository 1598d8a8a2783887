//! `omnivenue init`: a configuration to begin with.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use omnivenue::config::{FILE_NAME, TEMPLATE};

use super::Options;
use super::exit::{CommandError, Done};

/// `omnivenue init`.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Where to write it [default: ./omnivenue.toml, or the file of --config]
    #[arg(value_name = "FILE")]
    path: Option<PathBuf>,
}

impl Init {
    pub(crate) fn run(self, options: &Options) -> Result<Done, CommandError> {
        let path = self.path.as_deref().or(options.config.as_deref()).unwrap_or(Path::new(FILE_NAME));
        let template = with_data_dir(options.data_dir.as_deref())?;
        let written = std::fs::File::create_new(path).and_then(|mut file| file.write_all(template.as_bytes()));
        match written {
            Ok(()) => {
                let answer = serde_json::json!({ "written": path });
                options.output().either(&answer, || {
                    format!(
                        "wrote {}: two paper venues, one agent; try `omnivenue signal --asset HYPE --long --notional 500`",
                        path.display()
                    )
                })?;
                Ok(Done::Well)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                Err(CommandError::Usage(format!("{} exists already and is left as it is; name another file or remove it", path.display())))
            }
            Err(error) => Err(CommandError::failed(format!("{} cannot be written: {error}", path.display()))),
        }
    }
}

/// The template, with another data directory if one is given.
fn with_data_dir(data_dir: Option<&Path>) -> Result<String, CommandError> {
    let Some(data_dir) = data_dir else { return Ok(TEMPLATE.to_owned()) };
    let text = data_dir.to_str().filter(|text| !text.contains(['\'', '\n'])).ok_or_else(|| {
        CommandError::Usage(format!(
            "--data-dir {} cannot be written into a configuration; leave it out and edit data_dir",
            data_dir.display()
        ))
    })?;
    Ok(TEMPLATE.replacen("data_dir = \".omnivenue\"", &format!("data_dir = '{text}'"), 1))
}

#[cfg(test)]
mod tests {
    use omnivenue::config::Config;

    use super::*;

    #[test]
    fn it_writes_once_and_what_it_writes_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("omnivenue.toml");
        let options = Options { config: Some(path.clone()), data_dir: Some("data here".into()), json: true };
        assert_eq!(Init { path: None }.run(&options).unwrap(), Done::Well);
        let config = Config::load(&path).unwrap();
        assert_eq!(config.data_dir, dir.path().join("data here"));
        let error = Init { path: None }.run(&options).unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}
