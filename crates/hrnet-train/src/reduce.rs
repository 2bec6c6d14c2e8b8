//! The hook for training on several processes: every process holds the whole network and its share of each batch.
//!
//! A step sums over the processes: the loss, the statistics of batch norms forward and their gradient sums backward (so a
//! batch norm sees the whole batch), and the gradients, piece by piece in the order in which the backward pass completes
//! them, so that sending goes on beside computing. The order of pieces is fixed by the network and the same everywhere.

use crate::error::BoxError;
use crate::par::lock;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What the processes of a run exchange. Every process must get the same bits.
pub trait Reduce: Send + Sync + std::fmt::Debug {
    /// Number of this process, from 0.
    fn rank(&self) -> usize;

    /// Number of processes.
    fn size(&self) -> usize;

    /// Replaces values by their sums over all processes; waits for them.
    fn sum(&self, values: &mut [f64]) -> Result<(), BoxError>;

    /// The gradients from position `start` on are complete: begin to sum them. They are copied or sent before it returns.
    fn ready(&self, start: usize, grads: &[f32]) -> Result<(), BoxError>;

    /// Waits for the sums of all pieces of this step and writes each at its place in `grads`.
    fn finish(&self, grads: &mut [f32]) -> Result<(), BoxError>;
}

/// One process by itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Reduce for Alone {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn sum(&self, _values: &mut [f64]) -> Result<(), BoxError> {
        Ok(())
    }

    fn ready(&self, _start: usize, _grads: &[f32]) -> Result<(), BoxError> {
        Ok(())
    }

    fn finish(&self, _grads: &mut [f32]) -> Result<(), BoxError> {
        Ok(())
    }
}

/// The members of a group of threads of one process, for tests and for trying a distributed run.
pub fn threads(size: usize) -> Vec<Arc<dyn Reduce>> {
    let table = Arc::new(Table { state: Mutex::new(State::default()), turn: Condvar::new(), size });
    (0..size)
        .map(|rank| {
            let member = Member { rank, table: table.clone(), pieces: Mutex::default() };
            Arc::new(member) as Arc<dyn Reduce>
        })
        .collect()
}

/// Where members of a group put their shares.
#[derive(Debug)]
struct Table {
    state: Mutex<State>,
    turn: Condvar,
    size: usize,
}

#[derive(Debug, Default)]
struct State {
    /// Exchanges completed.
    round: u64,
    shares: Vec<(usize, Vec<f64>)>,
    sums: Vec<f64>,
    /// Members that still have to fetch the sums of the last exchange.
    leaving: usize,
    /// A member left in the middle of a run.
    broken: bool,
}

#[derive(Debug)]
struct Member {
    rank: usize,
    table: Arc<Table>,
    pieces: Mutex<Vec<(usize, Vec<f32>)>>,
}

impl Drop for Member {
    fn drop(&mut self) {
        lock(&self.table.state).broken = true;
        self.table.turn.notify_all();
    }
}

impl Reduce for Member {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.table.size
    }

    fn sum(&self, values: &mut [f64]) -> Result<(), BoxError> {
        let table = &self.table;
        let wait = |state| table.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
        let mut state = lock(&table.state);
        while state.leaving > 0 && !state.broken {
            state = wait(state);
        }
        if state.broken {
            return Err("another member of the group is gone".into());
        }
        let round = state.round;
        state.shares.push((self.rank, values.to_vec()));
        if state.shares.len() == table.size {
            let mut shares = std::mem::take(&mut state.shares);
            // In the order of the ranks, so that the sum does not depend on who came first.
            shares.sort_by_key(|(rank, _)| *rank);
            let mut sums = vec![0.0; values.len()];
            for (rank, share) in &shares {
                if share.len() != sums.len() {
                    state.broken = true;
                    table.turn.notify_all();
                    return Err(format!("rank {rank} is at another place of the run").into());
                }
                sums.iter_mut().zip(share).for_each(|(s, v)| *s += v);
            }
            state.sums = sums;
            state.round += 1;
            state.leaving = table.size;
            table.turn.notify_all();
        }
        while state.round == round {
            if state.broken {
                return Err("another member of the group is gone".into());
            }
            state = wait(state);
        }
        values.copy_from_slice(&state.sums);
        state.leaving -= 1;
        if state.leaving == 0 {
            table.turn.notify_all();
        }
        Ok(())
    }

    fn ready(&self, start: usize, grads: &[f32]) -> Result<(), BoxError> {
        lock(&self.pieces).push((start, grads.to_vec()));
        Ok(())
    }

    fn finish(&self, grads: &mut [f32]) -> Result<(), BoxError> {
        for (start, piece) in std::mem::take(&mut *lock(&self.pieces)) {
            let mut sums: Vec<f64> = piece.iter().map(|&g| f64::from(g)).collect();
            self.sum(&mut sums)?;
            let place = &mut grads[start..start + piece.len()];
            place.iter_mut().zip(&sums).for_each(|(g, &s)| *g = s as f32);
        }
        Ok(())
    }
}
