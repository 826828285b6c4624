//! libFuzzer's way to [`runup_fuzz::selection`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::selection::check(bytes);
});
