//! Answers as tables for people: at most [`WIDTH`] columns wide. Numbers are the engine's own; where one is cut to fit, `…` says so.

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle};
use serde_json::Value;

/// The widest table, in columns.
pub(crate) const WIDTH: u16 = 100;

const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));

/// One column: its title, the key of its value (or several, which stand side by side), and what it holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    key: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Money,
    Moment,
    Id,
}

/// A column of text.
pub(crate) const fn text(title: &'static str, key: &'static str) -> Column {
    Column { title, key, kind: Kind::Text }
}

/// A column of numbers.
pub(crate) const fn number(title: &'static str, key: &'static str) -> Column {
    Column { title, key, kind: Kind::Number }
}

/// A column of money: two decimals; `…` says that there are more, which `--json` has.
pub(crate) const fn money(title: &'static str, key: &'static str) -> Column {
    Column { title, key, kind: Kind::Money }
}

/// A column of times, to the second.
pub(crate) const fn moment(title: &'static str, key: &'static str) -> Column {
    Column { title, key, kind: Kind::Moment }
}

/// A column of names that are copied: never wrapped.
pub(crate) const fn id(title: &'static str, key: &'static str) -> Column {
    Column { title, key, kind: Kind::Id }
}

impl Column {
    /// Its title.
    pub(crate) const fn title(self) -> &'static str {
        self.title
    }

    /// Whether no row has anything but zero in it.
    pub(crate) fn is_idle<'a>(self, mut rows: impl Iterator<Item = &'a Value>) -> bool {
        rows.all(|row| matches!(self.cell(row).as_str(), "-" | "0"))
    }

    fn cell(self, row: &Value) -> String {
        let all: Vec<String> = self.key.split(' ').map(|key| shown(row.get(key))).collect();
        let cell = all.join(" ");
        match (self.kind, cell.split_once('.')) {
            (Kind::Moment, Some((seconds, _))) => format!("{seconds}Z"),
            (Kind::Money, Some((whole, decimals))) if decimals.len() > 2 && decimals.is_char_boundary(2) => {
                format!("{whole}.{}…", &decimals[..2])
            }
            (Kind::Number, Some((whole, decimals))) if decimals.len() > 8 && decimals.is_char_boundary(8) => {
                format!("{whole}.{}…", &decimals[..8])
            }
            _ => cell,
        }
    }
}

/// A value as it stands in a cell; `-` when it is not known.
pub(crate) fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "-".to_owned(),
        Some(Value::String(text)) => clean(text),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => items.iter().map(|item| shown(Some(item))).collect::<Vec<_>>().join(", "),
        Some(Value::Object(fields)) => match (fields.get("amount"), fields.get("asset")) {
            (Some(amount), Some(asset)) => format!("{} {}", shown(Some(amount)), shown(Some(asset))),
            _ => fields.iter().map(|(key, value)| format!("{} {}", clean(key), shown(Some(value)))).collect::<Vec<_>>().join(", "),
        },
        Some(other) => other.to_string(),
    }
}

/// Text without characters that would steer a terminal: some of it comes from venues.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Rows of objects as a table; `nothing` when there are none.
pub(crate) fn table<'a>(rows: impl IntoIterator<Item = &'a Value>, columns: &[Column], nothing: &str) -> String {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic).set_width(WIDTH);
    table.set_header(columns.iter().map(|column| column.title));
    table.add_rows(rows.into_iter().map(|row| columns.iter().map(|column| column.cell(row)).collect::<Vec<_>>()));
    if table.is_empty() {
        return nothing.to_owned();
    }
    // Closer together where it would not fit otherwise; what does not fit even so is wrapped, never cut.
    let content: usize = table.column_max_content_widths().into_iter().map(usize::from).sum();
    let gap = if content + 2 * columns.len() <= usize::from(WIDTH) { 2 } else { 1 };
    for (place, column) in columns.iter().enumerate() {
        if let Some(drawn) = table.column_mut(place) {
            drawn.set_cell_alignment(if matches!(column.kind, Kind::Number | Kind::Money) {
                CellAlignment::Right
            } else {
                CellAlignment::Left
            });
            drawn.set_padding((0, gap));
            if matches!(column.kind, Kind::Id | Kind::Moment) {
                drawn.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A sentence in lines of at most [`WIDTH`] columns, broken at spaces; further lines are indented.
pub(crate) fn wrapped(sentence: &str) -> String {
    let mut lines = String::new();
    let mut used = 0;
    for word in sentence.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > usize::from(WIDTH) {
            lines.push_str("\n  ");
            used = 2;
        } else if used > 0 {
            lines.push(' ');
            used += 1;
        }
        lines.push_str(word);
        used += length;
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[
        text("account", "account"),
        text("instrument", "instrument"),
        text("state", "state"),
        number("quantity", "quantity"),
        number("price", "average_price"),
        text("fees", "fees"),
        text("reason", "reason"),
    ];

    fn widest(text: &str) -> usize {
        text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    #[test]
    fn tables_fit_and_lose_no_digit() {
        let rows = [
            json!({"account": "an-account-with-a-rather-long-name-in-it", "instrument": "HYPE", "state": "working", "quantity": "12345678.123456789012",
                "average_price": "38.123456789012", "fees": [{"asset": "USDC", "amount": "0.171555"}, {"asset": "HYPE", "amount": "0.1"}],
                "reason": "a long sentence from the venue that says at length why it did not like what it was asked to do"}),
            json!({"account": "a", "instrument": null, "state": "planned"}),
        ];
        let table = table(&rows, COLUMNS, "nothing");
        assert!(widest(&table) <= usize::from(WIDTH), "{table}");
        let flat: String = table.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
        assert!(flat.contains("12345678.") && flat.contains("38.12345"), "{table}");
        assert!(table.lines().last().is_some() && table.contains(" - "), "{table}");
    }

    #[test]
    fn sentences_are_broken_at_spaces() {
        let sentence = "word ".repeat(60);
        let lines = wrapped(sentence.trim());
        assert!(widest(&lines) <= usize::from(WIDTH) && lines.contains("\n  word"), "{lines}");
        assert_eq!(lines.split_whitespace().count(), 60);
        assert_eq!(wrapped("short"), "short");
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let check = |value: Value, expected: &str| assert_eq!(shown(Some(&value)), expected);
        assert_eq!(shown(None), "-");
        check(json!(null), "-");
        check(json!([]), "-");
        check(json!("0"), "0");
        check(json!("-0.10"), "-0.10");
        check(json!([{"asset": "USDC", "amount": "0.1"}]), "0.1 USDC");
        check(json!("a\u{1b}[31mred\n"), "a\u{fffd}[31mred\u{fffd}");
        assert_eq!(table(&[], COLUMNS, "no positions"), "no positions");
        assert_eq!(moment("at", "at").cell(&json!({"at": "2026-01-31T12:00:00.5Z"})), "2026-01-31T12:00:00Z");
        assert_eq!(text("order", "side quantity").cell(&json!({"side": "buy", "quantity": "1.50"})), "buy 1.50");
    }
}
