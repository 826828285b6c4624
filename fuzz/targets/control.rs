//! libFuzzer's way to [`runup_fuzz::control`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::control::check(bytes);
});
