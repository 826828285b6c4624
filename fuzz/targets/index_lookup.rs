//! libFuzzer's way to [`runup_fuzz::index_lookup`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::index_lookup::check(bytes);
});
