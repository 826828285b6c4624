//! libFuzzer's way to [`runup_fuzz::acl`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    runup_fuzz::acl::check(bytes);
});
