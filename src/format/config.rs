//! The repository's `config`: what a program must know before it reads anything else.
//!
//! Invariant: a version or required feature that is not known here is refused, never guessed at.
//! Format: runup-repository(5), CONFIG.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chunker::ChunkerParameters;
use super::compress::Compression;
use super::pack::FormatError;
use super::{codec::DecodeError, control};

/// The version of the repository format that this program reads and writes.
pub const FORMAT_VERSION: u64 = 1;

/// How a local repository publishes jobs; found by a probe at init.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publication {
    /// `renameat2` with `RENAME_NOREPLACE`: publishing and fencing compete for one name.
    Rename,
    /// `link` then `unlink`: the file system has no exclusive rename; sessions are never fenced.
    Link,
}

/// The repository's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Always [`FORMAT_VERSION`].
    pub format_version: u64,
    /// 32 random hexadecimal digits.
    pub repository_id: String,
    /// Features without which the repository cannot be read. None are known yet.
    pub required_features: Vec<String>,
    /// Features that a reader may ignore.
    pub optional_features: Vec<String>,
    /// Where long objects are cut.
    pub chunker: ChunkerParameters,
    /// How new frames are compressed, such as `zstd:3`.
    pub compression: String,
    /// How jobs are published.
    pub publication: Publication,
    /// The header of encryption; null in an unencrypted repository.
    pub encryption: Option<Value>,
    /// When the repository was made, RFC 3339.
    pub created: String,
    /// The program that made it.
    pub program_version: String,
}

impl Config {
    /// Encodes the configuration as a control file.
    pub fn encode(&self) -> Vec<u8> {
        control::encode(self)
    }

    /// Decodes the configuration, version and features first.
    ///
    /// # Errors
    ///
    /// Damaged, or not for this program.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let json: Value = control::decode(bytes)?;
        if json.get("format_version").and_then(Value::as_u64) != Some(FORMAT_VERSION) {
            return Err(FormatError::Unsupported("unknown version of the repository format"));
        }
        let required = json.get("required_features").and_then(Value::as_array);
        if required.is_none_or(|features| !features.is_empty()) {
            return Err(FormatError::Unsupported("unknown required feature of the repository"));
        }
        if json.get("encryption").is_none_or(|header| !header.is_null()) {
            return Err(FormatError::Unsupported("the repository is encrypted"));
        }
        let damaged = DecodeError { what: "unexpected JSON", offset: 0 };
        let config: Self = serde_json::from_value(json).map_err(|_| damaged.clone())?;
        if !config.chunker.is_valid() || config.compression.parse::<Compression>().is_err() {
            return Err(damaged.into());
        }
        Ok(config)
    }

    /// How new frames are compressed.
    pub fn compression(&self) -> Compression {
        self.compression.parse().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            format_version: FORMAT_VERSION,
            repository_id: "0".repeat(32),
            required_features: vec![],
            optional_features: vec!["something".into()],
            chunker: ChunkerParameters::default(),
            compression: "zstd:3".into(),
            publication: Publication::Rename,
            encryption: None,
            created: "2026-11-22T00:00:00Z".into(),
            program_version: "0.1.0".into(),
        }
    }

    #[test]
    fn configurations_round_trip_and_unknown_ones_are_refused() {
        assert_eq!(Config::decode(&config().encode()), Ok(config()));
        let newer = Config { format_version: 2, ..config() };
        let feature = Config { required_features: vec!["sharding".into()], ..config() };
        let sealed = Config { encryption: Some(Value::Bool(true)), ..config() };
        for other in [newer, feature, sealed] {
            let decoded = Config::decode(&other.encode());
            assert!(matches!(decoded, Err(FormatError::Unsupported(_))), "{decoded:?}");
        }
        let chunker = ChunkerParameters { min_bytes: 0, ..ChunkerParameters::default() };
        let damaged = Config { chunker, ..config() };
        assert!(matches!(Config::decode(&damaged.encode()), Err(FormatError::Decode(_))));
    }
}
