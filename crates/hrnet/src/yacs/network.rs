//! The network that `MODEL` describes.

use super::YacsError;
use super::convert::Facts;
use super::keys::Repository;
use hrnet_ir::{Arch, Depth, Fuse, Head, MAX_OUTPUTS, MAX_REPEAT, MAX_WIDTH, Model};

/// The network; its numbers are in the ranges of `hrnet-ir`.
pub(super) fn model(facts: &Facts) -> Result<Model, YacsError> {
    let arch = arch(facts)?;
    let outputs = |key: &str, default: i64| bounded(key, facts.whole(key, default), MAX_OUTPUTS);
    let kernel = facts.whole("MODEL.EXTRA.FINAL_CONV_KERNEL", 1);
    if !matches!(kernel, 1 | 3) {
        return Err(fail("MODEL.EXTRA.FINAL_CONV_KERNEL", &kernel.to_string(), "1 or 3"));
    }
    let kernel = kernel as usize;
    let head = match facts.repository {
        Repository::Pose => Head::Pose { joints: outputs("MODEL.NUM_JOINTS", 17)?, kernel, branch: 0 },
        Repository::Face => Head::Landmark { points: outputs("MODEL.NUM_JOINTS", 17)?, kernel },
        Repository::Segmentation { ocr: false } => {
            Head::Segment { classes: outputs("DATASET.NUM_CLASSES", 19)?, kernel }
        }
        Repository::Segmentation { ocr: true } => Head::Ocr { classes: outputs("DATASET.NUM_CLASSES", 19)? },
        Repository::Classification => {
            Head::Classify { classes: outputs("MODEL.NUM_CLASSES", 1000)?, bias: true }
        }
        Repository::Higher => Head::Higher { joints: outputs("MODEL.NUM_JOINTS", 17)? },
    };
    fixed(facts, &arch, head)?;
    Ok(Model { arch, head })
}

fn arch(facts: &Facts) -> Result<Arch, YacsError> {
    let mut modules = [0; 3];
    let mut width = None;
    let mut blocks = None;
    for (stage, module) in (2..).zip(&mut modules) {
        let key = |name: &str| format!("MODEL.EXTRA.STAGE{stage}.{name}");
        *module = bounded(&key("NUM_MODULES"), facts.wanted_whole(&key("NUM_MODULES"))?, MAX_REPEAT)?;
        let count = facts.whole(&key("NUM_BRANCHES"), facts.whole(&key("NUM_RANCHES"), stage));
        if count != stage {
            return Err(fail(&key("NUM_BRANCHES"), &count.to_string(), &format!("{stage} in this stage")));
        }
        facts.only(&key("BLOCK"), "BASIC")?;
        facts.only(&key("FUSE_METHOD"), "SUM")?;
        let list = facts.wanted_wholes(&key("NUM_BLOCKS"))?;
        let want = *blocks.get_or_insert(list.first().copied().unwrap_or(0));
        if list.len() != stage as usize || list.iter().any(|&b| b != want) {
            let wanted = format!("{want}, once for each of {stage} branches, as in the other stages");
            return Err(fail(&key("NUM_BLOCKS"), &format!("{list:?}"), &wanted));
        }
        let list = facts.wanted_wholes(&key("NUM_CHANNELS"))?;
        let top = *width.get_or_insert(list.first().copied().unwrap_or(0));
        bounded(&key("NUM_CHANNELS"), top, MAX_WIDTH)?;
        let wanted: Vec<i64> = (0..stage).map(|branch| top << branch).collect();
        if list != wanted {
            let wanted = format!("{wanted:?}: doubling, and the same in all stages");
            return Err(fail(&key("NUM_CHANNELS"), &format!("{list:?}"), &wanted));
        }
    }
    let one = |name: &str, default: i64, max: usize| {
        let key = format!("MODEL.EXTRA.STAGE1.{name}");
        match facts.wholes(&key).as_deref() {
            None => Ok(default as usize),
            Some(&[n]) => bounded(&key, n, max),
            Some(other) => Err(fail(&key, &format!("{other:?}"), "one number")),
        }
    };
    facts.only("MODEL.EXTRA.STAGE1.BLOCK", "BOTTLENECK")?;
    facts.only("MODEL.EXTRA.STAGE1.FUSE_METHOD", "SUM")?;
    for name in ["NUM_MODULES", "NUM_BRANCHES", "NUM_RANCHES"] {
        let key = format!("MODEL.EXTRA.STAGE1.{name}");
        facts.only_whole(&key, 1)?;
    }
    // Human pose and faces have stage 1 in their code, whatever the file says.
    let (planes, first) = match facts.repository {
        Repository::Pose | Repository::Face | Repository::Higher => (64, 4),
        _ => (one("NUM_CHANNELS", 64, MAX_WIDTH)?, one("NUM_BLOCKS", 4, MAX_REPEAT)?),
    };
    let (width, blocks) = (width.unwrap_or(0), blocks.unwrap_or(0));
    let (fuse, momentum) = match facts.repository {
        Repository::Face => (Fuse::Bilinear { align_corners: false }, 0.01),
        Repository::Segmentation { .. } => (Fuse::Bilinear { align_corners: facts.align_corners() }, 0.1),
        _ => (Fuse::Nearest, 0.1),
    };
    let depth = Depth {
        layer1_planes: planes,
        layer1_blocks: first,
        modules,
        blocks: bounded("MODEL.EXTRA.STAGE2.NUM_BLOCKS", blocks, MAX_REPEAT)?,
    };
    let width = bounded("MODEL.EXTRA.STAGE2.NUM_CHANNELS", width, MAX_WIDTH)?;
    Ok(Arch { depth, ..Arch::new(width).fuse(fuse).bn_momentum(momentum) })
}

/// Keys that have one value in all networks of the family.
fn fixed(facts: &Facts, arch: &Arch, head: Head) -> Result<(), YacsError> {
    facts.only_whole("MODEL.EXTRA.STEM_INPLANES", 64)?;
    facts.only_bool("MODEL.EXTRA.WITH_HEAD", true)?;
    match head {
        Head::Ocr { .. } => {
            facts.only_whole("MODEL.NUM_OUTPUTS", 2)?;
            facts.only_whole("MODEL.OCR.MID_CHANNELS", 512)?;
            facts.only_whole("MODEL.OCR.KEY_CHANNELS", 256)?;
            facts.only_whole("MODEL.OCR.SCALE", 1)?;
            let dropout = facts.number("MODEL.OCR.DROPOUT", 0.05);
            if dropout != 0.05 {
                return Err(fail("MODEL.OCR.DROPOUT", &dropout.to_string(), "0.05"));
            }
        }
        Head::Segment { .. } => facts.only_whole("MODEL.NUM_OUTPUTS", 1)?,
        Head::Higher { joints } => {
            facts.only_whole("DATASET.NUM_JOINTS", joints as i64)?;
            facts.only_whole("MODEL.EXTRA.FINAL_CONV_KERNEL", 1)?;
            facts.only_whole("MODEL.EXTRA.DECONV.NUM_DECONVS", 1)?;
            facts.only_whole("MODEL.EXTRA.DECONV.NUM_BASIC_BLOCKS", 4)?;
            facts.only_wholes("MODEL.EXTRA.DECONV.NUM_CHANNELS", &[arch.width as i64])?;
            facts.only_wholes("MODEL.EXTRA.DECONV.KERNEL_SIZE", &[4])?;
            facts.only_bool("MODEL.EXTRA.DECONV.CAT_OUTPUT", true)?;
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn fail(key: &str, value: &str, wanted: &str) -> YacsError {
    YacsError::Setting(format!("{key} = {value}: want {wanted}"))
}

pub(super) fn bounded(key: &str, value: i64, max: usize) -> Result<usize, YacsError> {
    usize::try_from(value)
        .ok()
        .filter(|n| (1..=max).contains(n))
        .ok_or_else(|| fail(key, &value.to_string(), &format!("1 to {max}")))
}
