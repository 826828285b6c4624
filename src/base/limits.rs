//! Bounds of everything stored, checked before anything is allocated.

/// Bytes of a KiB.
pub const KIB: u64 = 1 << 10;
/// Bytes of a MiB.
pub const MIB: u64 = 1 << 20;

/// Most bytes of one component of a path (`NAME_MAX` of Linux).
pub const NAME_BYTES_MAX: usize = 255;
/// Most components of a path inside a tree.
pub const DEPTH_MAX: usize = 4096;
/// Most bytes of the target of a symbolic link (`PATH_MAX` of Linux, less the NUL).
pub const LINK_TARGET_BYTES_MAX: usize = 4095;
/// Most bytes of one object in a frame.
pub const FRAME_OBJECT_BYTES_MAX: usize = 64 << 20;
/// File data shorter than this is packed by itself, in longer frames: only what was that short and has
/// grown is ever stored as a difference from it, so hardly any of these is decoded for another object.
pub const SHORT_CONTENT_BYTES: usize = 16 << 10;
/// Raw bytes at which a frame of several short objects of file data is closed. Over source-like files,
/// 8 MiB store 1.7 % less than 4 MiB, these 2.5 % less than 2 MiB, in the same time.
pub const SHORT_CONTENT_FRAME_BYTES_TARGET: usize = 8 << 20;
/// The same for other objects of file data.
pub const CONTENT_FRAME_BYTES_TARGET: usize = 4 << 20;
/// The same for metadata, of which readers want single objects more often.
pub const METADATA_FRAME_BYTES_TARGET: usize = 2 << 20;
/// Most objects in one frame.
pub const FRAME_OBJECTS_MAX: usize = 1 << 16;
/// Stored bytes at which a delta frame is closed: to read one object of it, all of these are read.
pub const DELTA_FRAME_BYTES_TARGET: usize = 256 << 10;
/// Raw bytes at which a delta frame is closed.
pub const DELTA_FRAME_RAW_BYTES_TARGET: usize = 32 << 20;
/// Most raw bytes of one frame: one largest object and its table.
pub const FRAME_BYTES_MAX: usize = FRAME_OBJECT_BYTES_MAX + (1 << 20);
/// Stored bytes at which a pack is closed.
pub const PACK_BYTES_TARGET: u64 = 64 << 20;
/// Bytes of one aligned piece of a long object that has a chaining value.
pub const PIECE_BYTES: usize = 1 << 20;
/// Most bytes of an object: 16 TiB, as much as ext4 keeps in a file. To prove a list of nothing but
/// zeros means to hash as many bytes as it claims.
pub const OBJECT_BYTES_MAX: u64 = 1 << 44;
/// Shortest run of zero bytes that is a hole.
pub const HOLE_BYTES_MIN: u64 = 64 << 10;
/// Holes begin and end at multiples of this.
pub const HOLE_ALIGN_BYTES: usize = 4 << 10;
/// Extended attribute values longer than this are blobs of their own.
pub const XATTR_INLINE_BYTES_MAX: usize = 512;
/// Most bytes of one extended attribute value (`XATTR_SIZE_MAX` of Linux).
pub const XATTR_VALUE_BYTES_MAX: usize = 64 << 10;
/// Most extended attributes of one entry.
pub const XATTRS_MAX: usize = 1 << 12;
/// Most bytes of a control file (config, job, ref, generation).
pub const CONTROL_FILE_BYTES_MAX: u64 = 64 << 20;
/// Most bytes of a tree, links or snapshot object held in memory at once.
pub const METADATA_BYTES_MAX: u64 = 4 << 30;
