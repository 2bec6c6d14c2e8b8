//! An engine with its pool and one session per input shape.

use anyhow::Result;
use hrnet_engine::{Engine, EngineOptions, Session};
use hrnet_ir::{Net, Tensor, Weights};
use hrnet_kernels::Pool;
use std::collections::HashMap;
use std::sync::Arc;

/// Sessions kept; the shapes of a folder of odd images would otherwise fill the memory.
const SESSIONS: usize = 8;

/// Runs a network on inputs of any shape.
#[derive(Debug)]
pub struct Runner {
    engine: Engine,
    pool: Arc<Pool>,
    sessions: HashMap<[usize; 4], Session>,
}

impl Runner {
    /// Folds, fuses and packs. The weights are used up: the process shall not hold them beside their packed form.
    pub fn new(net: &Net, weights: Weights, pool: Arc<Pool>) -> Result<Self> {
        let engine = Engine::new(net, weights, EngineOptions::from_env()?)?;
        Ok(Self { engine, pool, sessions: HashMap::new() })
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The threads.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The session for a shape, made when it is first wanted.
    pub fn session(&mut self, shape: [usize; 4]) -> Result<&mut Session> {
        if self.sessions.len() >= SESSIONS && !self.sessions.contains_key(&shape) {
            self.sessions.clear();
        }
        Ok(match self.sessions.entry(shape) {
            std::collections::hash_map::Entry::Occupied(e) => e.into_mut(),
            std::collections::hash_map::Entry::Vacant(e) => e.insert(self.engine.session(shape)?),
        })
    }

    /// The outputs for an input `[n, 3, h, w]`.
    pub fn run(&mut self, input: &Tensor) -> Result<Vec<Tensor>> {
        let Some(shape) = input.dims4() else {
            anyhow::bail!("the input has shape {:?}, want [n, 3, height, width]", input.shape());
        };
        let pool = self.pool.clone();
        Ok(self.session(shape)?.run(&pool, input)?)
    }
}
