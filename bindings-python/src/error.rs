//! One exception tree: `OmnivenueError`, and a class for each thing that a program does something about.

use omnivenue::{Failure, FailureClass};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::{Bound, PyAnyMethods, PyErr, PyModule, PyModuleMethods, PyResult, Python};

create_exception!(omnivenue, OmnivenueError, PyException, "What every error of omnivenue is. `code` is stable, the text is for people.");
create_exception!(omnivenue, ConfigurationError, OmnivenueError, "The configuration does not fit, or no engine can be opened with it.");
create_exception!(omnivenue, InvalidError, OmnivenueError, "What was asked for does not fit; nothing was done.");
create_exception!(omnivenue, ConflictError, OmnivenueError, "The id was used before with another body; nothing was done.");
create_exception!(omnivenue, ClosedError, OmnivenueError, "The engine is closed, or belongs to another process.");

/// The exception that a failure is in Python.
pub(crate) fn raise(py: Python<'_>, failure: Failure) -> PyErr {
    let (code, words) = (failure.code(), failure.to_string());
    let error = match failure.class() {
        FailureClass::Configuration => ConfigurationError::new_err(words),
        FailureClass::Invalid => InvalidError::new_err(words),
        FailureClass::Conflict => ConflictError::new_err(words),
        FailureClass::Closed => ClosedError::new_err(words),
        FailureClass::Other => OmnivenueError::new_err(words),
    };
    match error.value(py).setattr("code", code) {
        Ok(()) => error,
        Err(broken) => broken,
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("OmnivenueError", py.get_type::<OmnivenueError>())?;
    module.add("ConfigurationError", py.get_type::<ConfigurationError>())?;
    module.add("InvalidError", py.get_type::<InvalidError>())?;
    module.add("ConflictError", py.get_type::<ConflictError>())?;
    module.add("ClosedError", py.get_type::<ClosedError>())
}
