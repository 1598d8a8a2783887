//! Paths of sockets, which the operating system wants short.

use std::fs::File;
use std::path::{Path, PathBuf};

/// The longest path a Unix socket may have, in bytes.
pub(super) const PATH_MAX: usize = 107;

/// A way to a socket that is short enough, for as long as this value lives.
#[derive(Debug)]
pub(super) struct Address {
    path: PathBuf,
    _folder: Option<File>,
}

impl Address {
    /// The path itself, or where the system offers it, a short way through an open handle of its folder. `None` when it is too long.
    pub(super) fn of(path: &Path) -> Option<Self> {
        if path.as_os_str().len() <= PATH_MAX {
            return Some(Self { path: path.to_owned(), _folder: None });
        }
        Self::through_folder(path)
    }

    #[cfg(target_os = "linux")]
    fn through_folder(path: &Path) -> Option<Self> {
        use std::os::fd::AsRawFd;
        let folder = File::open(path.parent()?).ok()?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(path.file_name()?);
        (short.as_os_str().len() <= PATH_MAX).then_some(Self { path: short, _folder: Some(folder) })
    }

    #[cfg(not(target_os = "linux"))]
    fn through_folder(_: &Path) -> Option<Self> {
        None
    }

    /// The way.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}
