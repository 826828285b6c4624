//! libFuzzer's way to [`runup_fuzz::links`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::links::check(bytes);
});
