//! libFuzzer's way to [`runup_fuzz::project_file`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::project_file::check(bytes);
});
