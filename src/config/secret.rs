//! Where secrets are kept.

use std::fmt;
use std::path::{Path, PathBuf};

use omnivenue_core::model::secret::Secret;
use serde::{Serialize, Serializer};

/// The most bytes a secret file may hold.
const LONGEST: u64 = 64 * 1024;

/// Where a secret is kept; the configuration holds this and never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// In an environment variable: `env:NAME`.
    Env(String),
    /// In a file: `file:PATH`; a line end after it is not part of it.
    File(PathBuf),
}

/// Why a secret cannot be had. Never holds the secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretError {
    /// The variable is not set, or not text.
    #[error("the environment variable {name} is not set")]
    NotSet {
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("the secret file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing in it, or far too much.
    #[error("{origin} holds no secret: it is {what}")]
    Unfit {
        /// Where it was looked for.
        origin: String,
        /// What was found.
        what: &'static str,
    },
}

impl SecretRef {
    /// Reads `env:NAME` or `file:PATH`; relative paths start at `base`.
    ///
    /// # Errors
    /// A sentence that says what fits. What was given is not repeated: it may be the secret itself.
    pub fn parse(text: &str, base: &Path) -> Result<Self, &'static str> {
        if let Some(name) = text.strip_prefix("env:") {
            let fits = !name.is_empty()
                && !name.starts_with(|c: char| c.is_ascii_digit())
                && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            return if fits {
                Ok(Self::Env(name.to_owned()))
            } else {
                Err("the name of a variable is made of A-Z, 0-9 and _, as in \"env:API_KEY\"")
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() {
                Err("a path follows, as in \"file:/run/secrets/api_key\"")
            } else {
                Ok(Self::File(base.join(path)))
            };
        }
        Err("plain-text secrets are refused, since configuration files are copied and committed: write \"env:NAME\" or \"file:PATH\"")
    }

    /// Fetches the secret.
    ///
    /// # Errors
    /// [`SecretError`] when there is none.
    pub fn read(&self) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| SecretError::NotSet { name: name.clone() })?,
            Self::File(path) => {
                let wrong = |source| SecretError::Unreadable { path: path.clone(), source };
                if std::fs::metadata(path).map_err(wrong)?.len() > LONGEST {
                    return Err(SecretError::Unfit { origin: self.to_string(), what: "too long" });
                }
                std::fs::read_to_string(path).map_err(wrong)?
            }
        };
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(SecretError::Unfit { origin: self.to_string(), what: "empty" });
        }
        Ok(Secret::new(text))
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_never_the_secret() {
        let base = Path::new("/etc/omnivenue");
        assert_eq!(SecretRef::parse("env:API_KEY", base).unwrap().to_string(), "env:API_KEY");
        assert_eq!(SecretRef::parse("file:key", base).unwrap().to_string(), "file:/etc/omnivenue/key");
        for wrong in ["hunter2", "env:", "env:sk-live-hunter2", "env:hunter2", "file:", ""] {
            let error = SecretRef::parse(wrong, base).unwrap_err();
            assert!(!error.contains("hunter2") && (error.contains("env:") || error.contains("file:")), "{error}");
        }
    }

    #[test]
    fn secrets_come_from_files_without_the_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        let read = |name: &str| SecretRef::parse(&format!("file:{name}"), dir.path()).unwrap().read();
        write("key", "hunter2\n");
        write("none", "\n");
        assert_eq!(read("key").unwrap().expose(), "hunter2");
        assert!(read("none").unwrap_err().to_string().contains("empty"));
        assert!(read("gone").unwrap_err().to_string().contains("cannot be read"));
        let unset = SecretRef::Env("OMNIVENUE_TEST_NEVER_SET".into()).read().unwrap_err();
        assert!(unset.to_string().contains("OMNIVENUE_TEST_NEVER_SET is not set"));
    }
}
