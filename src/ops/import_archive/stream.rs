//! The bytes of an archive: decompressed if need be, block by block, with the place kept.
//!
//! Invariant: content that ends before the length its header states is an error, never a shorter
//! file; and a buffer grows by what was read, not by what was claimed.

use std::io::{self, BufReader, Cursor, Read};

use super::ImportError;
use crate::format::tar::{BLOCK_BYTES, Block, padding};

/// Bytes that are read ahead.
const BUFFER_BYTES: usize = 256 << 10;
/// The first bytes of archives that other programs compressed, which are told which.
const UNKNOWN: [(&[u8], &str); 5] = [
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"LZIP", "lzip"),
    (b"\x1f\x9d", "uncompress"),
];
const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
/// Bytes of the longest of these.
const MAGIC_BYTES: u64 = 6;

/// An archive on its way in.
pub(super) struct Archive<'r> {
    reader: Box<dyn Read + 'r>,
    is_compressed: bool,
    offset: u64,
}

impl<'r> Archive<'r> {
    /// Looks at the first bytes, and decompresses from there if they say so.
    pub(super) fn open(reader: &'r mut dyn Read) -> Result<Self, ImportError> {
        let mut head = Vec::new();
        let fail = |source| ImportError::Read { offset: 0, source };
        reader.take(MAGIC_BYTES).read_to_end(&mut head).map_err(fail)?;
        if let Some((_, by)) = UNKNOWN.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Err(ImportError::UnknownCompression { by });
        }
        let (is_gzip, is_zstd) = (head.starts_with(GZIP), head.starts_with(ZSTD));
        let whole = Cursor::new(head).chain(reader);
        let reader: Box<dyn Read + 'r> = if is_gzip {
            let whole = BufReader::with_capacity(BUFFER_BYTES, whole);
            let decoder = flate2::bufread::MultiGzDecoder::new(whole);
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        } else if is_zstd {
            let whole = BufReader::with_capacity(BUFFER_BYTES, whole);
            let decoder = zstd::stream::read::Decoder::with_buffer(whole).map_err(fail)?;
            Box::new(BufReader::with_capacity(BUFFER_BYTES, decoder))
        } else {
            Box::new(BufReader::with_capacity(BUFFER_BYTES, whole))
        };
        Ok(Self { reader, is_compressed: is_gzip || is_zstd, offset: 0 })
    }

    /// Bytes of the uncompressed archive that were read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What an error in reading means.
    pub(super) fn failed(&self, source: io::Error) -> ImportError {
        let offset = self.offset;
        match source.kind() {
            io::ErrorKind::UnexpectedEof if !self.is_compressed => self.cut("a member's content"),
            // Decompressors have no kind of their own.
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Other
                if self.is_compressed =>
            {
                ImportError::Compressed { offset, source }
            }
            _ => ImportError::Read { offset, source },
        }
    }

    fn cut(&self, what: &str) -> ImportError {
        ImportError::Truncated { what: what.to_owned(), offset: self.offset }
    }

    /// The next block; `None` where the archive ends.
    pub(super) fn block(&mut self) -> Result<Option<Block>, ImportError> {
        let mut block = [0; BLOCK_BYTES];
        let mut filled = 0;
        while filled < BLOCK_BYTES {
            match self.reader.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.cut("a header")),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        self.offset += BLOCK_BYTES as u64;
        Ok(Some(block))
    }

    /// A block that must be there.
    pub(super) fn expected_block(&mut self) -> Result<Block, ImportError> {
        self.block()?.ok_or_else(|| self.cut("a sparse map"))
    }

    /// Reads the content of an extended header and what fills its last block.
    pub(super) fn extension(&mut self, size_bytes: u64) -> Result<Vec<u8>, ImportError> {
        let mut bytes = Vec::new();
        let mut content = Content { archive: self, left_bytes: size_bytes };
        let read = content.read_to_end(&mut bytes);
        read.map_err(|error| self.failed(error))?;
        self.skip(padding(size_bytes) as u64)?;
        Ok(bytes)
    }

    /// The next bytes, as the content of a member.
    pub(super) fn content(&mut self, size_bytes: u64) -> Content<'_, 'r> {
        Content { archive: self, left_bytes: size_bytes }
    }

    /// Passes over bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<(), ImportError> {
        let mut content = Content { archive: self, left_bytes: count };
        let skipped = io::copy(&mut content, &mut io::sink());
        skipped.map(|_| ()).map_err(|error| self.failed(error))
    }

    /// Reads on to the end of the stream, as whoever writes it should not see a closed pipe, and
    /// the end of a compressed stream holds its checksum.
    pub(super) fn drain(&mut self) -> Result<(), ImportError> {
        let drained = io::copy(&mut self.reader, &mut io::sink());
        drained.map(|_| ()).map_err(|error| self.failed(error))
    }
}

/// The content of a member. It fails rather than end early.
pub(super) struct Content<'a, 'r> {
    archive: &'a mut Archive<'r>,
    left_bytes: u64,
}

impl Read for Content<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left_bytes).unwrap_or(usize::MAX).min(buffer.len());
        if room == 0 {
            return Ok(0);
        }
        let count = self.archive.reader.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.archive.offset += count as u64;
        self.left_bytes -= count as u64;
        Ok(count)
    }
}
