//! libFuzzer's way to [`runup_fuzz::mktree`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::mktree::check(bytes);
});
