//! The published JSON Schemas: made from the types, kept in `docs/schemas/`, and true of everything that goes in and comes out.
//!
//! `OMNIVENUE_WRITE_SCHEMAS=1` writes them anew.

use std::path::Path;

use jsonschema::Validator;
use omnivenue::{Config, SCHEMAS, Signal, Wait, schema};
use omnivenue_simulator::{Scenario, run};
use serde_json::{Value, json};

fn validator(name: &str) -> Validator {
    jsonschema::draft202012::options().build(&schema(name).unwrap()).unwrap_or_else(|error| panic!("{name} is no JSON Schema: {error}"))
}

fn assert_fits(validator: &Validator, value: &Value) {
    let wrong: Vec<String> = validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(wrong.is_empty(), "{value:#}\ndoes not fit: {wrong:#?}");
}

#[test]
fn what_is_published_is_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas");
    for name in SCHEMAS {
        let (file, now) = (folder.join(format!("{name}.json")), format!("{:#}\n", schema(name).unwrap()));
        if std::env::var_os("OMNIVENUE_WRITE_SCHEMAS").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&file, &now).unwrap();
        }
        let published = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(published, now, "{} is out of date: run with OMNIVENUE_WRITE_SCHEMAS=1", file.display());
    }
}

/// What the schema takes is taken, and what is refused because of its form does not fit the schema.
#[test]
fn a_signal_that_is_taken_fits_and_one_that_is_refused_does_not() {
    let validator = validator("signal");
    let signal = |changes: Value| {
        let mut signal = json!({"id": "a", "agent": "demo", "asset": "HYPE", "direction": "long", "sizing": {"notional": "500"}});
        let (Value::Object(fields), Value::Object(changes)) = (&mut signal, changes) else { panic!("objects") };
        fields.extend(changes);
        signal
    };
    let taken = [
        json!({}),
        json!({"confidence": 0.8, "created_at": "2026-01-01T00:00:00Z", "valid_for": "60s", "leverage": "5", "slippage": "0.01"}),
        json!({"order": {"type": "limit", "price": "38.1", "time_in_force": "gtc", "post_only": true}, "venues": ["hyperliquid"]}),
        json!({"exits": {"take_profit": {"roe": "0.5"}, "stop_loss": {"fraction": "0.05"}, "trailing": {"fraction": "0.1"}, "time_limit": "12h"}}),
        json!({"routing": "all", "leg_policy": {"at_least": 2}, "order": {"type": "limit", "price": "38.1", "time_in_force": "ioc"}}),
        json!({"metadata": {"tweet": 42, "nested": {"of": ["any", "form"]}}}),
        json!({"sizing": {"equity_fraction": "0.08"}, "market": "any", "routing": "best"}),
        json!({"sizing": {"risk_fraction": "0.01"}, "exits": {"stop_loss": {"fraction": "0.05"}}, "market": "spot"}),
        json!({"routing": {"split": {"hyperliquid": "0.7", "ostium": "0.3"}}}),
    ];
    for changes in taken {
        let signal = signal(changes);
        Signal::from_value(signal.clone()).unwrap_or_else(|error| panic!("{signal}: {error}"));
        assert_fits(&validator, &signal);
    }
    let refused = [
        json!({"direction": "up"}),
        json!({"sizing": {"notional": 500}}),
        json!({"sizing": {"shares": "5"}}),
        json!({"leverage": "much"}),
        json!({"colour": "red"}),
        json!({"id": "with a space"}),
        json!({"order": {"type": "stop", "price": "38.1"}}),
        json!({"created_at": "yesterday"}),
        json!({"market": "some"}),
        json!({"routing": "worst"}),
        json!({"routing": {"split": {"hyperliquid": 1}}}),
    ];
    for changes in refused {
        let signal = signal(changes);
        assert!(Signal::from_value(signal.clone()).is_err(), "{signal} was taken");
        assert!(!validator.is_valid(&signal), "{signal} fits the schema");
    }
}

/// Every event of histories with crashes, faults, exits, groups, kills and strangers.
#[test]
fn every_event_that_is_written_down_fits() {
    let validator = validator("event");
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..150 {
        for body in run(seed, &Scenario::of(seed), false).journal {
            let event: Value = serde_json::from_str(&body).unwrap();
            seen.insert(event["event"].as_str().unwrap().to_owned());
            assert_fits(&validator, &event);
        }
    }
    assert!(seen.len() >= 18, "the histories are too quiet: {seen:?}");
}

#[tokio::test]
async fn what_execute_returns_fits() {
    let folder = tempfile::tempdir().unwrap();
    let engine = omnivenue::open(&Config::built_in(folder.path())).await.unwrap();
    let validator = validator("execution");
    let text = r#"{"id": "s", "agent": "demo", "asset": "HYPE", "direction": "long", "sizing": {"notional": "500"}, "exits": {"stop_loss": {"fraction": "0.05"}}}"#;
    let execution = engine.execute(Signal::from_json(text).unwrap(), Wait::Settled).await.unwrap();
    assert_fits(&validator, &serde_json::to_value(&execution).unwrap());
    let refused = r#"{"id": "t", "agent": "demo", "asset": "HYPE", "direction": "short", "sizing": {"notional": "500000"}}"#;
    let execution = engine.execute(Signal::from_json(refused).unwrap(), Wait::Settled).await.unwrap();
    assert_fits(&validator, &serde_json::to_value(&execution).unwrap());
    engine.shutdown_unprotected().await.unwrap();
}
