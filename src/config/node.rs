//! A configuration as it was written: values that keep their spelling and their line.
//!
//! Numbers stay text, so that what is shown back is what was given and no digit passes through a float.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// A value and the line it stands on, where it came from a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) line: Option<usize>,
    pub(crate) value: Value,
}

/// A value by its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Whole(String),
    Float(String),
    Flag(bool),
    Moment(String),
    Null,
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

/// Text that is not TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) message: String,
}

impl Value {
    /// The kind of value, for people.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Whole(_) => "a whole number",
            Self::Float(_) => "a floating-point number",
            Self::Flag(_) => "true or false",
            Self::Moment(_) => "a date",
            Self::Null => "null",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// The value as it can be shown back: short, one line.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Text(text) => format!("\"{}\"", text.chars().take(48).flat_map(char::escape_debug).collect::<String>()),
            Self::Whole(text) | Self::Float(text) | Self::Moment(text) => text.chars().take(48).collect(),
            Self::Flag(flag) => flag.to_string(),
            Self::Null | Self::List(_) | Self::Table(_) => self.kind().to_owned(),
        }
    }
}

/// Turns byte offsets into lines and columns, both from 1.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.0.get(..offset.min(self.0.len())).unwrap_or(self.0);
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        (before.matches('\n').count() + 1, before[start..].chars().count() + 1)
    }

    fn table(&self, table: &DeTable<'_>) -> BTreeMap<String, Node> {
        table
            .iter()
            .map(|(key, value)| {
                let line = self.place(key.span().start).0;
                (key.get_ref().to_string(), Node { line: Some(line), value: self.value(value.get_ref()) })
            })
            .collect()
    }

    fn value(&self, value: &DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(number) if number.radix() == 10 => Value::Whole(number.as_str().to_owned()),
            DeValue::Integer(number) => Value::Whole(number.to_string()),
            DeValue::Float(number) => Value::Float(number.as_str().to_owned()),
            DeValue::Boolean(flag) => Value::Flag(*flag),
            DeValue::Datetime(moment) => Value::Moment(moment.to_string()),
            DeValue::Array(items) => Value::List(
                items.iter().map(|item| Node { line: Some(self.place(item.span().start).0), value: self.value(item.get_ref()) }).collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table)),
        }
    }
}

/// Reads TOML. Its parser's own report would repeat the offending line, which may hold a secret: only the place and the reason are kept.
pub(crate) fn from_toml(text: &str) -> Result<BTreeMap<String, Node>, Syntax> {
    let lines = Lines(text);
    match DeTable::parse(text) {
        Ok(table) => Ok(lines.table(table.get_ref())),
        Err(error) => {
            let (line, column) = lines.place(error.span().map_or(0, |span| span.start));
            Err(Syntax { line, column, message: error.message().to_owned() })
        }
    }
}

impl From<&serde_json::Value> for Node {
    fn from(json: &serde_json::Value) -> Self {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(flag) => Value::Flag(*flag),
            serde_json::Value::Number(number) if number.is_f64() => Value::Float(number.to_string()),
            serde_json::Value::Number(number) => Value::Whole(number.to_string()),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => Value::List(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(fields) => Value::Table(fields.iter().map(|(key, value)| (key.clone(), Self::from(value))).collect()),
        };
        Self { line: None, value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_spelling_and_values_their_line() {
        let table = from_toml("a = 0.10000000000000000000001\n\n[b]\nc = 5000\n[[d]]\ne = { f = \"x\" }\n").unwrap();
        assert_eq!(table["a"], Node { line: Some(1), value: Value::Float("0.10000000000000000000001".into()) });
        let Value::Table(b) = &table["b"].value else { panic!("a table") };
        assert_eq!(b["c"], Node { line: Some(4), value: Value::Whole("5000".into()) });
        let Value::List(d) = &table["d"].value else { panic!("a list") };
        assert_eq!(d[0].line, Some(5));
    }

    #[test]
    fn syntax_errors_tell_the_place_and_repeat_nothing() {
        let error = from_toml("a = 1\nchain_key = hunter2\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(!error.message.contains("hunter2"), "{}", error.message);
    }
}
