//! See `readers` in `../targets.rs`.
#![no_main]

#[path = "../fuzz.rs"]
mod fuzz;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::one(fuzz::targets::readers, bytes));
