//! libFuzzer's way to [`runup_fuzz::tree`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::tree::check(bytes);
});
