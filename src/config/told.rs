//! What an engine tells of itself: log files, numbers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::section::Section;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// What must be looked at.
    Error,
    /// And what is not as it should be.
    Warn,
    /// And what is decided.
    #[default]
    Info,
    /// And each step of an order.
    Debug,
    /// And everything.
    Trace,
}

/// Files that an engine writes its log to, beside stderr.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogConfig {
    /// The folder they are in.
    pub dir: PathBuf,
    /// Whether what concerns an agent is also in a file of its own.
    pub per_agent: bool,
    /// How much is written.
    pub level: LogLevel,
    /// How long a file gets before the next is begun, in bytes.
    pub max_bytes: u64,
    /// How many files are kept of each, beside the one that is written.
    pub keep: u32,
}

/// Where numbers are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MetricsConfig {
    /// The address and port that answer `GET /metrics`, for Prometheus.
    pub listen: SocketAddr,
}

const LEVELS: [(&str, LogLevel); 5] = [
    ("error", LogLevel::Error),
    ("warn", LogLevel::Warn),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

/// The shortest that a log file may be.
const MAX_BYTES_MIN: u64 = 4_096;

pub(super) fn log(section: &Section<'_>, base: &Path) -> Option<LogConfig> {
    let dir = section.text("dir", "a path").map(|path| base.join(path));
    let per_agent = section.flag("per_agent").unwrap_or_default();
    let level = section.choice("level", &LEVELS).unwrap_or_default();
    let max_bytes = section.count("max_bytes", "a whole number of bytes").unwrap_or(10 * 1024 * 1024);
    if max_bytes < MAX_BYTES_MIN {
        section.issue("max_bytes", format!("got {max_bytes}, but must be {MAX_BYTES_MIN} or more"));
    }
    let keep = section.count("keep", "a whole number, 0 to 1000").unwrap_or(5);
    if keep > 1000 {
        section.issue("keep", format!("got {keep}, but must be 0 to 1000"));
    }
    if dir.is_none() {
        section.issue("dir", "is missing: give the folder that the log files go to");
    }
    section.finish();
    Some(LogConfig { dir: dir?, per_agent, level, max_bytes, keep })
}

pub(super) fn metrics(section: &Section<'_>) -> Option<MetricsConfig> {
    let text = section.required::<String>("listen", "an address and a port in quotes, such as \"127.0.0.1:9464\"");
    let listen = text.and_then(|text| match text.parse() {
        Ok(listen) => Some(listen),
        Err(_) => {
            section.issue("listen", format!("got \"{text}\", but must be an address and a port, such as \"127.0.0.1:9464\""));
            None
        }
    });
    section.finish();
    Some(MetricsConfig { listen: listen? })
}
