//! Paths and files: where a journal may live and how its files come to be.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use omnivenue_core::journal::StoreError;

use crate::error;

/// Only the owner reads and writes what we create.
pub(crate) const PRIVATE: u32 = 0o600;

/// The one absolute name of a file that exists or is to be created: symbolic links are followed, the folder must exist.
pub(crate) fn resolve(path: &Path) -> Result<PathBuf, StoreError> {
    match path.canonicalize() {
        Ok(resolved) => return Ok(resolved),
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(error::io(path, "find", &e)),
    }
    if path.is_symlink() {
        return Err(StoreError::Io(format!("{} is a symbolic link to nothing; remove it or create what it names", path.display())));
    }
    let name = path.file_name().ok_or_else(|| StoreError::Io(format!("`{}` does not name a file", path.display())))?;
    let folder = folder(path);
    let folder = folder.canonicalize().map_err(|e| error::io(folder, "find the folder", &e))?;
    Ok(folder.join(name))
}

/// The folder a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file beside another: its name and an ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    PathBuf::from(name)
}

/// Where the views of a journal are: `trading.views.db` beside `trading.journal`.
pub(crate) fn views_of(journal: &Path) -> PathBuf {
    let mut name = journal.file_stem().unwrap_or_default().to_os_string();
    name.push(".views.db");
    journal.with_file_name(name)
}

/// Creates an empty private file, durably; it must not exist.
pub(crate) fn create(path: &Path) -> Result<(), StoreError> {
    let created = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path);
    created.map_err(|e| error::io(path, "create", &e))?;
    sync_folder(path)
}

/// Makes the names in a file's folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = folder(path);
    File::open(folder).and_then(|dir| dir.sync_all()).map_err(|e| error::io(folder, "flush the folder", &e))
}

/// Whether the file exists; refuses what cannot hold a journal. Looks without opening: closing a descriptor of our own would drop
/// the locks SQLite holds on the file.
pub(crate) fn exists_fit(path: &Path) -> Result<bool, StoreError> {
    let meta = match std::fs::metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(error::io(path, "look at", &e)),
    };
    if !meta.is_file() {
        return Err(StoreError::Incompatible(format!("{} is not a file; name a file for the journal", path.display())));
    }
    if meta.nlink() > 1 {
        return Err(StoreError::Incompatible(format!(
            "{} has {} names (hard links), and SQLite destroys a database that is used under two; keep one name and make copies with `omnivenue journal backup`",
            path.display(),
            meta.nlink()
        )));
    }
    Ok(true)
}

/// What a journal takes on disk, with its write-ahead log.
pub(crate) fn bytes(path: &Path) -> Result<u64, StoreError> {
    let length = |path: &Path| match std::fs::metadata(path) {
        Ok(meta) => Ok(meta.len()),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(0),
        Err(e) => Err(error::io(path, "look at", &e)),
    };
    Ok(length(path)? + length(&beside(path, "-wal"))?)
}

/// Refuses file systems on which locks and flushes are not to be relied on.
pub(crate) fn refuse_network(path: &Path) -> Result<(), StoreError> {
    let folder = folder(path);
    let stat = rustix::fs::statfs(folder).map_err(|e| error::io(folder, "look at the file system of", &e.into()))?;
    match network(&stat) {
        None => Ok(()),
        Some(kind) => Err(StoreError::Incompatible(format!(
            "{} is on {kind}, where locks and flushes cannot be relied on; keep the journal on a disk of this machine",
            path.display()
        ))),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn network(stat: &rustix::fs::StatFs) -> Option<&'static str> {
    network_name(i128::from(stat.f_type) & 0xFFFF_FFFF)
}

#[cfg(any(target_os = "macos", target_os = "ios"))]
fn network(stat: &rustix::fs::StatFs) -> Option<&'static str> {
    const MNT_LOCAL: u32 = 0x1000;
    (stat.f_flags & MNT_LOCAL == 0).then_some("a network file system")
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "macos", target_os = "ios")))]
fn network(_: &rustix::fs::StatFs) -> Option<&'static str> {
    None
}

/// Source: `linux/magic.h` and the file systems' own headers, statfs(2). FUSE is allowed: most of what it serves is local.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
fn network_name(magic: i128) -> Option<&'static str> {
    match magic {
        0x6969 => Some("NFS"),
        0xFF53_4D42 | 0x517B | 0xFE53_4D42 => Some("SMB"),
        0x0102_1997 => Some("9P"),
        0x5346_414F | 0x6B41_4653 => Some("AFS"),
        0x7375_7245 => Some("Coda"),
        0x00C3_6400 => Some("Ceph"),
        _ => None,
    }
}

/// The file as a URI that SQLite opens without locks and without creating anything: for files nobody writes.
pub(crate) fn immutable_uri(path: &Path) -> String {
    use std::fmt::Write as _;
    let mut uri = String::from("file://");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => uri.push(char::from(*byte)),
            _ => write!(uri, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        let check = |magic, expected: Option<&str>| assert_eq!(network_name(magic), expected);
        check(0x6969, Some("NFS"));
        check(0xFE53_4D42, Some("SMB"));
        check(0xFF53_4D42, Some("SMB"));
        check(0x517B, Some("SMB"));
        check(0xEF53, None); // ext4
        check(0x0102_1994, None); // tmpfs
        check(0x6573_5546, None); // FUSE
        assert!(refuse_network(&std::env::temp_dir().join("j")).is_ok());
    }

    #[test]
    fn names_beside_a_journal() {
        let check = |path: &str, views: &str| assert_eq!(views_of(Path::new(path)), Path::new(views));
        check("/a/trading.journal", "/a/trading.views.db");
        check("/a/trading", "/a/trading.views.db");
        assert_eq!(beside(Path::new("/a/t.j"), "-wal"), Path::new("/a/t.j-wal"));
        assert_eq!(immutable_uri(Path::new("/a b/ü?#%.db")), "file:///a%20b/%C3%BC%3F%23%25.db?immutable=1");
    }
}
