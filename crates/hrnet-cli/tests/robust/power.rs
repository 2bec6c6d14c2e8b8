//! Losses of power: after every operation of the save path, every state that the medium may be in leads back to the old
//! checkpoint or to the new one.

use crate::drive::{BLOCK, Drive, Faults};
use hrnet::train::Folder;
use hrnet_ir::{Tensor, Weights};
use hrnet_train::checkpoint::Meta;
use hrnet_train::{Checkpoint, Checkpoints};
use std::path::Path;

const KEEP: usize = 2;

/// A checkpoint of several blocks; `mark` tells two of the same step apart.
pub fn file(step: u64, mark: f32) -> Vec<u8> {
    blocks(6, step, mark)
}

fn blocks(count: usize, step: u64, mark: f32) -> Vec<u8> {
    let values = (0..count * BLOCK / 4).map(|i| mark + (i as u64 * 7 + step) as f32).collect();
    let mut weights = Weights::new();
    weights.insert("conv.weight", Tensor::new([count * BLOCK / 4], values).unwrap());
    Checkpoint { meta: Meta { step, ..Meta::default() }, weights, ..Checkpoint::default() }.encode().unwrap()
}

/// Saves of a run: steps in order, one of them twice with other bytes, as a run does that ends at a checkpoint.
fn plan() -> Vec<(u64, Vec<u8>)> {
    [(1, 0.0), (2, 0.0), (3, 0.0), (4, 0.0), (4, 1.0), (5, 0.0)].map(|(s, m)| (s, file(s, m))).into()
}

/// What the states lead to: their number, and how many lead neither to the old nor to the new checkpoint.
fn examine(faults: Faults) -> (usize, Vec<String>) {
    let drive = Drive::new(faults);
    let mut checkpoints = Checkpoints::new(Folder::on(&drive, Path::new("run")), KEEP);
    let plan = match faults {
        // What is never synchronised multiplies.
        Faults { lying_files: true, .. } => [1, 2].map(|step| (step, blocks(2, step, 0.0))).into(),
        Faults { lying_folders: true, .. } => [1, 2, 3].map(|step| (step, blocks(1, step, 0.0))).into(),
        _ => plan(),
    };
    // Operations of each save.
    let mut ends = vec![0];
    for (step, bytes) in &plan {
        checkpoints.save(*step, bytes).unwrap();
        ends.push(drive.history().len());
    }
    let (mut count, mut lost) = (0, Vec::new());
    for (save, range) in ends.windows(2).enumerate() {
        let (_, new) = &plan[save];
        let old = save.checked_sub(1).map(|i| &plan[i].1);
        let history = drive.history();
        for (at, (operation, state)) in history[range[0]..range[1]].iter().enumerate() {
            for files in state.after_power_loss() {
                count += 1;
                let found = Drive::holding(files.clone());
                let verdict = recovers(&found, old, new, plan[save].0);
                if let Err(why) = verdict {
                    lost.push(format!("save {save}, after {operation} ({at}): {why}"));
                }
            }
        }
        // Once the save has returned, the new one is there whatever happens.
        for files in history[range[1] - 1].1.after_power_loss() {
            count += 1;
            if recovers(&Drive::holding(files), None, new, plan[save].0) != Ok(true) {
                lost.push(format!("save {save} had returned"));
            }
        }
    }
    (count, lost)
}

/// Whether a start finds the new checkpoint (true) or the old one, and can go on from there.
fn recovers(drive: &Drive, old: Option<&Vec<u8>>, new: &[u8], step: u64) -> Result<bool, String> {
    let folder = Folder::on(drive, Path::new("run"));
    folder.clear().map_err(|e| e.to_string())?;
    let mut checkpoints = Checkpoints::new(folder, KEEP);
    let is_new = match checkpoints.latest().map_err(|e| e.to_string())? {
        None if old.is_none() => false,
        None => return Err("nothing left".into()),
        Some(found) if !found.rejected.is_empty() => return Err(format!("{:?}", found.rejected)),
        Some(found) => {
            let bytes = found.checkpoint.encode().map_err(|e| e.to_string())?;
            if bytes != new && Some(&bytes) != old {
                return Err(format!("{} is neither old nor new", found.name));
            }
            bytes == new
        }
    };
    checkpoints.save(step, new).map_err(|e| e.to_string())?;
    let found = checkpoints.latest().map_err(|e| e.to_string())?.ok_or("the next save is lost")?;
    assert_eq!(found.checkpoint.encode().unwrap(), new);
    let files = drive.files();
    let left = files.keys().filter(|p| p.to_string_lossy().contains("hrnet-run")).count();
    if left + files.len() > KEEP + 1 { Err(format!("files pile up: {:?}", files.keys())) } else { Ok(is_new) }
}

#[test]
fn every_state_leads_to_the_old_or_the_new_checkpoint() {
    let (count, lost) = examine(Faults::default());
    println!("{count} states after a loss of power");
    assert!(count >= 1000, "{count}");
    assert!(lost.is_empty(), "{} of {count}: {:?}", lost.len(), &lost[..lost.len().min(5)]);
    // With writes in pieces there are states between them.
    let (count, lost) = examine(Faults { short: Some(5000), ..Faults::default() });
    println!("{count} states with short writes");
    assert!(lost.is_empty(), "{} of {count}: {:?}", lost.len(), &lost[..lost.len().min(5)]);
}

#[test]
fn without_synchronising_the_states_are_lost() {
    // Both flushes are needed, and this test can tell.
    let (count, lost) = examine(Faults { lying_files: true, ..Faults::default() });
    println!("without fsync of the file: {} of {count} states are lost", lost.len());
    assert!(!lost.is_empty());
    let (count, lost) = examine(Faults { lying_folders: true, ..Faults::default() });
    println!("without fsync of the folder: {} of {count} states are lost", lost.len());
    assert!(!lost.is_empty());
}
