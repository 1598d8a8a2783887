//! What the tests share: a folder to work in, the command run in it, processes that are watched and killed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use omnivenue::engine::{Env, SystemEnv};
use omnivenue::model::execution::Execution;
use omnivenue::paper::Truth;
use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything awaited may take, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Microseconds since some fixed instant.
pub(crate) fn micros() -> u64 {
    SystemEnv.now().monotonic
}

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = micros() + u64::try_from(PATIENCE.as_micros()).unwrap();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(micros() < until, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The exit code.
    pub(crate) fn code(&self) -> i32 {
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self.status.code().unwrap_or_else(|| panic!("it was killed: {self:?}"))
    }

    /// Its output, if it did well.
    pub(crate) fn well(self) -> String {
        assert_eq!(self.code(), 0, "{self:?}");
        self.stdout
    }

    /// What it says on stderr, if it failed with this code and printed no answer.
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> String {
        assert_eq!(self.code(), code, "{self:?}");
        contains(&self.stderr, words);
        self.stderr
    }
}

/// Asserts that a text has all of these words in it.
pub(crate) fn contains(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "this:\n{text}\nshould contain: {word}");
    }
}

/// A folder of its own, in which commands run: empty, or with an `omnivenue.toml`. When the test fails it stays, to be looked at.
pub(crate) struct Home {
    folder: TempDir,
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("the files are in {}", self.folder.path().display());
        }
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn with_config(text: &str) -> Self {
        let home = Self::new();
        home.write("omnivenue.toml", text);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.file(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The command in this folder, with nothing of ours in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_omnivenue"));
        command.args(arguments);
        self.settle(command)
    }

    /// Any command as if it were ours.
    pub(crate) fn settle(&self, mut command: Command) -> Command {
        command.current_dir(self.path()).env_remove("OMNIVENUE_LOG").env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.finish(self.command(arguments))
    }

    pub(crate) fn finish(&self, mut command: Command) -> Ended {
        let output = command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).expect("what is printed is text");
        Ended { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs the command with `--json` to a good end.
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let text = self.run(&[arguments, &["--json"]].concat()).well();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Runs the command with `--json`, which must fail with this exit code; gives back `{"error": …}`'s content.
    pub(crate) fn json_error(&self, code: i32, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(ended.code(), code, "{ended:?}");
        let answer: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
        answer["error"].clone()
    }

    /// Runs a command that answers with an execution, whatever its exit code.
    pub(crate) fn execution(&self, arguments: &[&str]) -> Execution {
        let ended = self.run(&[arguments, &["--json"]].concat());
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// Starts the command and goes on.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(self.command(arguments))
    }

    /// What the built-in configuration's or this one's simulated exchange of a venue holds; `None` when it was never opened.
    pub(crate) fn truth(&self, venue: &str) -> Option<Truth> {
        self.truth_in(".omnivenue", venue)
    }

    pub(crate) fn truth_in(&self, data_dir: &str, venue: &str) -> Option<Truth> {
        let path = self.file(data_dir).join(format!("exchange-{venue}.db"));
        path.exists().then(|| Truth::read(&path).unwrap())
    }

    /// How many orders the exchange of a venue ever took.
    pub(crate) fn orders_at(&self, venue: &str) -> usize {
        self.truth(venue).map_or(0, |truth| truth.accounts.values().map(|account| account.orders.len()).sum())
    }

    /// Every file below the folder with its content, to see whether anything was created or changed.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                    found.insert(path, Vec::new());
                } else {
                    let content = std::fs::read(&path).unwrap_or_default();
                    found.insert(path, content);
                }
            }
        }
        found
    }
}

/// A command that runs in the background. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    lines: mpsc::Receiver<String>,
    stderr: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let printed = std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&stderr);
        let errors = BufReader::new(child.stderr.take().unwrap());
        let told = std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                let _ = writeln!(told.lock().unwrap_or_else(PoisonError::into_inner), "{line}");
            }
        });
        Self { child, lines, stderr, readers: vec![printed, told] }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The next line it prints; `None` when it will print no more.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("it printed nothing for {PATIENCE:?}:\n{}", self.stderr()),
        }
    }

    /// Lines that have been printed and not been looked at, without waiting.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Writes a line to its stdin, which must be piped.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{line}").unwrap();
        stdin.flush().unwrap();
    }

    /// Ends its input.
    pub(crate) fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has said on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Kills it, as a power cut would; says whether it was still running.
    pub(crate) fn kill(mut self) -> (bool, Vec<String>) {
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        self.settle();
        (status.signal() == Some(9), self.printed())
    }

    /// Asks it to stop, as a person at a terminal or a service manager would.
    pub(crate) fn terminate(self) -> Ended {
        let asked = Command::new("kill").args(["-TERM", &self.id().to_string()]).status().unwrap();
        assert!(asked.success());
        self.wait()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Ended {
        let status = eventually("the process ends", || self.child.try_wait().unwrap());
        self.settle();
        Ended { status, stdout: self.printed().join("\n"), stderr: self.stderr() }
    }

    /// Reads to the end what it has printed.
    fn settle(&mut self) {
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A signal as JSON, long at the market.
pub(crate) fn signal(id: &str, agent: &str, asset: &str, notional: &str) -> String {
    format!(r#"{{"id":"{id}","agent":"{agent}","asset":"{asset}","direction":"long","sizing":{{"notional":"{notional}"}}}}"#)
}

/// Whether the long versions are wanted.
pub(crate) fn full() -> bool {
    std::env::var_os("OMNIVENUE_FULL").is_some_and(|value| value == "1")
}

/// Runs a command to its end; what it said is shown when it fails.
pub(crate) fn run(command: &mut Command) -> String {
    let ended = command.output().unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&ended.stdout), text(&ended.stderr));
    assert!(ended.status.success(), "{command:?} ended with {}:\n{stdout}\n{stderr}", ended.status);
    stdout
}
