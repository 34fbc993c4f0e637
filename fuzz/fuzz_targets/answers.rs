//! Answers of all providers, as streams of events and as a whole. The first byte says whose answer it
//! is, the second how long the pieces are in which it arrives.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tokio::runtime::Builder;

fuzz_target!(|bytes: &[u8]| {
    let [provider, size, rest @ ..] = bytes else { return };
    let pieces: Vec<&[u8]> = rest.chunks(usize::from(*size).max(1)).collect();
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(llm::fuzzing::answer(*provider, &pieces));
});
