//! libFuzzer's way to [`runup_fuzz::list`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::list::check(bytes);
});
