//! Control files: one line of JSON, and a line with the BLAKE3 hash of it.
//!
//! Invariant: damage anywhere in a control file is seen. Format: runup-repository(5), CONTROL FILES.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::codec::DecodeError;
use crate::base::hash::plain;
use crate::base::id::hex;

/// Encodes a control file.
pub fn encode(record: &impl Serialize) -> Vec<u8> {
    let mut text = canonical_json(&serde_json::to_value(record).unwrap_or(Value::Null));
    text.push('\n');
    let checksum = hex(&plain(text.as_bytes()));
    text.push_str(&checksum);
    text.push('\n');
    text.into_bytes()
}

/// Decodes a control file.
///
/// # Errors
///
/// The checksum is not that of the JSON before it, or the JSON is not of this shape or not in its one
/// form: where a key came twice, two readers could take two things for what it says.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let line = checked(bytes)?;
    let fail = |what, offset| DecodeError { what, offset };
    let json: Value =
        serde_json::from_slice(line).map_err(|error| fail("unexpected JSON", error.column()))?;
    if line.strip_suffix(b"\n") != Some(canonical_json(&json).as_bytes()) {
        return Err(fail("not canonical JSON", 0));
    }
    serde_json::from_value(json).map_err(|_| fail("unexpected JSON", 0))
}

/// The JSON of a control file, once its checksum has been found right.
///
/// # Errors
///
/// It is not.
pub fn checked(bytes: &[u8]) -> Result<&[u8], DecodeError> {
    let fail = |what, offset| DecodeError { what, offset };
    let end = bytes.len().checked_sub(65).ok_or_else(|| fail("cut short", bytes.len()))?;
    let (json, line) = bytes.split_at(end);
    let expected = format!("{}\n", hex(&plain(json)));
    if json.last() != Some(&b'\n') || line != expected.as_bytes() {
        return Err(fail("checksum does not match", end));
    }
    Ok(json)
}

/// Writes JSON in its one form (RFC 8785), given that it holds no fractions.
///
/// Keys are ASCII here, so their order as bytes is the order that the RFC asks for.
pub fn canonical_json(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical_json).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(map) => {
            let mut pairs: Vec<(&String, &Value)> = map.iter().collect();
            pairs.sort_by_key(|(key, _)| key.as_bytes());
            let pairs: Vec<String> = pairs
                .into_iter()
                .map(|(key, value)| {
                    format!("{}:{}", Value::String(key.clone()), canonical_json(value))
                })
                .collect();
            format!("{{{}}}", pairs.join(","))
        }
        scalar => scalar.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn any_flip_or_cut_is_seen() {
        let record = json!({"b": [1, "é\u{1}"], "a": null});
        let bytes = encode(&record);
        assert!(bytes.starts_with("{\"a\":null,\"b\":[1,\"é\\u0001\"]}\n".as_bytes()));
        assert_eq!(decode::<Value>(&bytes), Ok(record));
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(checked(&bad).is_err());
            assert!(checked(&bytes[..at]).is_err());
        }
        assert!(checked(&[&bytes[..], b"x"].concat()).is_err());
    }

    #[test]
    fn each_record_has_one_form() {
        let sealed =
            |json: &str| format!("{json}\n{}\n", hex(&plain(format!("{json}\n").as_bytes())));
        let read = |json: &str| decode::<Value>(sealed(json).as_bytes());
        assert_eq!(read(r#"{"a":1,"b":[]}"#), Ok(json!({"a": 1, "b": []})));
        for other in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"b":[],"a":1}"#,
            r#"{"a": 1}"#,
            r#" {"a":1}"#,
            r#"{"a":01}"#,
            r#"{"a":"\u0041"}"#,
            "{\"a\":1}\n",
        ] {
            assert!(read(other).is_err(), "{other}");
        }
    }
}
