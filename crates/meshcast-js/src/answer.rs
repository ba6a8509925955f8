//! Answers that take a while, to a callback: `(error, text)`, of which one is null.

use napi::{
    Result, Status,
    bindgen_prelude::{FnArgs, Function},
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};

use crate::process::runtime;

/// What a callback is called with.
pub(crate) type Arguments = FnArgs<(Option<String>, Option<String>)>;

type Callback = ThreadsafeFunction<Arguments, (), Arguments, Status, false, false, 0>;

/// Calls back with what the future gives. The process is kept alive until then.
pub(crate) fn when(
    callback: Function<'_, Arguments, ()>,
    answer: impl Future<Output = std::result::Result<String, String>> + Send + 'static,
) -> Result<()> {
    let callback: Callback = callback
        .build_threadsafe_function::<Arguments>()
        .callee_handled::<false>()
        .build()?;
    runtime()?.spawn(async move {
        let arguments = match answer.await {
            Ok(text) => (None, Some(text)),
            Err(error) => (Some(error), None),
        };
        // A thread that is going away hears nothing any more.
        callback.call(arguments.into(), ThreadsafeFunctionCallMode::NonBlocking);
    });
    Ok(())
}
