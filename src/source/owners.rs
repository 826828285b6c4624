//! Names of users and groups, as the machine knows them.
//!
//! Invariant: a name is looked up once for each number, and a number without a name is left out.

use std::collections::BTreeMap;
use std::ffi::OsStr;

/// Numbers of the users and groups that were met, and their names.
#[derive(Debug, Clone, Default)]
pub struct Owners {
    users: BTreeMap<u32, Option<String>>,
    groups: BTreeMap<u32, Option<String>>,
    last: Option<(u32, u32)>,
}

impl Owners {
    /// Notes the owner of an entry.
    pub fn note(&mut self, uid: u32, gid: u32) {
        if self.last == Some((uid, gid)) {
            return;
        }
        self.last = Some((uid, gid));
        let text = |name: &OsStr| name.to_str().map(str::to_owned);
        self.users
            .entry(uid)
            .or_insert_with(|| uzers::get_user_by_uid(uid).and_then(|user| text(user.name())));
        self.groups
            .entry(gid)
            .or_insert_with(|| uzers::get_group_by_gid(gid).and_then(|group| text(group.name())));
    }

    /// Takes over what was noted elsewhere.
    pub fn join(&mut self, other: Self) {
        self.users.extend(other.users);
        self.groups.extend(other.groups);
    }

    /// The names of an owner and a group that were noted.
    pub fn names_of(&self, uid: u32, gid: u32) -> (Option<&str>, Option<&str>) {
        (
            self.users.get(&uid).and_then(Option::as_deref),
            self.groups.get(&gid).and_then(Option::as_deref),
        )
    }

    /// Names by number: of users, and of groups.
    pub fn names(&self) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let named = |names: &BTreeMap<u32, Option<String>>| {
            let with_name = |(number, name): (&u32, &Option<String>)| {
                name.as_ref().map(|name| (number.to_string(), name.clone()))
            };
            names.iter().filter_map(with_name).collect()
        };
        (named(&self.users), named(&self.groups))
    }
}

/// The number of a user, as the machine knows it.
pub fn uid_of(name: &str) -> Option<u32> {
    uzers::get_user_by_name(name).map(|user| user.uid())
}

/// The number of a group, as the machine knows it.
pub fn gid_of(name: &str) -> Option<u32> {
    uzers::get_group_by_name(name).map(|group| group.gid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_a_name_and_a_number_without_one_is_left_out() {
        let mut owners = Owners::default();
        owners.note(0, 0);
        owners.note(4_000_000_000, 0);
        let (users, _) = owners.names();
        assert_eq!(users.get("0").map(String::as_str), Some("root"));
        assert!(!users.contains_key("4000000000"));
    }
}
