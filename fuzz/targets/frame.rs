//! libFuzzer's way to [`runup_fuzz::frame`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::frame::check(bytes);
});
