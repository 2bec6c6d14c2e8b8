//! Lists of convolutions: `--layer`, the files of bench/shapes, and the convolutions of a network.
//!
//! A file has one convolution per line, ` xN` behind it if it occurs N times; `#` begins a comment.

use crate::outcome::Failure;
use hrnet::error::{Context, Result, err};
use hrnet::io;
use hrnet_ir::{Net, Op};
use hrnet_kernels::{ConvCase, ConvDesc};
use std::path::Path;

/// A convolution and how often it occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) case: ConvCase,
    pub(super) times: u32,
}

/// What `--layer` names: a convolution, or all of a file with `@`.
pub(super) fn read(text: &str) -> Result<Vec<Entry>, Failure> {
    let Some(file) = text.strip_prefix('@') else {
        return Ok(vec![entry(text).map_err(|e| Failure::Usage(format!("--layer: {e}")))?]);
    };
    let content = String::from_utf8(io::read(Path::new(file))?);
    let content = content.ok().with_context(|| format!("{file} is not text"))?;
    let entries = parse(&content).with_context(|| file.to_string())?;
    match entries.is_empty() {
        true => Err(err!("{file} holds no convolution").into()),
        false => Ok(entries),
    }
}

fn parse(content: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (i, line) in content.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            entries.push(entry(line).map_err(|e| err!("line {}: {e}", i + 1))?);
        }
    }
    Ok(entries)
}

fn entry(line: &str) -> Result<Entry, String> {
    let (case, times) = match line.split_once(char::is_whitespace) {
        None => (line, 1),
        Some((case, times)) => {
            let times = times.trim();
            let count = times.strip_prefix('x').and_then(|t| t.parse().ok()).filter(|&t| t >= 1);
            (case, count.ok_or_else(|| format!("'{times}' is not a number of times; write x8"))?)
        }
    };
    let case: ConvCase = case.parse().map_err(|e| format!("{e}"))?;
    Ok(Entry { case, times })
}

/// The convolutions of a network for an input, each once with its number, in the order in which they first occur.
pub(super) fn of_net(net: &Net, [h, w]: [usize; 2]) -> Result<Vec<Entry>> {
    let shapes = net.shapes([1, 3, h, w])?;
    let mut entries: Vec<Entry> = Vec::new();
    for node in net.nodes() {
        let Op::Conv(conv) = node.op else { continue };
        let [_, ic, ih, iw] = shapes[node.inputs[0].index()];
        let desc = ConvDesc {
            ic,
            oc: node.channels,
            kernel: conv.kernel,
            stride: conv.stride,
            padding: conv.padding,
        };
        let case = ConvCase { desc, ih, iw };
        match entries.iter_mut().find(|e| e.case == case) {
            Some(entry) => entry.times += 1,
            None => entries.push(Entry { case, times: 1 }),
        }
    }
    Ok(entries)
}

/// The text of a file.
pub(super) fn text(title: &str, entries: &[Entry]) -> String {
    let mut text = format!("# {title}\n");
    for Entry { case, times } in entries {
        text += &match times {
            1 => format!("{case}\n"),
            n => format!("{case} x{n}\n"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_list_are_inverses() {
        let net = hrnet_ir::zoo::find("cls_w18_small_v1").unwrap().model.build().unwrap();
        let entries = of_net(&net, [64, 96]).unwrap();
        assert_eq!(parse(&text("title", &entries)).unwrap(), entries);
        let total: u32 = entries.iter().map(|e| e.times).sum();
        let convs = net.nodes().iter().filter(|n| matches!(n.op, Op::Conv(_))).count();
        assert_eq!(total as usize, convs);
        assert_eq!(entries[0].case.to_string(), "ic3ih64iw96oc64k3s2p1");
    }

    #[test]
    fn wrong_lines_are_named() {
        let good = "ic64ih56iw56oc64k3s1p1";
        assert_eq!(parse(&format!(" {good} x3 # twice\n\n#\n{good}")).unwrap().len(), 2);
        for bad in [format!("{good} 3"), format!("{good} x0"), format!("{good} x"), "ic1".into()] {
            let message = parse(&format!("# one\n{bad}\n")).unwrap_err().to_string();
            assert!(message.contains("line 2"), "{message}");
        }
    }
}
