//! libFuzzer's way to [`runup_fuzz::pack`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::pack::check(bytes);
});
