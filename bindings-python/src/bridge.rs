//! From Rust's futures to asyncio's: one runtime for all engines of the process, and one thread that speaks to the interpreter.
//!
//! The runtime's worker never takes the interpreter's lock, so that nothing in Python can hold up a future. Results go to a thread of their
//! own, which takes the lock once for all that wait and hands them to the event loops. Before the interpreter ends that thread is told to
//! end and waited for: a thread that asks for the lock of an ending interpreter never gets it.

use std::sync::{Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;

use omnivenue::Failure;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::{Bound, Py, PyAny, PyAnyMethods, PyModule, PyResult, Python, pyfunction, wrap_pyfunction};
use tokio::runtime::Runtime;

use crate::error::raise;

/// Hands a result to the event loop that waits for it.
type Delivery = Box<dyn FnOnce(Python<'_>) + Send>;

struct Bridge {
    /// The process that made it: its threads do not exist in a child.
    process: u32,
    runtime: Runtime,
    deliveries: Mutex<Option<mpsc::Sender<Delivery>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

static BRIDGE: OnceLock<Bridge> = OnceLock::new();

fn bridge(py: Python<'_>) -> PyResult<&'static Bridge> {
    let made = match BRIDGE.get() {
        Some(made) => made,
        None => {
            let made = start()?;
            BRIDGE.get_or_init(|| made)
        }
    };
    if made.process == std::process::id() {
        return Ok(made);
    }
    let words = "omnivenue was used in the parent process, and its threads do not exist in this one: start the process with \"spawn\"";
    Err(raise(py, Failure::new("forked", words)))
}

fn start() -> PyResult<Bridge> {
    let no_thread = |e: std::io::Error| PyRuntimeError::new_err(format!("no thread could be started: {e}"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("omnivenue-calls")
        .enable_all()
        .build()
        .map_err(no_thread)?;
    let (sender, receiver) = mpsc::channel::<Delivery>();
    let deliver = move || {
        while let Ok(first) = receiver.recv() {
            let delivered = Python::try_attach(|py| {
                first(py);
                receiver.try_iter().for_each(|next| next(py));
            });
            if delivered.is_none() {
                break;
            }
        }
    };
    let thread = std::thread::Builder::new().name("omnivenue-python".into()).spawn(deliver).map_err(no_thread)?;
    Ok(Bridge { process: std::process::id(), runtime, deliveries: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
}

impl Bridge {
    /// Nothing is delivered once the interpreter is about to end: nobody waits any more.
    fn deliver(&self, delivery: Delivery) {
        let deliveries = self.deliveries.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(sender) = &*deliveries {
            let _ = sender.send(delivery);
        }
    }
}

/// An asyncio future of what `future` comes to. Canceling it abandons the waiting: the call goes on.
pub(crate) fn awaitable<'py, T: Send + 'static>(
    py: Python<'py>,
    future: impl Future<Output = Result<T, Failure>> + Send + 'static,
    convert: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    let bridge = bridge(py)?;
    let event_loop = py.import("asyncio")?.call_method0("get_running_loop")?;
    let waiting = event_loop.call_method0("create_future")?;
    let (target, event_loop) = (waiting.clone().unbind(), event_loop.unbind());
    // A panic must not leave the future waiting: the task's own handle tells of it.
    let task = bridge.runtime.spawn(future);
    bridge.runtime.spawn(async move {
        let result = task.await.unwrap_or_else(|_| Err(Failure::new("internal", "the call panicked; what it did is not known")));
        bridge.deliver(Box::new(move |py| {
            let result = result.map_err(|failure| raise(py, failure)).and_then(|value| convert(py, value));
            // A loop that was closed meanwhile refuses; nobody waits there.
            let _ = hand_over(py, &event_loop, target, result);
        }));
    });
    Ok(waiting)
}

fn hand_over(py: Python<'_>, event_loop: &Py<PyAny>, target: Py<PyAny>, result: PyResult<Py<PyAny>>) -> PyResult<()> {
    let (value, failure) = match result {
        Ok(value) => (value, py.None()),
        Err(error) => (py.None(), error.into_value(py).into_any()),
    };
    let settle = wrap_pyfunction!(settle, py)?;
    event_loop.call_method1(py, "call_soon_threadsafe", (settle, target, value, failure)).map(|_| ())
}

/// Runs in the event loop's thread: a future that was canceled meanwhile stays as it is.
#[pyfunction]
fn settle(target: &Bound<'_, PyAny>, value: Py<PyAny>, failure: Option<Py<PyAny>>) -> PyResult<()> {
    if target.call_method0("done")?.is_truthy()? {
        return Ok(());
    }
    match failure {
        None => target.call_method1("set_result", (value,)),
        Some(failure) => target.call_method1("set_exception", (failure,)),
    }
    .map(|_| ())
}

/// Ends the thread that speaks to the interpreter. Called when the interpreter is about to end.
#[pyfunction]
fn close(py: Python<'_>) {
    let Some(bridge) = BRIDGE.get().filter(|bridge| bridge.process == std::process::id()) else { return };
    let locked = |failed: std::sync::PoisonError<_>| failed.into_inner();
    drop(bridge.deliveries.lock().unwrap_or_else(locked).take());
    let thread = bridge.thread.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    if let Some(thread) = thread {
        let _ = py.detach(|| thread.join());
    }
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    py.import("atexit")?.call_method1("register", (wrap_pyfunction!(close, py)?,)).map(|_| ())
}
