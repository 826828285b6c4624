//! Checksums put right, so that what stands behind them is reached.

use serde_json::Value;

use runup::format::control::canonical_json;

/// A control file of this JSON, as it is.
pub(crate) fn control_file(json: &[u8]) -> Vec<u8> {
    let mut file = json.to_vec();
    file.push(b'\n');
    let checksum = blake3::hash(&file).to_hex();
    file.extend_from_slice(checksum.as_bytes());
    file.push(b'\n');
    file
}

/// The same JSON in its one form; `None` if it is none.
pub(crate) fn canonical(json: &[u8]) -> Option<Vec<u8>> {
    let value: Value = serde_json::from_slice(json).ok()?;
    Some(canonical_json(&value).into_bytes())
}
