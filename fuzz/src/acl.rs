//! Access control lists as archives have them in text.

use runup::format::tar::acl::{Principal, from_text, to_text};

/// Whether the bytes are an access control list, as text or as an attribute.
pub fn check(bytes: &[u8]) -> bool {
    let mut numbers = |who: Principal, name: &str| match (who, name) {
        (Principal::User, "root") => Some(0),
        (Principal::Group, "staff") => Some(50),
        _ => None,
    };
    let mut is_taken = false;
    for is_default in [false, true] {
        let Ok(Some(attribute)) = from_text(bytes, is_default, &mut numbers) else { continue };
        is_taken = true;
        let text = to_text(&attribute).expect("its own output");
        let again = from_text(&text, is_default, &mut numbers);
        assert_eq!(again, Ok(Some(attribute)), "{}", text.escape_ascii());
    }
    if let Some(text) = to_text(bytes) {
        is_taken = true;
        if let Ok(Some(attribute)) = from_text(&text, true, &mut numbers) {
            assert_eq!(to_text(&attribute).map(|text| text.len()), Some(text.len()));
        }
    }
    is_taken
}
