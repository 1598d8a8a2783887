//! Python's values as JSON text and back, by Python's own `json`: decimals become text, and a float stays a number, which the engine
//! refuses wherever money is meant.

use omnivenue::Failure;
use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyResult, Python, pyfunction, wrap_pyfunction};
use pyo3::types::{PyDict, PyDictMethods};
use serde::Serialize;

use crate::error::raise;

/// The JSON text of a dictionary.
pub(crate) fn text_of(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = value.py();
    let options = PyDict::new(py);
    options.set_item("default", wrap_pyfunction!(exact, py)?)?;
    options.set_item("allow_nan", false)?;
    py.import("json")?.call_method("dumps", (value,), Some(&options))?.extract()
}

/// What `json` asks of a value it does not know: a decimal's own text.
#[pyfunction]
fn exact(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let decimal = value.py().import("decimal")?.getattr("Decimal")?;
    if value.is_instance(&decimal)? {
        return value.call_method1("__format__", ("f",))?.extract();
    }
    let kind = value.get_type();
    let words = format!("{kind} cannot be part of it: give text, a Decimal, a list or a dict");
    Err(raise(value.py(), Failure::new("invalid", words)))
}

/// A value of ours as Python's dictionaries, lists and text.
pub(crate) fn to_python<T: Serialize>(py: Python<'_>, value: &T) -> PyResult<Py<PyAny>> {
    let text = serde_json::to_string(value).map_err(|e| raise(py, Failure::new("internal", e.to_string())))?;
    Ok(py.import("json")?.call_method1("loads", (text,))?.unbind())
}
