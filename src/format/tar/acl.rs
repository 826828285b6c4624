//! ACLs as text, the way archives hold them, and as the attribute that Linux keeps them in.
//!
//! Invariant: what is decoded encodes to the attribute that Linux would keep for the same ACL.
//! Sources: acl(5), and `include/uapi/linux/posix_acl_xattr.h` of Linux for the attribute.

use super::TarError;

const VERSION: u32 = 2;
/// The id of entries that stand for no particular user or group.
const NO_ID: u32 = u32::MAX;

const USER_OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OWNER: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// Whose number is looked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal {
    /// A user's.
    User,
    /// A group's.
    Group,
}

/// Finds the number that goes with a name.
pub type Numbers<'n> = dyn FnMut(Principal, &str) -> Option<u32> + 'n;

const MALFORMED: TarError = TarError::Malformed("an ACL is not lines of TAG:NAME:rwx");

/// The attribute for an ACL in text; `None` for an access ACL that says no more than the mode.
///
/// # Errors
///
/// The text is no ACL, or names someone whom `numbers` does not know.
pub fn from_text(
    text: &[u8],
    is_default: bool,
    numbers: &mut Numbers<'_>,
) -> Result<Option<Vec<u8>>, TarError> {
    let text = std::str::from_utf8(text).map_err(|_| MALFORMED)?;
    let mut entries = Vec::new();
    for line in text.split([',', '\n']) {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            entries.push(entry(line, numbers)?);
        }
    }
    entries.sort_unstable();
    let is_twice = entries.windows(2).any(|pair| match pair {
        [(tag, id, _), (next_tag, next_id, _)] => (tag, id) == (next_tag, next_id),
        _ => false,
    });
    let has = |wanted| entries.iter().any(|(tag, ..)| *tag == wanted);
    let needs_mask = has(USER) || has(GROUP);
    let is_whole = has(USER_OWNER) && has(GROUP_OWNER) && has(OTHER) && (has(MASK) || !needs_mask);
    if is_twice || !is_whole {
        return Err(TarError::Malformed("an ACL lacks an entry, or has one twice"));
    }
    if !is_default && entries.len() == 3 {
        return Ok(None);
    }
    let mut attribute = VERSION.to_le_bytes().to_vec();
    for (tag, id, permissions) in entries {
        attribute.extend(tag.to_le_bytes());
        attribute.extend(permissions.to_le_bytes());
        attribute.extend(id.to_le_bytes());
    }
    Ok(Some(attribute))
}

fn entry(line: &str, numbers: &mut Numbers<'_>) -> Result<(u16, u32, u16), TarError> {
    let line = line.strip_prefix("default:").unwrap_or(line);
    let mut fields = line.split(':').map(str::trim);
    let tag = fields.next().unwrap_or_default();
    let name = fields.next().ok_or(MALFORMED)?;
    let is_user = matches!(tag, "user" | "u");
    let (tag, name, permissions) = match tag {
        "user" | "u" => (if name.is_empty() { USER_OWNER } else { USER }, name, fields.next()),
        "group" | "g" => (if name.is_empty() { GROUP_OWNER } else { GROUP }, name, fields.next()),
        // Solaris leaves the empty name of these out.
        "mask" | "m" if name.is_empty() => (MASK, "", fields.next()),
        "mask" | "m" => (MASK, "", Some(name)),
        "other" | "o" if name.is_empty() => (OTHER, "", fields.next()),
        "other" | "o" => (OTHER, "", Some(name)),
        _ => return Err(MALFORMED),
    };
    let permissions = permissions.and_then(bits).ok_or(MALFORMED)?;
    // libarchive and star tell the number too, behind the name.
    let told = fields.next().and_then(|number| number.parse().ok());
    if name.is_empty() {
        return Ok((tag, NO_ID, permissions));
    }
    let principal = if is_user { Principal::User } else { Principal::Group };
    let id = told.or_else(|| name.parse().ok()).or_else(|| numbers(principal, name));
    let unknown = TarError::Unsupported("an ACL names a user or group that is not known here");
    Ok((tag, id.filter(|id| *id != NO_ID).ok_or(unknown)?, permissions))
}

fn bits(text: &str) -> Option<u16> {
    text.chars().try_fold(0, |bits, c| match c {
        'r' => Some(bits | 4),
        'w' => Some(bits | 2),
        'x' => Some(bits | 1),
        '-' => Some(bits),
        _ => None,
    })
}

/// The text of an attribute, with numbers for names; `None` if it is no ACL.
pub fn to_text(attribute: &[u8]) -> Option<Vec<u8>> {
    let entries = attribute.strip_prefix(&VERSION.to_le_bytes())?;
    let (entries, rest) = entries.as_chunks::<8>();
    if !rest.is_empty() {
        return None;
    }
    let mut lines = Vec::with_capacity(entries.len());
    for [tag_low, tag_high, low, high, id @ ..] in entries {
        let id = u32::from_le_bytes(*id);
        let permissions = u16::from_le_bytes([*low, *high]);
        let who = match u16::from_le_bytes([*tag_low, *tag_high]) {
            USER_OWNER => "user:".to_owned(),
            USER => format!("user:{id}"),
            GROUP_OWNER => "group:".to_owned(),
            GROUP => format!("group:{id}"),
            MASK => "mask:".to_owned(),
            OTHER => "other:".to_owned(),
            _ => return None,
        };
        let letter = |bit, letter| if permissions & bit == 0 { '-' } else { letter };
        lines.push(format!("{who}:{}{}{}", letter(4, 'r'), letter(2, 'w'), letter(1, 'x')));
    }
    Some(lines.join(",").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nobody(_: Principal, _: &str) -> Option<u32> {
        None
    }

    #[test]
    fn texts_of_several_tars_are_one_attribute() {
        let gnu = b"user::rw-\nuser:alice:r--\ngroup::r--\ngroup:12:rw-\nmask::rw-\nother::r--\n\n";
        let libarchive =
            b"user::rw-,group::r--,other::r--,user:alice:r--:1234,group:x:rw-:12,mask::rw-";
        let mut alice =
            |who, name: &str| (who == Principal::User && name == "alice").then_some(1234);
        let expected = from_text(gnu, false, &mut alice).unwrap().unwrap();
        assert_eq!(from_text(libarchive, false, &mut nobody), Ok(Some(expected.clone())));
        let text = to_text(&expected).unwrap();
        assert_eq!(text, b"user::rw-,user:1234:r--,group::r--,group:12:rw-,mask::rw-,other::r--");
        assert_eq!(from_text(&text, false, &mut nobody), Ok(Some(expected.clone())));
        assert_eq!(
            crate::base::id::hex(&expected),
            "0200000001000600ffffffff02000400d204000004000400ffffffff080006000c000000\
             10000600ffffffff20000400ffffffff"
        );
        assert!(from_text(gnu, false, &mut nobody).is_err());
    }

    #[test]
    fn acls_that_say_no_more_than_the_mode_are_none() {
        let text = b"user::rwx,group::r-x,other::---";
        assert_eq!(from_text(text, false, &mut nobody), Ok(None));
        assert_eq!(
            from_text(text, true, &mut nobody).map(|acl| acl.map(|a| a.len())),
            Ok(Some(28))
        );
    }

    #[test]
    fn what_is_no_acl_is_refused() {
        for bad in [
            &b""[..],
            b"user::rwx",
            b"user::rwx,group::r-x,other::---,user:1:rwx",
            b"user::rwx,group::r-x,other::---,other::---",
            b"user::rwq,group::r-x,other::---",
            b"who::rwx",
            b"user",
            b"\xff",
        ] {
            assert!(from_text(bad, true, &mut nobody).is_err(), "{bad:?}");
        }
        assert_eq!(to_text(b"\x02\0\0\0abc"), None);
        assert_eq!(to_text(b""), None);
    }
}
