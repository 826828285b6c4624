//! libFuzzer's way to [`runup_fuzz::revision`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::revision::check(bytes);
});
