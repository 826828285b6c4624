//! libFuzzer's way to [`runup_fuzz::tar`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::tar::check(bytes);
});
