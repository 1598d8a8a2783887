//! The JSON Schemas of the surface, made from the types themselves.

/// The names of the schemas.
pub const SCHEMAS: [&str; 5] = ["signal", "execution", "event", "close", "config"];

/// The JSON Schema (draft 2020-12) of one part of the surface, by its name in [`SCHEMAS`]; `None` for others.
///
/// A schema says which fields there are, of which kind, and which words fit. It cannot say what depends on the configuration or on several
/// fields at once: that is checked when something comes in, with a sentence that names what was wrong.
///
/// ```
/// let signal = omnivenue::schema("signal").unwrap();
/// assert_eq!(signal["properties"]["direction"]["$ref"], "#/$defs/Direction");
/// assert!(omnivenue::schema("tweet").is_none());
/// ```
#[must_use]
pub fn schema(name: &str) -> Option<serde_json::Value> {
    match name {
        "config" => Some(crate::config::schema()),
        other => omnivenue_core::model::schema::schema(other),
    }
}
