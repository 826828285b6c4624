//! Tar archives, as import-archive reads them. The checksums of headers are put right.

use std::time::{Duration, Instant};

use runup::base::monitor::{Monitor, Problem};
use runup::format::tar::{
    BLOCK_BYTES, Decoder, Format, MapPlace, Member, MemberKind, Step, TarError, encode, sparse,
};
use runup::ops::import_archive::{ImportOptions, import_archive};
use runup::ops::write_tree::Destination;

/// Time for one archive: a sparse file of a few bytes may stand for 16 TiB of zeros to be hashed.
const TIME_MAX: Duration = Duration::from_millis(200);

/// Ends the import in time.
struct Clock(Instant);

impl Monitor for Clock {
    fn problem(&self, _problem: Problem) {}

    fn is_cancelled(&self) -> bool {
        self.0.elapsed() > TIME_MAX
    }
}

/// Whether the bytes behind the first, which chooses the options, are an archive.
pub fn check(bytes: &[u8]) -> bool {
    let Some((choice, bytes)) = bytes.split_first() else { return false };
    let options =
        ImportOptions { strip_components: usize::from(choice & 3), ignore_zeros: choice & 4 == 4 };
    let sealed = sealed(bytes);
    members(&sealed);
    let is_taken = is_archive(bytes, options);
    is_archive(&sealed, options) | is_taken
}

fn is_archive(bytes: &[u8], options: ImportOptions) -> bool {
    let clock = Clock(Instant::now());
    import_archive(&mut &*bytes, options, Destination::Nowhere(1), &clock).is_ok()
}

/// The archive with the checksums put right of all blocks that could be headers.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    for block in sealed.as_chunks_mut::<BLOCK_BYTES>().0 {
        if &block[257..262] == b"ustar" {
            block[148..156].copy_from_slice(b"        ");
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    sealed
}

/// Takes one header after the other, wherever content may begin, and writes those again that were read.
fn members(bytes: &[u8]) {
    let mut blocks = bytes.as_chunks::<BLOCK_BYTES>().0.iter();
    while !blocks.as_slice().is_empty() {
        match next_member(&mut blocks) {
            Some(Ok(member)) => is_kept(&member),
            Some(Err(_)) => {}
            None => return,
        }
    }
}

/// The next member, up to its content.
fn next_member(
    blocks: &mut std::slice::Iter<'_, [u8; BLOCK_BYTES]>,
) -> Option<Result<Member, TarError>> {
    let mut decoder = Decoder::default();
    loop {
        let step = match decoder.block(blocks.next()?) {
            Ok(step) => step,
            Err(error) => return Some(Err(error)),
        };
        match step {
            Step::End => {}
            Step::Extension { kind, size_bytes } => {
                let content = blocks.as_slice().as_flattened();
                let size =
                    usize::try_from(size_bytes).ok().filter(|size| *size <= content.len())?;
                let content = content[..size].to_vec();
                if size > 0 {
                    blocks.nth(size.div_ceil(BLOCK_BYTES) - 1);
                }
                if let Err(error) = decoder.extension(kind, &content) {
                    return Some(Err(error));
                }
            }
            Step::Member(mut decoded) => {
                let place = decoded.map;
                let Some((size_bytes, mut extents)) = decoded.take_map() else {
                    return Some(Ok(decoded.member));
                };
                if place == MapPlace::Blocks {
                    while sparse::gnu_block(blocks.next()?, &mut extents).ok()? {}
                }
                if place != MapPlace::Content {
                    let extents = sparse::check(extents, size_bytes, decoded.stored_bytes).ok()?;
                    decoded.member.kind = MemberKind::File { size_bytes, extents: Some(extents) };
                }
                return Some(Ok(decoded.member));
            }
        }
    }
}

/// What was read of headers is written to headers that say the same.
fn is_kept(member: &Member) {
    // A map in the content is not read here, and no size or type beyond what there is in archives.
    let is_plain =
        !matches!(&member.kind, MemberKind::Other(_) | MemberKind::File { extents: Some(_), .. });
    let mut headers = Vec::new();
    if !is_plain || encode(member, Format::Pax, &mut headers).is_err() {
        return;
    }
    let mut blocks = headers.as_chunks::<BLOCK_BYTES>().0.iter();
    let again = next_member(&mut blocks).expect("a member").expect("its own output");
    let mut expected = member.clone();
    if expected.kind == MemberKind::Directory && !expected.path.ends_with(b"/") {
        expected.path.push(b'/');
    }
    let mut found = again;
    if found.kind == MemberKind::Directory && !found.path.ends_with(b"/") {
        found.path.push(b'/');
    }
    assert_eq!(found, expected);
}
