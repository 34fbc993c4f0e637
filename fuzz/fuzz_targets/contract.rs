//! What a backend may answer, read as each type of the contract; and agent tokens.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    mc_client::fuzzing::contract(text);
    mc_client::fuzzing::token(text);
});
