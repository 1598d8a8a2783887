//! Where a configuration came from, to read it again.

use std::path::{Path, PathBuf};

use super::{Config, ConfigError, FILE_NAME};

/// Where a configuration was read from. No part of what it says: two that say the same are equal.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    file: Option<PathBuf>,
    /// Where everything is kept although the file says otherwise.
    data_dir: Option<PathBuf>,
}

impl PartialEq for Origin {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Origin {}

impl Origin {
    pub(super) fn of(file: &Path) -> Self {
        Self { file: Some(file.to_owned()), data_dir: None }
    }
}

impl Config {
    /// The same file, as it is now; a data directory that was given beside it stays.
    ///
    /// # Errors
    /// [`ConfigError`] with every mistake, or when it was not read from a file.
    pub fn read_again(&self) -> Result<Self, ConfigError> {
        let unreadable = || ConfigError::Unreadable {
            path: PathBuf::from(FILE_NAME),
            source: std::io::Error::other("the engine was started without a configuration file"),
        };
        let again = Self::load(self.origin.file.as_deref().ok_or_else(unreadable)?)?;
        Ok(match &self.origin.data_dir {
            Some(given) => again.with_data_dir(given),
            None => again,
        })
    }

    /// The same, with everything kept elsewhere.
    #[must_use]
    pub fn with_data_dir(self, data_dir: &Path) -> Self {
        let origin = Origin { data_dir: Some(data_dir.to_owned()), ..self.origin };
        Self { data_dir: data_dir.to_owned(), origin, ..self }
    }
}
