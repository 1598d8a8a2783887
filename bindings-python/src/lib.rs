//! omnivenue from Python: each method converts, calls, and converts back.

mod bridge;
mod engine;
mod error;
mod json;

use pyo3::prelude::{Bound, PyModule, PyModuleMethods, PyResult, pymodule};

/// The native half of the package `omnivenue`.
#[pymodule]
fn _omnivenue(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<engine::Engine>()?;
    module.add_class::<engine::Events>()?;
    error::register(module)?;
    bridge::register(module)
}
