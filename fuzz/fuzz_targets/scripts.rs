//! Scripts of the offline provider, and what they answer. The script ends where the first NUL is; what
//! the person says is what follows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tokio::runtime::Builder;

fuzz_target!(|text: &str| {
    let (script, words) = text.split_once('\0').unwrap_or((text, "Hello"));
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(llm::fuzzing::script(script, words));
});
