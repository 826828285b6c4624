//! Whole headers: what is encoded decodes to the same member, and nothing makes the decoder panic.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Everything up to the content, block by block, the way a reader of archives goes.
fn decode_all(bytes: &[u8]) -> Result<(Member, u64, usize), TarError> {
    let (blocks, _) = bytes.as_chunks::<BLOCK_BYTES>();
    let mut decoder = Decoder::default();
    let mut at = 0;
    let next = |at: &mut usize| {
        *at += 1;
        blocks.get(*at - 1).ok_or(TarError::Malformed("cut short"))
    };
    loop {
        let mut decoded = match decoder.block(next(&mut at)?)? {
            Step::End => return Err(TarError::Malformed("ended")),
            Step::Extension { kind, size_bytes } => {
                let size = size_bytes as usize;
                let start = at * BLOCK_BYTES;
                let content = bytes.get(start..start + size);
                decoder.extension(kind, content.ok_or(TarError::Malformed("cut short"))?)?;
                at += size.div_ceil(BLOCK_BYTES);
                continue;
            }
            Step::Member(decoded) => decoded,
        };
        let map = decoded.map;
        let mut stored_bytes = decoded.stored_bytes;
        if let Some((size, mut extents)) = decoded.take_map() {
            match map {
                MapPlace::Header => {}
                MapPlace::Blocks => while sparse::gnu_block(next(&mut at)?, &mut extents)? {},
                MapPlace::Content => {
                    let mut text = sparse::TextMap::default();
                    extents = loop {
                        stored_bytes = stored_bytes.saturating_sub(BLOCK_BYTES as u64);
                        if let Some(extents) = text.block(next(&mut at)?)? {
                            break extents;
                        }
                    };
                }
            }
            let extents = Some(sparse::check(extents, size, stored_bytes)?);
            decoded.member.kind = MemberKind::File { size_bytes: size, extents };
        }
        return Ok((decoded.member, stored_bytes, at * BLOCK_BYTES));
    }
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        "[a-z]{1,12}".prop_map(String::into_bytes),
        "[a-zé]{1,9}".prop_map(String::into_bytes),
        vec(1_u8.., 1..9)
            .prop_map(|name| name.iter().map(|b| if *b == b'/' { b'x' } else { *b }).collect()),
        "[a-z]{200}".prop_map(String::into_bytes),
    ];
    vec(name, 1..9).prop_map(|names| names.join(&b'/'))
}

fn extents() -> impl Strategy<Value = (u64, Vec<Extent>)> {
    (vec((0_u64..1 << 36, 1_u64..1 << 36), 0..60), 0_u64..1 << 40).prop_map(|(gaps, hole)| {
        let mut at = 0;
        let extents = gaps.into_iter().map(|(gap, length_bytes)| {
            let offset = at + gap;
            at = offset + length_bytes;
            Extent { offset, length_bytes }
        });
        let extents = extents.collect();
        (at + hole, extents)
    })
}

fn kind() -> impl Strategy<Value = MemberKind> {
    prop_oneof![
        Just(MemberKind::Directory),
        Just(MemberKind::Fifo),
        any::<u64>().prop_map(|size| MemberKind::File { size_bytes: size >> 1, extents: None }),
        extents().prop_map(|(size_bytes, extents)| MemberKind::File {
            size_bytes,
            extents: Some(extents)
        }),
        path().prop_map(|target| MemberKind::Symlink { target }),
        path().prop_map(|target| MemberKind::HardLink { target }),
        any::<(u32, u32)>().prop_map(|(major, minor)| MemberKind::CharDevice { major, minor }),
        any::<(u32, u32)>().prop_map(|(major, minor)| MemberKind::BlockDevice { major, minor }),
    ]
}

fn member() -> impl Strategy<Value = Member> {
    let xattr = ("user[.][a-z%=]{1,9}", vec(any::<u8>(), 0..40))
        .prop_map(|(name, value)| (name.into_bytes().into_boxed_slice(), value));
    let xattrs = vec(xattr, 0..4).prop_map(|mut xattrs| {
        xattrs.sort();
        xattrs.dedup_by(|a, b| a.0 == b.0);
        xattrs
    });
    let mtime = prop_oneof![(any::<i64>(), 0..1_000_000_000_u32), (0..1_i64 << 33, Just(0_u32)),];
    let owner = (any::<u32>(), any::<u32>(), "[a-z]{0,31}", "[a-zé]{0,15}");
    (path(), kind(), 0..0o10000_u16, owner, mtime, xattrs).prop_map(
        |(path, kind, mode, (uid, gid, user, group), (seconds, nanoseconds), xattrs)| Member {
            path,
            kind,
            mode,
            uid,
            gid,
            user: user.into_bytes(),
            group: group.into_bytes(),
            mtime: FileTime { seconds, nanoseconds },
            xattrs,
            acls: AclTexts::default(),
        },
    )
}

fn stored(kind: &MemberKind) -> u64 {
    match kind {
        MemberKind::File { extents: Some(extents), .. } => {
            extents.iter().map(|extent| extent.length_bytes).sum()
        }
        MemberKind::File { size_bytes, .. } => *size_bytes,
        _ => 0,
    }
}

proptest! {
    #[test]
    fn members_round_trip(member in member(), gnu: bool) {
        let format = if gnu { Format::Gnu } else { Format::Pax };
        let mut bytes = Vec::new();
        prop_assert_eq!(encode(&member, format, &mut bytes), Ok(()));
        let mut expected = member;
        if gnu {
            expected.mtime.nanoseconds = 0;
            expected.xattrs.clear();
        }
        if expected.kind == MemberKind::Directory {
            expected.path.push(b'/');
        }
        let stored = stored(&expected.kind);
        prop_assert_eq!(decode_all(&bytes), Ok((expected, stored, bytes.len())));
    }

    #[test]
    fn flipped_bytes_never_panic(member in member(), gnu: bool, at: usize, byte: u8, fix: bool) {
        let format = if gnu { Format::Gnu } else { Format::Pax };
        let mut bytes = Vec::new();
        prop_assert_eq!(encode(&member, format, &mut bytes), Ok(()));
        let at = at % bytes.len();
        bytes[at] = byte;
        if fix {
            // Otherwise the checksum hides what lies behind it.
            let start = at - at % BLOCK_BYTES;
            let mut sum = 0;
            for (at, byte) in bytes[start..start + BLOCK_BYTES].iter().enumerate() {
                sum += if block::CHECKSUM.contains(&at) { 32 } else { u64::from(*byte) };
            }
            let sum = format!("{sum:06o}\0 ");
            bytes[start + 148..start + 156].copy_from_slice(sum.as_bytes());
        }
        let _decoded = decode_all(&bytes);
    }

    #[test]
    fn noise_never_panics(block in vec(any::<u8>(), BLOCK_BYTES), more: Vec<u8>) {
        let mut decoder = Decoder::default();
        let block: Block = block.try_into().unwrap();
        let _step = decoder.block(&block);
        for kind in [Extension::Local, Extension::Global, Extension::LongName, Extension::LongTarget] {
            let _taken = decoder.extension(kind, &more);
        }
        let _text = sparse::TextMap::default().block(&block);
        let _more = sparse::gnu_block(&block, &mut Vec::new());
        let _acl = acl::from_text(&more, false, &mut |_, _| Some(1));
        let _text = acl::to_text(&more);
    }
}

fn header(typeflag: u8, size: &str) -> block::BlockWriter {
    let mut writer = block::BlockWriter::new();
    writer.text(&block::NAME, b"name");
    writer.text(&block::SIZE, size.as_bytes());
    writer.text(&block::TYPEFLAG, &[typeflag]);
    writer.text(&block::MAGIC, block::USTAR_MAGIC);
    writer
}

/// A size that pax overrides must not be taken for that of the headers in between, nor lost.
#[test]
fn pax_sizes_bear_on_the_member_only() {
    let mut decoder = Decoder::default();
    decoder.extension(Extension::Local, b"13 size=4096\n").unwrap();
    let step = decoder.block(&header(b'L', "5").finish()).unwrap();
    assert_eq!(step, Step::Extension { kind: Extension::LongName, size_bytes: 5 });
    decoder.extension(Extension::LongName, b"long\0").unwrap();
    let step = decoder.block(&header(b'x', "12").finish()).unwrap();
    assert_eq!(step, Step::Extension { kind: Extension::Local, size_bytes: 10 });
    decoder.extension(Extension::Local, b"10 path=x\n").unwrap();
    let Ok(Step::Member(decoded)) = decoder.block(&header(b'0', "1").finish()) else { panic!() };
    assert_eq!((decoded.stored_bytes, &decoded.member.path[..]), (4096, &b"x"[..]));
    let Ok(Step::Member(next)) = decoder.block(&header(b'0', "1").finish()) else { panic!() };
    assert_eq!((next.stored_bytes, &next.member.path[..]), (1, &b"name"[..]));
}

#[test]
fn sizes_that_readers_disagree_about_are_refused() {
    for flag in *b"23456" {
        assert!(Decoder::default().block(&header(flag, "10").finish()).is_err());
        assert!(Decoder::default().block(&header(flag, "0").finish()).is_ok());
    }
    let link = Decoder::default().block(&header(b'1', "10").finish());
    let Ok(Step::Member(link)) = link else { panic!("{link:?}") };
    assert_eq!(link.stored_bytes, 0);
    for flag in *b"xgLK" {
        assert!(Decoder::default().block(&header(flag, "100000001").finish()).is_err());
    }
    let mut decoder = Decoder::default();
    decoder.extension(Extension::LongName, b"a").unwrap();
    assert!(decoder.block(&[0; BLOCK_BYTES]).is_err());
}

#[test]
fn paths_are_split_between_prefix_and_name() {
    let long = [&[b'p'; 150][..], b"/", &[b'n'; 100]].concat();
    let mut bytes = Vec::new();
    let kind = MemberKind::File { size_bytes: 0, extents: None };
    let member = Member { path: long.clone(), kind, ..Member::default() };
    encode(&member, Format::Pax, &mut bytes).unwrap();
    assert_eq!(bytes.len(), BLOCK_BYTES, "no record is needed");
    assert_eq!(decode_all(&bytes).unwrap().0.path, long);
}
