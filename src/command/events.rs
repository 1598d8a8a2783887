//! `omnivenue events`: the journal as it grows.

use clap::Args;
use omnivenue::control::Request;
use serde_json::Value;

use super::Options;
use super::backend::Backend;
use super::exit::{CommandError, Done};
use super::table::{WIDTH, clean, shown};

/// `omnivenue events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Only events after this number
    #[arg(long, default_value_t = 0, value_name = "N")]
    since: u64,
    /// Go on as events happen; needs a running engine
    #[arg(long)]
    follow: bool,
}

impl Events {
    pub(crate) async fn run(self, options: &Options) -> Result<Done, CommandError> {
        let (config, _) = options.load()?;
        let output = options.output();
        let mut written = Ok(());
        let request = Request::Events { since: self.since, follow: self.follow };
        let mut backend = Backend::reading(&config).await?;
        let streamed = backend
            .stream(request, |entry| {
                written = if output.json { output.line(&entry) } else { output.text(&one_line(&entry)) };
                written.is_ok()
            })
            .await;
        written?;
        streamed?;
        Ok(Done::Well)
    }
}

/// An entry on one line: number, time, kind, and as much of the rest as fits.
fn one_line(entry: &Value) -> String {
    if let Some(missed) = entry.get("missed") {
        let (from, to) = (shown(missed.get("from")), shown(missed.get("to")));
        return format!("{to:>6} entries {from} to {to} are no longer kept here; closed segments of the journal may have them");
    }
    let event = &entry["event"];
    let mut rest = event.clone();
    if let Some(fields) = rest.as_object_mut() {
        fields.remove("event");
    }
    let line = format!(
        "{:>6} {:<27} {:<14} {}",
        shown(entry.get("seq")),
        shown(entry.get("at")),
        shown(event.get("event")),
        clean(&rest.to_string())
    );
    if line.chars().count() <= usize::from(WIDTH) { line } else { line.chars().take(usize::from(WIDTH) - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_fits() {
        let entry =
            serde_json::json!({"seq": 7, "at": "2026-01-31T12:00:00.123456Z", "event": {"event": "halted", "why": "x".repeat(200)}});
        let line = one_line(&entry);
        assert_eq!(line.chars().count(), 100);
        assert!(line.starts_with("     7 2026-01-31T12:00:00.123456Z halted"), "{line}");
    }
}
