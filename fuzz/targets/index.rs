//! libFuzzer's way to [`runup_fuzz::index`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::index::check(bytes);
});
