//! libFuzzer's way to [`runup_fuzz::loose`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::loose::check(bytes);
});
