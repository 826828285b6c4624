//! libFuzzer's way to [`runup_fuzz::stat_index`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::stat_index::check(bytes);
});
