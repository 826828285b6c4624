//! Jobs, tables of refs, generations: the JSON of control files. Their checksums are put right.

use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use runup::format::control::{checked, decode, encode};
use runup::repository::{Generation, JobRecord, RefTable, is_ref_name, may_be_target};

use super::sealed::{canonical, control_file};

/// Whether the bytes are the JSON of any control file.
pub fn check(json: &[u8]) -> bool {
    assert!(json.len() < 66 || checked(json).is_err() || json.ends_with(b"\n"));
    let is_taken = is_control(&control_file(json));
    match canonical(json) {
        Some(canonical) if canonical != json => is_control(&control_file(&canonical)) || is_taken,
        _ => is_taken,
    }
}

fn is_control(bytes: &[u8]) -> bool {
    assert!(checked(bytes).is_ok());
    let _any = is_record::<Value>(bytes);
    is_record::<JobRecord>(bytes) | is_generation(bytes) | is_table(bytes)
}

/// Whether this is a record of this shape; then there is no other file of it.
fn is_record<T: Serialize + DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) -> bool {
    let Ok(record) = decode::<T>(bytes) else { return false };
    assert_eq!(encode(&record), bytes, "a second encoding of {record:?}");
    true
}

fn is_generation(bytes: &[u8]) -> bool {
    let Ok(Generation { number, .. }) = decode::<Generation>(bytes) else { return false };
    assert!(Generation::decode(bytes, number.wrapping_add(1)).is_err(), "under any number");
    assert!(Generation::decode(bytes, number).is_ok());
    is_record::<Generation>(bytes)
}

fn is_table(bytes: &[u8]) -> bool {
    let Ok(RefTable { number, .. }) = decode::<RefTable>(bytes) else { return false };
    assert!(RefTable::decode(bytes, number.wrapping_add(1)).is_err(), "under any number");
    let Ok(table) = RefTable::decode(bytes, number) else { return false };
    assert!(table.refs.keys().all(|name| is_ref_name(name)));
    assert!(table.refs.values().all(|target| may_be_target(target.kind)));
    assert_eq!(encode(&table), bytes, "a second encoding of one table");
    true
}
