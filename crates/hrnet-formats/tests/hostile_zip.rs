//! Check A4: zip tricks. Every one ends in a typed error, on a 512 KiB stack, with bounded memory.

mod common;

use common::alloc::{Counting, peak};
use common::{SPARE, floats, one_tensor, refused, torch_zip, zip, zip_with_layout};
use hrnet_formats::file::ReadError;
use hrnet_formats::{Limits, LoadError, LoadOptions, Source, load, pth};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn put16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

fn put32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn a4_zip_tricks_are_refused() {
    let stream = one_tensor(4, 0, &[4], &[1]);
    let record = floats(&[1.0, 2.0, 3.0, 4.0]);
    let parts: Vec<(&str, &[u8])> =
        vec![("a/data.pkl", &stream), ("a/data/0", &record), ("a/version", b"3\n")];
    let (honest, layout) = zip_with_layout(&parts);
    assert!(matches!(refused("honest", honest.clone()), LoadError::Rename(_)));
    let [local, data, descriptor, central] = layout.entries[1];
    let end = layout.end;
    let change = |f: &dyn Fn(&mut Vec<u8>)| {
        let mut file = honest.clone();
        f(&mut file);
        file
    };
    let with = |extra: &[(&'static str, &'static [u8])]| {
        let mut all = parts.clone();
        all.extend(extra);
        zip(&all)
    };
    let renamed = |name: &str| zip(&[("a/data.pkl", &stream), (name, &record), ("a/version", b"3\n")]);
    let both = |f: &mut Vec<u8>, at: usize, value: u16| {
        put16(f, local + at, value);
        put16(f, central + at + 2, value);
    };
    let zip64 = |record: &dyn Fn(&mut Vec<u8>)| {
        // A zip64 end record and locator in front of the end record, then changed.
        let mut out = honest[..end].to_vec();
        let mut tail = Vec::new();
        tail.extend(0x0606_4B50u32.to_le_bytes());
        tail.extend(44u64.to_le_bytes());
        tail.extend([45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        tail.extend(3u64.to_le_bytes());
        tail.extend(3u64.to_le_bytes());
        tail.extend(((end - layout.directory) as u64).to_le_bytes());
        tail.extend((layout.directory as u64).to_le_bytes());
        tail.extend(0x0706_4B50u32.to_le_bytes());
        tail.extend(0u32.to_le_bytes());
        tail.extend((end as u64).to_le_bytes());
        tail.extend(1u32.to_le_bytes());
        record(&mut tail);
        out.extend(tail);
        out.extend(&honest[end..]);
        out
    };
    // A consistent zip64 end record is what PyTorch writes.
    assert!(matches!(refused("honest zip64", zip64(&|_| {})), LoadError::Rename(_)));
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("deflated in both headers", change(&|f| both(f, 8, 8))),
        ("method differs", change(&|f| put16(f, local + 8, 8))),
        ("method differs, central", change(&|f| put16(f, central + 10, 8))),
        ("encrypted", change(&|f| both(f, 6, 0x0809))),
        ("patch data", change(&|f| both(f, 6, 0x0828))),
        ("strong encryption", change(&|f| both(f, 6, 0x0848))),
        ("masked headers", change(&|f| both(f, 6, 0x2808))),
        ("flags differ", change(&|f| put16(f, local + 6, 0x0809))),
        ("flag bits that nobody defined", change(&|f| both(f, 6, 0x1808))),
        ("name differs", change(&|f| f[local + 30] = b'b')),
        ("name differs, central", change(&|f| f[central + 46] = b'b')),
        ("size differs", change(&|f| put32(f, local + 22, 15))),
        ("size differs, descriptor", change(&|f| put32(f, descriptor + 8, 15))),
        (
            "size differs, central",
            change(&|f| {
                put32(f, central + 20, 15);
                put32(f, central + 24, 15);
            }),
        ),
        ("two sizes of a stored entry", change(&|f| put32(f, central + 24, 1 << 30))),
        (
            "checksum wrong everywhere",
            change(&|f| {
                put32(f, descriptor + 4, 7);
                put32(f, central + 16, 7);
            }),
        ),
        ("checksum differs, local", change(&|f| put32(f, local + 14, 7))),
        ("one data bit flipped", change(&|f| f[data] ^= 1)),
        ("entry past the end of the file", change(&|f| put32(f, central + 42, 1 << 30))),
        ("two central records for one entry", change(&|f| put32(f, layout.entries[2][3] + 42, local as u32))),
        (
            "size beyond the next entry",
            change(&|f| {
                put32(f, central + 20, 4000);
                put32(f, central + 24, 4000);
            }),
        ),
        (
            "size 2^32 - 1 without a zip64 field",
            change(&|f| {
                put32(f, central + 20, u32::MAX);
                put32(f, central + 24, u32::MAX);
            }),
        ),
        ("a comment of an entry", change(&|f| put16(f, central + 32, 4))),
        ("another disk", change(&|f| put16(f, end + 4, 1))),
        (
            "fewer entries than records",
            change(&|f| {
                put16(f, end + 8, 2);
                put16(f, end + 10, 2);
            }),
        ),
        (
            "more entries than records",
            change(&|f| {
                put16(f, end + 8, 4);
                put16(f, end + 10, 4);
            }),
        ),
        (
            "65535 entries",
            change(&|f| {
                put16(f, end + 8, u16::MAX);
                put16(f, end + 10, u16::MAX);
            }),
        ),
        ("directory of 4 GiB", change(&|f| put32(f, end + 12, u32::MAX))),
        ("directory elsewhere", change(&|f| put32(f, end + 16, 4))),
        (
            "an end record in the comment",
            change(&|f| {
                put16(f, end + 20, 22);
                let copy = f[end..end + 20].to_vec();
                f.extend(copy);
                f.extend([0, 0]);
            }),
        ),
        (
            "a comment",
            change(&|f| {
                put16(f, end + 20, 3);
                f.extend(b"abc");
            }),
        ),
        ("data after the end", change(&|f| f.extend([0; 9]))),
        ("data in front", [b"PK\x03\x04junk".to_vec(), honest.clone()].concat()),
        (
            "a hidden entry in front",
            change(&|f| {
                let hidden = f[..layout.entries[1][0]].to_vec();
                let shift = hidden.len() as u32;
                f.splice(0..0, hidden);
                for entry in &layout.entries {
                    let at = entry[3] + shift as usize + 42;
                    put32(f, at, entry[0] as u32 + shift);
                }
                put32(f, end + shift as usize + 16, layout.directory as u32 + shift);
            }),
        ),
        ("another packed size in the directory", change(&|f| put32(f, central + 20, 15))),
        ("end records that disagree", {
            let mut f = zip64(&|_| {});
            let end = f.len() - 22;
            put16(&mut f, end + 8, 2);
            put16(&mut f, end + 10, 2);
            f
        }),
        (
            "a gap between entries",
            change(&|f| {
                f.splice(local..local, [0; 8]);
                for (at, add) in [(central + 8, 42), (layout.entries[2][3] + 8, 42)] {
                    let old = u32::from_le_bytes(f[at + add..at + add + 4].try_into().unwrap());
                    put32(f, at + add, old + 8);
                }
                put32(f, end + 8 + 16, layout.directory as u32 + 8);
            }),
        ),
        ("duplicate names", with(&[("a/data/0", &[0; 16])])),
        ("two data.pkl", with(&[("b/data.pkl", b"N.")])),
        ("two data.pkl in one folder", with(&[("a/data.pkl", b"N.")])),
        ("an entry outside the folder", with(&[("evil.py", b"import os")])),
        ("TorchScript", with(&[("a/constants.pkl", b"N."), ("a/code/x.py", b"pass")])),
        ("parent folder in a name", renamed("a/../data/0")),
        ("absolute name", renamed("/data/0")),
        ("drive letter", renamed("C:/data/0")),
        ("backslash", renamed("a\\data\\0")),
        ("NUL in a name", renamed("a/data/0\0x")),
        ("empty component", renamed("a//data/0")),
        ("control character", renamed("a/data/\x1b[2J")),
        ("no data.pkl", zip(&[("a/x", b"1")])),
        ("data.pkl too deep", zip(&[("a/b/c/data.pkl", &stream)])),
        ("big-endian", with(&[("a/byteorder", b"big")])),
        ("version 99", zip(&[("a/data.pkl", &stream), ("a/data/0", &record), ("a/version", b"99\n")])),
        ("bytes after STOP", torch_zip(&[stream.as_slice(), b"cos\nsystem\n"].concat(), &[("0", &record)])),
        ("record missing", zip(&[("a/data.pkl", &stream), ("a/version", b"3\n")])),
        ("zip64 with another directory", zip64(&|t| t[48] ^= 1)),
        (
            "zip64 with another count",
            zip64(&|t| {
                t[24] = 2;
                t[32] = 2;
            }),
        ),
        ("zip64 locator elsewhere", zip64(&|t| t[64] ^= 1)),
        ("zip64 with extensible data", zip64(&|t| t[4] = 60)),
        ("empty archive", honest[end..].to_vec()),
        ("only the first bytes", honest[..40].to_vec()),
    ];
    assert!(cases.len() >= 30, "{}", cases.len());
    for (name, file) in cases {
        match refused(name, file.clone()) {
            LoadError::Pth(_) => {}
            // Checksums of storages are verified when they are read, which this file without a trunk never reaches.
            LoadError::Rename(_) => {
                let mut source = &file[..];
                let opened = pth::open_zip(&mut source, &Limits::default(), None).unwrap();
                let error = opened.read(&mut source, &[0]).expect_err(name);
                assert!(matches!(error, ReadError::Checksum { .. }), "{name}: {error}");
                let error = opened.read(&mut source, &[]).expect_err(name);
                assert!(matches!(error, ReadError::Checksum { .. }), "{name}, unread: {error}");
            }
            error => panic!("{name}: {error}"),
        }
    }
}

/// Peak memory of a refused archive does not depend on the sizes it claims.
#[test]
fn a4_claims_cost_nothing() {
    let (file, layout) = zip_with_layout(&[("a/data.pkl", b"N.")]);
    for at in 0..file.len() {
        for value in [0xFF, 0x7F, 0x00] {
            let mut bad = file.clone();
            bad[at] = value;
            let (_, most) = peak(|| load(&bad, &LoadOptions::default()).is_err());
            assert!(most <= SPARE, "byte {at} = {value}: {most}");
        }
    }
    assert_eq!((&file[..]).size(), layout.end as u64 + 22);
}
