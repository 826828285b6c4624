//! libFuzzer's way to [`runup_fuzz::snapshot`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::snapshot::check(bytes);
});
