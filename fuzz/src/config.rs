//! The configuration of a repository.

use runup::format::config::Config;

use super::sealed::{canonical, control_file};

/// Whether the bytes are the JSON of a configuration. The checksum is put right.
pub fn check(json: &[u8]) -> bool {
    let _raw = Config::decode(json);
    let is_taken = is_config(&control_file(json));
    match canonical(json) {
        Some(canonical) if canonical != json => is_config(&control_file(&canonical)) || is_taken,
        _ => is_taken,
    }
}

fn is_config(bytes: &[u8]) -> bool {
    let Ok(config) = Config::decode(bytes) else { return false };
    assert!(config.chunker.is_valid());
    assert_eq!(config.encode(), bytes, "a second encoding of one configuration");
    assert_eq!(config.compression().to_string().parse(), Ok(config.compression()));
    true
}
