//! Errors that carry a stable `code` of ours, which an `async fn` of napi cannot: there the code is always one of napi's own words.

use napi::bindgen_prelude::{Env, Object, PromiseRaw, ToNapiValue};
use omnivenue::{Failure, FailureClass};

/// A promise of what `call` comes to. It goes on whether or not anyone waits, and a panic in it rejects the promise.
pub(crate) fn promise<'env, T: Send + 'static, V: ToNapiValue>(
    env: &'env Env,
    call: impl Future<Output = Result<T, Failure>> + Send + 'static,
    convert: impl FnOnce(T) -> napi::Result<V> + 'static,
) -> napi::Result<PromiseRaw<'env, V>> {
    let guarded = async move {
        let panicked = |_| Err(Failure::new("internal", "the call panicked; what it did is not known"));
        Ok(tokio::spawn(call).await.unwrap_or_else(panicked))
    };
    env.spawn_future_with_callback(guarded, move |env, result| match result {
        Ok(value) => convert(value),
        Err(failure) => Err(rejection(env, &failure)),
    })
}

/// The `Error` of JavaScript, with `name` and `code`.
fn rejection(env: &Env, failure: &Failure) -> napi::Error {
    let name = match failure.class() {
        FailureClass::Configuration => "ConfigurationError",
        FailureClass::Invalid => "InvalidError",
        FailureClass::Conflict => "ConflictError",
        FailureClass::Closed => "ClosedError",
        FailureClass::Other => "OmnivenueError",
    };
    let plain = napi::Error::from_reason(failure.to_string());
    let made = env.create_error(plain).and_then(|mut error: Object<'_>| {
        error.set("name", name)?;
        error.set("code", failure.code())?;
        Ok(napi::Error::from(error.into_unknown(env)?))
    });
    made.unwrap_or_else(|broken| broken)
}
