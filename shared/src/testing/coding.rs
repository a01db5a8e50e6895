//! A document in each content coding, as it is, or followed by so many blanks that whoever unpacks it is sorry:
//! the packed form stays under the size limit of a document, so that nothing but its coding gives it away.
//!
//! Brotli and Zstandard are written by hand: what a bomb needs of them is a few bytes, and a library for it
//! would be compiled into everything that uses the doubles.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// What a bomb unpacks to besides the document, in bytes, for a coding that packs a thousand to one.
pub const GZIP_BLANKS: usize = 3 * 1024 * 1024;

/// The same for the codings that can say "and so on".
pub const BLANKS: usize = 64 * 1024 * 1024;

/// A content coding that a vendor's server may use unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// RFC 7932.
    Brotli,
    /// RFC 8878.
    Zstd,
}

impl Coding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Brotli, Self::Zstd];

    /// The name in `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// `document`, packed.
    pub fn pack(self, document: &[u8]) -> Vec<u8> {
        self.pack_with_blanks(document, 0)
    }

    /// `document` and far more blanks after it than anybody reads, packed.
    pub fn bomb(self, document: &[u8]) -> Vec<u8> {
        self.pack_with_blanks(document, if self == Self::Gzip { GZIP_BLANKS } else { BLANKS })
    }

    fn pack_with_blanks(self, document: &[u8], blanks: usize) -> Vec<u8> {
        match self {
            Self::Gzip => gzip(document, blanks),
            Self::Brotli => brotli(document, blanks),
            Self::Zstd => zstd(document, blanks),
        }
    }
}

fn gzip(document: &[u8], blanks: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory does not fail.
    encoder.write_all(document).ok();
    encoder.write_all(&vec![b' '; blanks]).ok();
    encoder.finish().unwrap_or_default()
}

/// RFC 8878 §3.1.1: a raw block with the document, then run-length blocks.
fn zstd(document: &[u8], blanks: usize) -> Vec<u8> {
    const RAW: usize = 0;
    const RUN: usize = 1;
    /// The largest block of a window of that size.
    const BLOCK: usize = 128 * 1024;
    // Magic number; a header without size, checksum, and dictionary; a window of 128 KiB.
    let mut frame = vec![0x28, 0xB5, 0x2F, 0xFD, 0x00, 0x38];
    let block = |kind: usize, size: usize, last: bool| {
        let header = usize::from(last) | kind << 1 | size << 3;
        header.to_le_bytes().into_iter().take(3).collect::<Vec<u8>>()
    };
    frame.extend(block(RAW, document.len(), blanks == 0));
    frame.extend_from_slice(document);
    let mut left = blanks;
    while left > 0 {
        let size = left.min(BLOCK);
        left -= size;
        frame.extend(block(RUN, size, left == 0));
        frame.push(b' ');
    }
    frame
}

/// RFC 7932 §9: a meta-block with the document as it is, then meta-blocks whose only command is "ten blanks,
/// and what was four bytes ago again, sixteen million times".
fn brotli(document: &[u8], blanks: usize) -> Vec<u8> {
    /// The largest meta-block.
    const BLOCK: usize = 1 << 24;
    /// Ten literals before the copy (§5: insert code 8), so that a distance of four reaches blanks.
    const INSERTED: usize = 10;
    /// Least length of copy code 23, which has 24 extra bits.
    const COPIED_LEAST: usize = 2118;
    let mut bits = Bits::default();
    bits.push(0, 1); // a window of 64 KiB
    for chunk in document.chunks(1 << 16) {
        bits.push(0b000, 3); // not the last, four nibbles of length
        bits.push(chunk.len() - 1, 16);
        bits.push(1, 1); // not compressed
        bits.align();
        bits.bytes.extend_from_slice(chunk);
    }
    let mut left = blanks;
    while left >= INSERTED + COPIED_LEAST {
        let size = left.min(BLOCK);
        left -= size;
        bits.push(0b100, 3); // not the last, six nibbles of length
        bits.push(size - 1, 24);
        bits.push(0, 1 + 3 + 6 + 2 + 2); // compressed, one block type and one tree of each kind
        for (symbol, alphabet_bits) in [(usize::from(b' '), 8), (519, 10), (0, 6)] {
            bits.push(0b0001, 4); // a code of one symbol, which takes no bits
            bits.push(symbol, alphabet_bits);
        }
        bits.push(0, 2); // insert code 8: ten literals
        bits.push(size - INSERTED - COPIED_LEAST, 24);
    }
    bits.push(0b11, 2); // the last, and empty
    bits.align();
    bits.bytes
}

/// Bits, the lowest of each byte first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    pending: usize,
    count: u32,
}

impl Bits {
    /// Appends the low `count` bits of `value`, at most 24.
    fn push(&mut self, value: usize, count: u32) {
        self.pending |= value << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.extend(self.pending.to_le_bytes().first());
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    fn align(&mut self) {
        let short = (8 - self.count % 8) % 8;
        self.push(0, short);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::fetch::DOCUMENT_BYTES_MAX;

    fn unpacked(coding: Coding, packed: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes),
            Coding::Brotli => brotli_decompressor::Decompressor::new(packed, 4096).read_to_end(&mut bytes),
            Coding::Zstd => ruzstd::decoding::StreamingDecoder::new(packed).unwrap().read_to_end(&mut bytes),
        }
        .unwrap();
        bytes
    }

    /// FET-06, F09: a double that does not misbehave proves nothing, so libraries that others wrote unpack it.
    #[test]
    fn what_is_packed_is_the_document_and_what_is_a_bomb_explodes() {
        let document = br#"{"client_id": "https://app.example.com/c"}"#;
        for coding in Coding::ALL {
            assert_eq!(unpacked(coding, &coding.pack(document)), document, "{coding:?}");
            let bomb = coding.bomb(document);
            assert!(bomb.len() < DOCUMENT_BYTES_MAX, "{coding:?}: {} bytes give it away", bomb.len());
            let exploded = unpacked(coding, &bomb);
            assert!(exploded.len() > 600 * DOCUMENT_BYTES_MAX, "{coding:?}: {}", exploded.len());
            let (head, blanks) = exploded.split_at(document.len());
            assert_eq!(head, document, "{coding:?}");
            assert!(blanks.iter().all(|byte| *byte == b' '), "{coding:?}");
        }
    }
}
