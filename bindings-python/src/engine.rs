//! The engine as Python sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use omnivenue::engine::EventFeed;
use omnivenue::{Config, Failure, Opened, Signal, Wait};
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult, Python, pyclass, pymethods};
use tokio::sync::Mutex;

use crate::bridge::awaitable;
use crate::error::raise;
use crate::json::{text_of, to_python};

/// An open engine. `async` throughout: every call is awaited, and canceling the waiting never cancels what was asked for.
#[pyclass(frozen, module = "omnivenue")]
pub(crate) struct Engine {
    opened: Arc<Mutex<Option<Opened>>>,
    engine: omnivenue::Engine,
}

/// A configuration from a path, a dictionary, or the built-in one.
fn read(py: Python<'_>, config: Option<&Bound<'_, PyAny>>) -> PyResult<Config> {
    let here = Path::new("");
    let read = match config {
        None => Ok(Config::built_in(here)),
        Some(given) if given.hasattr("keys")? => {
            let json: serde_json::Value =
                serde_json::from_str(&text_of(given)?).map_err(|e| raise(py, Failure::new("configuration", e.to_string())))?;
            Config::from_json(&json, here)
        }
        Some(given) => Config::load(&given.extract::<PathBuf>()?),
    };
    read.map_err(|error| raise(py, error.into()))
}

#[pymethods]
impl Engine {
    /// Opens the engine of a configuration: a path, a dict of the same form, or the built-in one.
    #[staticmethod]
    #[pyo3(signature = (config = None))]
    fn open<'py>(py: Python<'py>, config: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
        let config = read(py, config)?;
        let opening = async move { Ok(omnivenue::open(&config).await?) };
        awaitable(py, opening, |py, opened| {
            let engine = omnivenue::Engine::clone(&opened);
            let engine = Self { opened: Arc::new(Mutex::new(Some(opened))), engine };
            Ok(pyo3::Py::new(py, engine)?.into_any())
        })
    }

    /// Carries out a signal, a dict of the published form. The same id with the same body is the same execution for ever.
    #[pyo3(signature = (signal, wait = "acknowledged"))]
    fn execute<'py>(&self, py: Python<'py>, signal: &Bound<'py, PyAny>, wait: &str) -> PyResult<Bound<'py, PyAny>> {
        let wait: Wait = wait.parse().map_err(|words: String| raise(py, Failure::new("invalid", words)))?;
        let signal = Signal::from_json(&text_of(signal)?).map_err(|error| raise(py, error.into()))?;
        let engine = self.engine.clone();
        awaitable(py, async move { Ok(engine.execute(signal, wait).await?) }, |py, execution| to_python(py, &execution))
    }

    /// Durable entries after a number, in order.
    #[pyo3(signature = (since = 0))]
    fn events(&self, since: u64) -> Events {
        Events { feed: Arc::new(Mutex::new(self.engine.events(since))) }
    }

    /// Ends the engine: refused while a stop depends on it, unless told to leave positions unprotected. Once it has ended, nothing follows.
    #[pyo3(signature = (*, leave_unprotected = false))]
    fn shutdown<'py>(&self, py: Python<'py>, leave_unprotected: bool) -> PyResult<Bound<'py, PyAny>> {
        let (engine, opened) = (self.engine.clone(), Arc::clone(&self.opened));
        let ending = async move {
            if leave_unprotected {
                engine.shutdown_unprotected().await?
            } else {
                engine.shutdown().await?
            };
            // The exchanges and the views wait for their threads: not here, where others' calls are served.
            if let Some(opened) = opened.lock().await.take() {
                let _ = tokio::task::spawn_blocking(move || drop(opened)).await;
            }
            Ok(())
        };
        awaitable(py, ending, |py, ()| Ok(py.None()))
    }
}

/// Durable entries, as an asynchronous iterator.
#[pyclass(frozen, module = "omnivenue")]
pub(crate) struct Events {
    feed: Arc<Mutex<EventFeed>>,
}

#[pymethods]
impl Events {
    fn __aiter__(this: pyo3::PyRef<'_, Self>) -> pyo3::PyRef<'_, Self> {
        this
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let feed = Arc::clone(&self.feed);
        let next = async move { Ok(feed.lock().await.next().await?) };
        awaitable(py, next, |py, entry| match entry {
            Some(entry) => to_python(py, &entry),
            None => Err(pyo3::exceptions::PyStopAsyncIteration::new_err(())),
        })
    }
}
