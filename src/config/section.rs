//! Reading a table key by key, gathering every mistake instead of stopping at the first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::node::{Node, Value};

/// One mistake in a configuration: the key by its full path, what it got, what fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// The key, such as `deployment[0].limits.max_notional`.
    pub key: String,
    /// Its line, where the configuration came from a file.
    pub line: Option<usize>,
    /// What is wrong and what fits. Never a secret.
    pub problem: String,
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(line) = self.line {
            write!(f, " (line {line})")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Where mistakes are gathered, and what was asked for where the form itself is wanted.
#[derive(Debug, Default)]
pub(super) struct Issues {
    found: RefCell<Vec<Issue>>,
    asked: Option<RefCell<Vec<Asked>>>,
}

/// A key that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The table, such as `deployment[].limits`; `*` stands for a free key.
    pub(super) table: String,
    /// The key.
    pub(super) key: String,
    /// What fits.
    pub(super) form: Form,
}

/// What fits at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Text, with what it must be.
    Text(String),
    /// One of these words.
    Choice(Vec<&'static str>),
    /// An exact number, written as text.
    Number,
    /// A whole number.
    Count(String),
    /// True or false.
    Flag,
    /// A table.
    Table,
    /// A table whose keys are free.
    Free,
    /// A list of text, with what each must be.
    Texts(String),
    /// A list of tables.
    Tables,
    /// It must be there.
    Required,
}

impl Issues {
    /// Gathers what is asked for too. Tables that are absent are then read as empty ones, so that their keys are asked for.
    pub(super) fn recording() -> Self {
        Self { found: RefCell::default(), asked: Some(RefCell::default()) }
    }

    pub(super) fn add(&self, key: impl Into<String>, line: Option<usize>, problem: impl Into<String>) {
        self.found.borrow_mut().push(Issue { key: key.into(), line, problem: problem.into() });
    }

    /// Everything that was asked for, in the order in which it was.
    pub(super) fn into_asked(self) -> Vec<Asked> {
        self.asked.map(RefCell::into_inner).unwrap_or_default()
    }

    /// All of them, in the order of their lines.
    pub(super) fn into_vec(self) -> Vec<Issue> {
        let mut issues = self.found.into_inner();
        issues.sort_by_key(|issue| issue.line.unwrap_or(usize::MAX));
        issues
    }
}

/// The closest of `known` to what was written, if one is close enough to be meant.
pub(super) fn closest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4 && *distance < name.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `; did you mean …?`, or nothing.
pub(super) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    closest(written, known).map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// A table being read. Every key asked for is known; [`Section::finish`] reports the others.
pub(super) struct Section<'a> {
    path: String,
    line: Option<usize>,
    table: &'a BTreeMap<String, Node>,
    issues: &'a Issues,
    known: RefCell<Vec<&'static str>>,
    failed: Cell<bool>,
}

impl<'a> Section<'a> {
    pub(super) fn new(path: impl Into<String>, line: Option<usize>, table: &'a BTreeMap<String, Node>, issues: &'a Issues) -> Self {
        Self { path: path.into(), line, table, issues, known: RefCell::default(), failed: Cell::new(false) }
    }

    /// The full path of one of its keys.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    pub(super) fn line(&self, key: &str) -> Option<usize> {
        self.table.get(key).map_or(self.line, |node| node.line)
    }

    /// Reports a mistake at one of its keys.
    pub(super) fn issue(&self, key: &str, problem: impl Into<String>) {
        self.failed.set(true);
        self.issues.add(self.path(key), self.line(key), problem);
    }

    /// Whether nothing read so far was wrong.
    pub(super) fn is_sound(&self) -> bool {
        !self.failed.get()
    }

    fn node(&self, key: &'static str, form: impl FnOnce() -> Form) -> Option<&'a Node> {
        self.known.borrow_mut().push(key);
        self.record(key, form);
        self.table.get(key)
    }

    fn record(&self, key: &str, form: impl FnOnce() -> Form) {
        if let Some(asked) = &self.issues.asked {
            asked.borrow_mut().push(Asked { table: self.path.replace("[0]", "[]"), key: key.to_owned(), form: form() });
        }
    }

    /// An empty table in the place of one that is absent, where the form itself is wanted.
    fn stand_in(&self, path: String) -> Option<Self> {
        static EMPTY: BTreeMap<String, Node> = BTreeMap::new();
        self.issues.asked.as_ref().map(|_| Section::new(path, None, &EMPTY, self.issues))
    }

    fn wrong_kind(&self, key: &str, value: &Value, fits: &str) {
        self.issue(key, format!("got {}, but must be {fits}", value.shown()));
    }

    /// Optional text.
    pub(super) fn text(&self, key: &'static str, fits: &str) -> Option<&'a str> {
        match &self.node(key, || Form::Text(fits.to_owned()))?.value {
            Value::Text(text) => Some(text),
            other => {
                self.wrong_kind(key, other, fits);
                None
            }
        }
    }

    /// Text that may be a secret by mistake: what was given is never shown.
    pub(super) fn guarded_text(&self, key: &'static str) -> Option<&'a str> {
        match &self.node(key, || Form::Text("\"env:NAME\" or \"file:PATH\"".into()))?.value {
            Value::Text(text) => Some(text),
            other => {
                self.issue(key, format!("got {} (not shown), but must be \"env:NAME\" or \"file:PATH\"", other.kind()));
                None
            }
        }
    }

    /// Optional text that reads as a `T`.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, key: &'static str, fits: &str) -> Option<T> {
        let text = self.text(key, fits)?;
        self.keep(key, text.parse())
    }

    /// Required text that reads as a `T`.
    pub(super) fn required<T: FromStr<Err: fmt::Display>>(&self, key: &'static str, fits: &str) -> Option<T> {
        self.record(key, || Form::Required);
        if !self.table.contains_key(key) {
            self.issue(key, format!("is missing: give {fits}"));
        }
        self.parsed(key, fits)
    }

    /// Optional exact number, written as text: numbers of TOML and JSON are refused with what to write.
    pub(super) fn number<T: FromStr<Err: fmt::Display>>(&self, key: &'static str, example: &str) -> Option<T> {
        self.exact(key, &self.node(key, || Form::Number)?.value, example)
    }

    /// Optional count.
    pub(super) fn count<T: FromStr>(&self, key: &'static str, fits: &str) -> Option<T> {
        match &self.node(key, || Form::Count(fits.to_owned()))?.value {
            Value::Whole(text) => {
                let count = text.replace('_', "").parse().ok();
                if count.is_none() {
                    self.issue(key, format!("got {text}, but must be {fits}"));
                }
                count
            }
            other => {
                self.wrong_kind(key, other, fits);
                None
            }
        }
    }

    /// Optional flag.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        match &self.node(key, || Form::Flag)?.value {
            Value::Flag(flag) => Some(*flag),
            other => {
                self.wrong_kind(key, other, "true or false");
                None
            }
        }
    }

    /// Optional choice among words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let words = || choices.iter().map(|(word, _)| *word);
        let all = words().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        self.known.borrow_mut().push(key);
        self.record(key, || Form::Choice(words().collect()));
        let text = match &self.table.get(key)?.value {
            Value::Text(text) => text.as_str(),
            other => {
                self.wrong_kind(key, other, &format!("one of {all}"));
                return None;
            }
        };
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if chosen.is_none() {
            self.issue(
                key,
                format!("got {}, but must be one of {all}{}", Value::Text(text.to_owned()).shown(), did_you_mean(text, words())),
            );
        }
        chosen
    }

    /// Whether a key is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether a key is text, where it may be a word or a table.
    pub(super) fn is_text(&self, key: &'static str) -> bool {
        self.table.get(key).is_some_and(|node| matches!(node.value, Value::Text(_)))
    }

    /// Optional table.
    pub(super) fn section(&self, key: &'static str) -> Option<Section<'a>> {
        let Some(node) = self.node(key, || Form::Table) else { return self.stand_in(self.path(key)) };
        match &node.value {
            Value::Table(table) => Some(Section::new(self.path(key), node.line, table, self.issues)),
            other => {
                self.wrong_kind(key, other, "a table");
                None
            }
        }
    }

    /// Optional table whose keys are free: each with its value.
    pub(super) fn entries(&self, key: &'static str) -> impl Iterator<Item = (&'a str, Section<'a>)> {
        let entries: Option<(&'a Node, &'a BTreeMap<String, Node>)> = self.node(key, || Form::Free).and_then(|node| match &node.value {
            Value::Table(table) => Some((node, table)),
            other => {
                self.wrong_kind(key, other, "a table");
                None
            }
        });
        let path = self.path(key);
        let issues = self.issues;
        entries
            .into_iter()
            .flat_map(|(node, table)| table.keys().map(move |name| (name.as_str(), node, table)))
            .map(move |(name, node, table)| (name, Section::new(path.clone(), node.line, table, issues)))
            .chain(self.stand_in(self.path(key)).map(|section| ("*", section)))
    }

    /// The value of a free key of [`Section::entries`], as text or as an exact number.
    pub(super) fn free_text(&self, name: &str) -> Option<&'a str> {
        self.record("*", || Form::Text("text".into()));
        match &self.table.get(name)?.value {
            Value::Text(text) => Some(text),
            Value::Whole(_) | Value::Float(_) => {
                self.issue(name, "got a number (not shown), but must be text in quotes");
                None
            }
            other => {
                self.issue(name, format!("got {}, but must be text", other.kind()));
                None
            }
        }
    }

    /// The value of a free key of [`Section::entries`], as an exact number.
    pub(super) fn free_number<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Option<T> {
        self.record("*", || Form::Number);
        self.exact(name, &self.table.get(name)?.value, "1")
    }

    fn exact<T: FromStr<Err: fmt::Display>>(&self, key: &str, value: &Value, example: &str) -> Option<T> {
        match value {
            Value::Text(text) => self.keep(key, text.parse()),
            Value::Whole(text) | Value::Float(text) => {
                self.issue(
                    key,
                    format!("got the number {text}, but exact numbers are written as text so that no digit is lost: write \"{text}\""),
                );
                None
            }
            other => {
                self.wrong_kind(key, other, &format!("an exact number written as text, such as \"{example}\""));
                None
            }
        }
    }

    /// Optional list of text.
    pub(super) fn texts<T: FromStr<Err: fmt::Display>>(&self, key: &'static str, fits: &str) -> Option<Vec<T>> {
        let items = self.list(key, fits, || Form::Texts(fits.to_owned()))?;
        let mut all = Vec::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            match &item.value {
                Value::Text(text) => all.extend(self.keep_at(key, Some(place), item.line, text.parse())),
                other => {
                    self.failed.set(true);
                    self.issues.add(
                        format!("{}[{place}]", self.path(key)),
                        item.line,
                        format!("got {}, but must be {fits}", other.shown()),
                    );
                }
            }
        }
        Some(all)
    }

    /// Optional list of tables; an item that is no table is reported and left out.
    pub(super) fn sections(&self, key: &'static str, fits: &str) -> Vec<Section<'a>> {
        let items = self.list(key, fits, || Form::Tables).unwrap_or_default();
        let stand_in = if items.is_empty() { self.stand_in(format!("{}[0]", self.path(key))) } else { None };
        items
            .iter()
            .enumerate()
            .filter_map(|(place, item)| {
                let path = format!("{}[{place}]", self.path(key));
                match &item.value {
                    Value::Table(table) => Some(Section::new(path, item.line, table, self.issues)),
                    other => {
                        self.failed.set(true);
                        self.issues.add(path, item.line, format!("got {}, but must be {fits}", other.shown()));
                        None
                    }
                }
            })
            .chain(stand_in)
            .collect()
    }

    fn list(&self, key: &'static str, fits: &str, form: impl FnOnce() -> Form) -> Option<&'a [Node]> {
        match &self.node(key, form)?.value {
            Value::List(items) => Some(items),
            other => {
                self.wrong_kind(key, other, &format!("a list: {fits}"));
                None
            }
        }
    }

    /// The value, or its error as a mistake at `key`.
    pub(super) fn keep<T, E: fmt::Display>(&self, key: &str, result: Result<T, E>) -> Option<T> {
        self.keep_at(key, None, self.line(key), result)
    }

    fn keep_at<T, E: fmt::Display>(&self, key: &str, place: Option<usize>, line: Option<usize>, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed.set(true);
                let place = place.map(|place| format!("[{place}]")).unwrap_or_default();
                self.issues.add(format!("{}{place}", self.path(key)), line, error.to_string());
                None
            }
        }
    }

    /// Reports the keys that nothing asked for. Their values are not shown: a misspelt key may hold a secret.
    pub(super) fn finish(&self) {
        let known = self.known.borrow();
        for (key, node) in self.table {
            if !known.contains(&key.as_str()) {
                let hint = did_you_mean(key, known.iter().copied());
                let hint = if hint.is_empty() { format!("; the keys are {}", known.join(", ")) } else { hint };
                self.failed.set(true);
                self.issues.add(self.path(key), node.line, format!("is not a key of {}{hint}", self.name()));
            }
        }
    }

    fn name(&self) -> String {
        if self.path.is_empty() { "the configuration".into() } else { self.path.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestions_are_close_or_absent() {
        let known = ["max_notional", "max_order_notional", "id"];
        let check = |written: &str, expected: Option<&str>| assert_eq!(closest(written, known), expected, "{written}");
        check("max_notinal", Some("max_notional"));
        check("MAX_NOTIONAL", Some("max_notional"));
        check("maxnotional", Some("max_notional"));
        check("colour", None);
        check("ie", Some("id"));
        check("xy", None);
    }
}
