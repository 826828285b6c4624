//! libFuzzer's way to [`runup_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::config::check(bytes);
});
