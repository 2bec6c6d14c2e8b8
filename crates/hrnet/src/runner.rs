//! An engine with its pool and one session per input shape.

use anyhow::{Context, Result, bail};
use hrnet_engine::{Engine, EngineOptions, PlanError, Session};
use hrnet_ir::{Net, Tensor, Weights};
use hrnet_kernels::Pool;
use std::collections::HashMap;
use std::sync::Arc;

/// Sessions kept; the shapes of a folder of odd images would otherwise fill the memory.
const SESSIONS: usize = 8;

/// Runs a network.
#[derive(Debug)]
pub struct Runner {
    /// What makes further sessions; none where the weights exist only in the packed form of one plan.
    engine: Option<Engine>,
    pool: Arc<Pool>,
    sessions: HashMap<[usize; 4], Session>,
    /// Bytes of working memory that all sessions together may take.
    memory: usize,
}

impl Runner {
    /// For inputs of any shape. The weights stay in memory beside what is packed for each shape.
    pub fn new(net: &Net, weights: Weights, pool: Arc<Pool>) -> Result<Self> {
        let options = options(&pool)?;
        let engine = Some(Engine::new(net, weights, options)?);
        Ok(Self { engine, pool, sessions: HashMap::new(), memory: options.memory_limit })
    }

    /// For inputs of any shape whose working memory is within a bound, which is that of all sessions together.
    pub fn limited(net: &Net, weights: Weights, pool: Arc<Pool>, memory: usize) -> Result<Self> {
        let options = EngineOptions { memory_limit: memory, ..options(&pool)? };
        let engine = Some(Engine::new(net, weights, options)?);
        Ok(Self { engine, pool, sessions: HashMap::new(), memory })
    }

    /// Bytes of working memory for an input of this shape, whose session is then ready; nothing beyond the bound.
    pub fn fits(&mut self, shape: [usize; 4]) -> Result<Option<usize>> {
        match self.session(shape) {
            Ok(session) => Ok(Some(session.plan().arena_bytes())),
            Err(e) if matches!(e.downcast_ref(), Some(PlanError::Limit { .. })) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// For inputs of one shape, ready to run. The process holds the weights once.
    pub fn for_shape(net: &Net, weights: Weights, pool: Arc<Pool>, shape: [usize; 4]) -> Result<Self> {
        let options = options(&pool)?;
        let engine = Engine::new(net, weights, options)?;
        let session = Session::new(&engine.into_plan(shape)?)?;
        let sessions = HashMap::from([(shape, session)]);
        Ok(Self { engine: None, pool, sessions, memory: options.memory_limit })
    }

    /// The session for a shape, made when it is first wanted.
    pub fn session(&mut self, shape: [usize; 4]) -> Result<&mut Session> {
        if !self.sessions.contains_key(&shape) {
            let engine = self.engine.as_ref().context("this model was loaded for one input shape only")?;
            let plan = engine.plan(shape)?;
            let held: usize = self.sessions.values().map(|s| s.plan().arena_bytes()).sum();
            if self.sessions.len() >= SESSIONS || held.saturating_add(plan.arena_bytes()) > self.memory {
                self.sessions.clear();
            }
            self.sessions.insert(shape, Session::new(&plan)?);
        }
        self.sessions.get_mut(&shape).context("the session was made above")
    }

    /// The outputs for an input `[n, 3, h, w]`.
    pub fn run(&mut self, input: &Tensor) -> Result<Vec<Tensor>> {
        let pool = self.pool.clone();
        Ok(self.session(shape_of(input)?)?.run(&pool, input)?)
    }
}

/// The processor's level, balanced for the pool.
fn options(pool: &Pool) -> Result<EngineOptions> {
    Ok(EngineOptions { threads: pool.threads(), ..EngineOptions::from_env()? })
}

/// The shape of an input, which has four dimensions.
pub fn shape_of(input: &Tensor) -> Result<[usize; 4]> {
    let Some(shape) = input.dims4() else {
        bail!("the input has shape {:?}, want [n, 3, height, width]", input.shape());
    };
    Ok(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hrnet_ir::{Arch, Head, Model, formula};

    #[test]
    fn one_shape_or_any() {
        let arch = Arch { width: 4, ..Arch::small_v1() };
        let net = Model { arch, head: Head::Pose { joints: 3, kernel: 1, branch: 0 } }.build().unwrap();
        let weights = formula::weights(&net, "");
        let pool = Arc::new(Pool::new(1));
        let (small, large) = ([1, 3, 32, 32], [1, 3, 64, 32]);
        let mut any = Runner::new(&net, weights.clone(), pool.clone()).unwrap();
        let mut one = Runner::for_shape(&net, weights, pool, small).unwrap();
        for _ in 0..2 {
            let input = formula::input("x", &small);
            assert_eq!(any.run(&input).unwrap(), one.run(&input).unwrap());
        }
        any.run(&formula::input("x", &large)).unwrap();
        assert!(one.run(&formula::input("x", &large)).unwrap_err().to_string().contains("one input shape"));
        assert!(any.run(&Tensor::zeros([3, 32, 32])).unwrap_err().to_string().contains("[3, 32, 32]"));
    }
}
