//! The form of a configuration as a JSON Schema, taken from the reader itself: what it asks for is what there is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::node::{self, Node};
use super::read;
use super::section::{Asked, Form};

/// Tables of which the reader asks for different keys; between them, everything is asked for.
const SKELETONS: [&str; 2] = [
    "[[account]]\nid = \"a\"\nvenue = \"hyperliquid\"\n[account.paper]\npreset = \"hyperliquid\"\n",
    "[[account]]\nid = \"a\"\nvenue = \"hyperliquid\"\n[account.paper]\npreset = \"hyperliquid\"\nprices = \"live\"\n",
];

/// Text that is an exact number.
const NUMBER: &str = r"^[+-]?[0-9]+(\.[0-9]+)?$";

/// What is known of a key.
#[derive(Default)]
struct Key {
    forms: Vec<Form>,
    required: bool,
}

/// Tables by path, each with its keys.
type Tables = BTreeMap<String, BTreeMap<String, Key>>;

/// The JSON Schema (draft 2020-12) of a configuration, in JSON or as TOML reads into it.
///
/// It says which keys there are, of which kind and which words fit. What depends on several keys at once, such as that real money needs
/// `armed = true`, is checked when a configuration is read, with a sentence for each mistake.
#[must_use]
pub fn schema() -> Value {
    let mut tables = Tables::new();
    for skeleton in SKELETONS {
        let table: BTreeMap<String, Node> = node::from_toml(skeleton).unwrap_or_default();
        read::asked(&table).into_iter().for_each(|asked| note(&mut tables, asked));
    }
    let Value::Object(mut root) = table(&tables, "") else { return Value::Null };
    root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("title".into(), "omnivenue.toml".into());
    Value::Object(root)
}

fn note(tables: &mut Tables, asked: Asked) {
    let key = tables.entry(asked.table).or_default().entry(asked.key).or_default();
    match asked.form {
        Form::Required => key.required = true,
        form if key.forms.contains(&form) => {}
        form => key.forms.push(form),
    }
}

fn table(tables: &Tables, path: &str) -> Value {
    let mut properties = Map::new();
    let mut required = BTreeSet::new();
    for (name, key) in tables.get(path).into_iter().flatten() {
        let inner = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let mut fits: Vec<Value> = key.forms.iter().map(|form| fit(tables, form, &inner)).collect();
        fits.dedup();
        let one = if fits.len() == 1 { fits.remove(0) } else { json!({ "anyOf": fits }) };
        properties.insert(name.clone(), one);
        if key.required {
            required.insert(name.clone());
        }
    }
    let free = properties.remove("*");
    let mut all = Map::from_iter([("type".to_owned(), json!("object")), ("additionalProperties".to_owned(), free.unwrap_or(json!(false)))]);
    if !properties.is_empty() {
        all.insert("properties".into(), Value::Object(properties));
    }
    if !required.is_empty() {
        all.insert("required".into(), json!(required));
    }
    Value::Object(all)
}

fn fit(tables: &Tables, form: &Form, path: &str) -> Value {
    match form {
        Form::Text(fits) => json!({ "type": "string", "description": fits }),
        Form::Choice(words) => json!({ "enum": words }),
        Form::Number => json!({ "type": "string", "pattern": NUMBER, "description": "an exact number, written as text" }),
        Form::Count(fits) => json!({ "type": "integer", "description": fits }),
        Form::Flag => json!({ "type": "boolean" }),
        Form::Table | Form::Free => table(tables, path),
        Form::Texts(fits) => json!({ "type": "array", "items": { "type": "string" }, "description": fits }),
        Form::Tables => json!({ "type": "array", "items": table(tables, &format!("{path}[]")) }),
        Form::Required => Value::Null,
    }
}
