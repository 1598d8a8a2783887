//! Log files of an engine: one of everything, and on request one for each agent with what concerns it.
//!
//! Nothing that logs waits for a disk: a line goes into a bounded queue, a thread of its own writes it, and what finds no room is counted and
//! said in the file. Files are rotated by their length and only so many are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use omnivenue::config::{Config, LogConfig, LogLevel};
use omnivenue_core::engine::{Env, SystemEnv, note_dropped_log_lines};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Lines that may wait for the disk.
const QUEUE: usize = 8_192;
/// Files that are open at once.
const OPEN_MAX: usize = 64;
/// How long what was written may wait until it is handed to the system.
const IDLE: Duration = Duration::from_millis(200);

/// How long the end of the program waits for what is still to be written.
const LAST_PATIENCE: Duration = Duration::from_secs(1);

/// One line, and the agent it concerns.
struct Line {
    text: String,
    agent: Option<String>,
}

/// What waits for a writing thread.
enum Said<T> {
    Line(T),
    /// Answered once everything before it is written.
    Flush(SyncSender<()>),
}

/// What must be written before the program ends.
#[derive(Clone, Default)]
pub(crate) struct Last {
    stderr: Option<SyncSender<Said<Vec<u8>>>>,
    files: Option<SyncSender<Said<Line>>>,
}

impl Last {
    /// Waits until what was told is written, or for a second: whoever holds up stderr does not hold up the end.
    pub(crate) fn written(self) {
        fn ask<T>(queue: Option<SyncSender<Said<T>>>) -> Option<Receiver<()>> {
            let (answer, asked) = sync_channel(1);
            queue?.try_send(Said::Flush(answer)).ok().map(|()| asked)
        }
        let (stderr, files) = (ask(self.stderr), ask(self.files));
        for asked in stderr.into_iter().chain(files) {
            let _ = asked.recv_timeout(LAST_PATIENCE);
        }
    }
}

/// Stderr behind a queue: a terminal that is stopped or a pipe that nobody reads costs lines, never time of who tells them.
#[derive(Clone)]
pub(crate) struct Stderr {
    lines: SyncSender<Said<Vec<u8>>>,
    dropped: Arc<AtomicU64>,
}

/// One line on its way to [`Stderr`].
pub(crate) struct StderrLine<'a> {
    text: Vec<u8>,
    to: &'a Stderr,
}

impl Stderr {
    /// Begins to write.
    ///
    /// # Errors
    /// When there is no thread for it.
    pub(crate) fn start() -> io::Result<Self> {
        let (lines, queue) = sync_channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        let named = std::thread::Builder::new().name("omnivenue-stderr".into());
        named.spawn(move || write_all(&queue, &counted, &mut io::stderr()))?;
        Ok(Self { lines, dropped })
    }
}

/// Writes whatever comes, and says what was dropped meanwhile.
fn write_all(queue: &Receiver<Said<Vec<u8>>>, dropped: &AtomicU64, to: &mut dyn io::Write) {
    let mut told = 0;
    for said in queue {
        match said {
            Said::Line(text) => drop(to.write_all(&text)),
            Said::Flush(answer) => drop(answer.try_send(())),
        }
        let now = dropped.load(Ordering::Relaxed);
        if now > told {
            let _ = writeln!(to, "omnivenue: {} log lines were dropped here: nobody took them", now - told);
            told = now;
        }
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = StderrLine<'a>;

    fn make_writer(&'a self) -> StderrLine<'a> {
        StderrLine { text: Vec::new(), to: self }
    }
}

impl io::Write for StderrLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for StderrLine<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() && self.to.lines.try_send(Said::Line(std::mem::take(&mut self.text))).is_err() {
            self.to.dropped.fetch_add(1, Ordering::Relaxed);
            note_dropped_log_lines(1);
        }
    }
}

/// What is to be waited for at the end.
pub(crate) fn last(stderr: &Stderr, files: Option<&LogFiles>) -> Last {
    Last { stderr: Some(stderr.lines.clone()), files: files.map(|files| files.lines.clone()) }
}

/// Turns what is told into lines for the files.
pub(crate) struct LogFiles {
    lines: SyncSender<Said<Line>>,
    /// The agents that have a file.
    agents: BTreeSet<String>,
    dropped: Arc<AtomicU64>,
}

/// How much a configuration wants written.
pub(crate) fn filter(config: &LogConfig) -> LevelFilter {
    match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

impl LogFiles {
    /// Begins to write, if the configuration asks for files.
    ///
    /// # Errors
    /// When the folder or the first file cannot be made.
    pub(crate) fn start(config: &Config) -> io::Result<Option<Self>> {
        let Some(log) = &config.log else { return Ok(None) };
        let agents = if log.per_agent { config.agents.iter().map(|agent| agent.id.to_string()).collect() } else { BTreeSet::new() };
        Self::begin(log, agents, QUEUE).map(Some)
    }

    fn begin(log: &LogConfig, agents: BTreeSet<String>, room: usize) -> io::Result<Self> {
        if !log.dir.is_dir() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&log.dir)?;
        }
        let mut writer = Writer::new(log.clone());
        writer.file(None)?;
        let (lines, queue) = sync_channel(room);
        let dropped = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&dropped);
        std::thread::Builder::new().name("omnivenue-log".into()).spawn(move || writer.run(&queue, &counted))?;
        Ok(Self { lines, agents, dropped })
    }

    fn write(&self, line: Line) {
        if self.lines.try_send(Said::Line(line)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            note_dropped_log_lines(1);
        }
    }
}

/// The agent that a span is of.
struct OfAgent(String);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogFiles {
    fn on_new_span(&self, attributes: &tracing::span::Attributes<'_>, id: &tracing::span::Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let (Some(agent), Some(span)) = (fields.agent, context.span(id)) {
            span.extensions_mut().insert(OfAgent(agent));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let of_span = || {
            let scope = context.event_scope(event)?;
            scope.into_iter().find_map(|span| span.extensions().get::<OfAgent>().map(|agent| agent.0.clone()))
        };
        let agent = fields.agent.or_else(of_span).filter(|agent| self.agents.contains(agent));
        let metadata = event.metadata();
        let text = format!("{} {:>5} {}:{}{}\n", SystemEnv.now().wall, metadata.level(), metadata.target(), fields.message, fields.others);
        self.write(Line { text, agent });
    }
}

/// The fields of an event, as text on one line.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
    agent: Option<String>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: &str) {
        // One event is one line, whatever a venue said.
        let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match field.name() {
            "message" => self.message = format!(" {value}"),
            name => {
                if name == "agent" {
                    self.agent = Some(value.clone());
                }
                let quoted = value.contains(' ') || value.is_empty();
                let written = if quoted { write!(self.others, " {name}={value:?}") } else { write!(self.others, " {name}={value}") };
                written.expect("writing to a string cannot fail");
            }
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.take(field, &format!("{value:?}"));
    }
}

/// The thread's side.
struct Writer {
    config: LogConfig,
    files: BTreeMap<Option<String>, Open>,
    failing: bool,
}

struct Open {
    file: io::BufWriter<File>,
    length: u64,
}

impl Writer {
    fn new(config: LogConfig) -> Self {
        Self { config, files: BTreeMap::new(), failing: false }
    }

    fn run(mut self, queue: &Receiver<Said<Line>>, dropped: &AtomicU64) {
        let mut told = 0;
        loop {
            match queue.recv_timeout(IDLE) {
                Ok(said) => {
                    self.said(said);
                    // Whatever waits beside it, before it is handed to the system once.
                    queue.try_iter().take(QUEUE).for_each(|said| self.said(said));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = dropped.load(Ordering::Relaxed);
            if now > told {
                let text =
                    format!("{}  WARN omnivenue: {} lines were dropped here: the disk was too slow\n", SystemEnv.now().wall, now - told);
                self.take(&Line { text, agent: None });
                told = now;
            }
            self.files.values_mut().for_each(|open| drop(open.file.flush()));
        }
    }

    fn said(&mut self, said: Said<Line>) {
        match said {
            Said::Line(line) => self.take(&line),
            Said::Flush(answer) => {
                self.files.values_mut().for_each(|open| drop(open.file.flush()));
                let _ = answer.try_send(());
            }
        }
    }

    fn take(&mut self, line: &Line) {
        let written = self.append(None, &line.text).and_then(|()| match &line.agent {
            Some(agent) => self.append(Some(agent.clone()), &line.text),
            None => Ok(()),
        });
        if let Err(error) = &written
            && !self.failing
        {
            eprintln!("omnivenue: the log files cannot be written: {error}");
        }
        self.failing = written.is_err();
    }

    fn append(&mut self, agent: Option<String>, text: &str) -> io::Result<()> {
        let (max, length) = (self.config.max_bytes, u64::try_from(text.len()).unwrap_or(u64::MAX));
        let open = self.file(agent.clone())?;
        if open.length > 0 && open.length.saturating_add(length) > max {
            open.file.flush()?;
            self.files.remove(&agent);
            rotate(&self.path(agent.as_deref()), self.config.keep)?;
        }
        let open = self.file(agent)?;
        open.length += length;
        open.file.write_all(text.as_bytes())
    }

    fn path(&self, agent: Option<&str>) -> PathBuf {
        self.config.dir.join(match agent {
            None => "omnivenue.log".to_owned(),
            Some(agent) => format!("agent-{}.log", file_name(agent)),
        })
    }

    /// The file of an agent, or of everything.
    fn file(&mut self, agent: Option<String>) -> io::Result<&mut Open> {
        if !self.files.contains_key(&agent) {
            if self.files.len() >= OPEN_MAX {
                self.files.values_mut().try_for_each(|open| open.file.flush())?;
                self.files.clear();
            }
            let path = self.path(agent.as_deref());
            let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
            let length = file.metadata()?.len();
            self.files.insert(agent.clone(), Open { file: io::BufWriter::new(file), length });
        }
        Ok(self.files.get_mut(&agent).expect("it was inserted if it was not there"))
    }
}

/// An agent's name as part of a file's: what a file's name may not hold is spelled as its number, so that no two names meet.
fn file_name(agent: &str) -> String {
    agent.bytes().fold(String::new(), |mut name, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => name.push(char::from(byte)),
            other => write!(name, "%{other:02x}").expect("writing to a string cannot fail"),
        }
        name
    })
}

/// Makes room for a new file: the latest becomes `.1`, that one `.2`, and what is beyond `keep` goes.
fn rotate(path: &Path, keep: u32) -> io::Result<()> {
    let numbered = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    if keep == 0 {
        return gone(std::fs::remove_file(path));
    }
    for number in (1..keep).rev() {
        gone(std::fs::rename(numbered(number), numbered(number + 1)))?;
    }
    gone(std::fs::rename(path, numbered(1)))
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn config(dir: &Path, max_bytes: u64) -> LogConfig {
        LogConfig { dir: dir.to_owned(), per_agent: true, level: LogLevel::Info, max_bytes, keep: 2 }
    }

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
    }

    fn eventually(holds: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if holds() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it never came");
    }

    #[test]
    fn what_concerns_an_agent_is_in_its_file_and_in_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let agents = ["a/b", "c"].map(str::to_owned).into();
        let files = LogFiles::begin(&config(folder.path(), 1_000_000), agents, QUEUE).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(files), || {
            tracing::info!(agent = %"a/b", signal_id = "s 1", "one\nline");
            tracing::info_span!("agent", agent = "c").in_scope(|| tracing::info!("of its span"));
            tracing::info!(agent = "stranger", "of nobody we know");
            tracing::info!("of nobody");
        });
        let all = folder.path().join("omnivenue.log");
        eventually(|| text(&all).lines().count() == 4);
        let one = text(&folder.path().join("agent-a%2fb.log"));
        assert!(one.ends_with(" one line agent=a/b signal_id=\"s 1\"\n") && one.lines().count() == 1, "{one}");
        assert!(text(&folder.path().join("agent-c.log")).ends_with("of its span\n"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn files_are_rotated_and_only_so_many_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(config(folder.path(), 4_096));
        for number in 0..1_000 {
            writer.take(&Line { text: format!("{number:0100}\n"), agent: Some("a".into()) });
        }
        writer.files.clear();
        for name in ["omnivenue.log", "agent-a.log"] {
            let path = folder.path().join(name);
            let parts = [2, 1].map(|number| text(&folder.path().join(format!("{name}.{number}"))));
            assert!(text(&path).ends_with("999\n") && parts.iter().all(|part| part.len() <= 4_096 && !part.is_empty()));
            let first: u64 = text(&path).lines().next().unwrap().parse().unwrap();
            assert_eq!(parts[1].lines().last().unwrap().parse(), Ok(first - 1), "nothing is lost between two files");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 6);
    }

    #[test]
    fn a_terminal_that_is_stopped_holds_up_nobody() {
        let (lines, queue) = sync_channel(2);
        let stderr = Stderr { lines, dropped: Arc::default() };
        for number in 0..5 {
            let mut line = stderr.make_writer();
            writeln!(line, "line {number}").unwrap();
        }
        let last = last(&stderr, None);
        let (dropped, mut shown) = (Arc::clone(&stderr.dropped), Vec::new());
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
        last.written();
        drop(stderr);
        write_all(&queue, &dropped, &mut shown);
        let text = String::from_utf8(shown).unwrap();
        assert!(text.starts_with("line 0\n") && text.contains("3 log lines were dropped here") && text.ends_with("line 1\n"), "{text}");
    }

    #[test]
    fn a_disk_that_does_not_keep_up_costs_lines_and_not_time() {
        let (lines, queue) = sync_channel(2);
        let files = LogFiles { lines, agents: BTreeSet::new(), dropped: Arc::default() };
        for _ in 0..10 {
            files.write(Line { text: "x\n".into(), agent: None });
        }
        assert_eq!((files.dropped.load(Ordering::Relaxed), queue.try_iter().count()), (8, 2));
        // Written once there is time again, and said in the file.
        let folder = tempfile::tempdir().unwrap();
        let dropped = Arc::clone(&files.dropped);
        files.write(Line { text: "y\n".into(), agent: None });
        drop(files);
        let mut writer = Writer::new(config(folder.path(), 1_000_000));
        writer.file(None).unwrap();
        writer.run(&queue, &dropped);
        let text = text(&folder.path().join("omnivenue.log"));
        assert!(text.starts_with("y\n") && text.contains("8 lines were dropped here"), "{text}");
    }
}
