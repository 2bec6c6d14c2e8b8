//! An engine with its pool and one session per input shape.

use crate::error::{Context, Result, bail};
use hrnet_engine::{Engine, EngineOptions, Needs, Plan, PlanError, Session};
use hrnet_ir::{Net, Tensor, Weights};
use hrnet_kernels::Pool;
use std::collections::HashMap;
use std::sync::Arc;

/// Sessions kept; the shapes of a folder of odd images would otherwise fill the memory.
const SESSIONS: usize = 8;

const ONE_SHAPE: &str = "this model was loaded for one input shape only";

/// Runs a network.
#[derive(Debug)]
pub struct Runner {
    /// What makes further sessions; none where the weights exist only in the packed form of one plan.
    engine: Option<Engine>,
    pool: Arc<Pool>,
    sessions: HashMap<[usize; 4], Session>,
    /// Bytes that all sessions together may take, packed weights included.
    memory: usize,
    /// Bytes of the weights that are or were kept for further shapes.
    weights: usize,
    /// What was found for shapes; nothing beyond the bound on the working memory of a session.
    needs: HashMap<[usize; 4], Option<Needs>>,
}

impl Runner {
    /// For inputs of any shape. The weights stay in memory beside what is packed for each shape.
    pub fn new(net: &Net, weights: Weights, pool: Arc<Pool>) -> Result<Self> {
        Self::limited(net, weights, pool, EngineOptions::DEFAULT_MEMORY_LIMIT)
    }

    /// For inputs of any shape whose working memory is within a bound.
    pub fn limited(net: &Net, weights: Weights, pool: Arc<Pool>, memory: usize) -> Result<Self> {
        let options = EngineOptions { memory_limit: memory, ..options(&pool)? };
        let engine = Engine::new(net, weights, options)?;
        let weights = engine.weight_bytes();
        let (sessions, needs) = Default::default();
        Ok(Self { engine: Some(engine), pool, sessions, memory, weights, needs })
    }

    /// For inputs of one shape, ready to run. The process holds the weights once.
    pub fn for_shape(net: &Net, weights: Weights, pool: Arc<Pool>, shape: [usize; 4]) -> Result<Self> {
        let mut runner = Self::new(net, weights, pool)?;
        runner.settle(shape)?;
        Ok(runner)
    }

    /// From now on there is one shape: its session is ready, and the process holds the weights once.
    pub fn settle(&mut self, shape: [usize; 4]) -> Result<()> {
        self.sessions.retain(|&other, _| other == shape);
        let Some(engine) = self.engine.take() else { return self.session(shape).map(|_| ()) };
        if self.sessions.is_empty() {
            self.sessions.insert(shape, Session::new(&engine.into_plan(shape)?)?);
        }
        Ok(())
    }

    /// Bytes that all sessions together may take from now on, packed weights included: sessions of other shapes go where a new
    /// one would be beyond it, and those that are beyond it already go now.
    pub fn set_memory(&mut self, bytes: usize) {
        self.memory = bytes;
        let arenas: usize = self.sessions.values().map(|s| s.plan().arena_bytes()).sum();
        let packed = self.engine.as_ref().map_or(0, Engine::packed_bytes);
        if self.engine.is_some() && arenas.saturating_add(packed) > bytes {
            self.sessions.clear();
        }
    }

    /// Bytes of the weights that are kept beside the packed ones until [`Runner::settle`]; the same number afterwards.
    pub fn weight_bytes(&self) -> usize {
        self.weights
    }

    /// What an input of this shape takes; nothing beyond the bound on working memory. Nothing is allocated.
    pub fn needs(&mut self, shape: [usize; 4]) -> Result<Option<Needs>> {
        if let Some(known) = self.needs.get(&shape) {
            return Ok(*known);
        }
        let engine = self.engine.as_ref().context(ONE_SHAPE)?;
        let found = match engine.needs(shape) {
            Ok(needs) => Some(needs),
            Err(PlanError::Limit { .. }) => None,
            Err(e) => return Err(e.into()),
        };
        self.needs.insert(shape, found);
        Ok(found)
    }

    /// The session for a shape, made when it is first wanted.
    pub fn session(&mut self, shape: [usize; 4]) -> Result<&mut Session> {
        if !self.sessions.contains_key(&shape) {
            let engine = self.engine.as_ref().context(ONE_SHAPE)?;
            let Needs { arena, new, .. } = engine.needs(shape)?;
            let held: usize = self.sessions.values().map(|s| s.plan().arena_bytes()).sum();
            let packed = engine.packed_bytes().saturating_add(new).saturating_add(arena);
            // What is packed for other shapes serves this one too, or goes before more is packed.
            let mut others: Vec<Arc<Plan>> = Vec::new();
            if self.sessions.len() >= SESSIONS || held.saturating_add(packed) > self.memory {
                if packed <= self.memory {
                    others.extend(self.sessions.values().map(|s| Arc::clone(s.plan())));
                }
                self.sessions.clear();
            }
            let plan = engine.plan(shape)?;
            drop(others);
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
    use hrnet_ir::{Arch, Head, Model};
    use hrnet_proof::formula;

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
        assert!(any.needs(small).unwrap().unwrap().arena < any.needs(large).unwrap().unwrap().arena);
        any.settle(large).unwrap();
        assert!(any.run(&formula::input("x", &small)).unwrap_err().to_string().contains("one input shape"));
        any.run(&formula::input("x", &large)).unwrap();
        assert!(any.run(&Tensor::zeros([3, 32, 32])).unwrap_err().to_string().contains("[3, 32, 32]"));
    }

    #[test]
    fn sessions_of_other_shapes_go_where_memory_ends() {
        let arch = Arch { width: 4, ..Arch::small_v1() };
        let net = Model { arch, head: Head::Pose { joints: 3, kernel: 1, branch: 0 } }.build().unwrap();
        let pool = Arc::new(Pool::new(1));
        let mut runner = Runner::limited(&net, formula::weights(&net, ""), pool, 1 << 30).unwrap();
        let shapes = [[1, 3, 32, 32], [1, 3, 64, 32], [1, 3, 256, 256]];
        let inputs = shapes.map(|shape| formula::input("x", &shape));
        let wanted = inputs.each_ref().map(|x| runner.run(x).unwrap());
        assert_eq!(runner.sessions.len(), 3);
        let largest = runner.needs(shapes[2]).unwrap().unwrap();
        for memory in [0, largest.arena + largest.packed, 2 * (largest.arena + largest.packed)] {
            runner.set_memory(memory);
            for (x, wanted) in inputs.iter().zip(&wanted).chain(inputs.iter().zip(&wanted)) {
                assert_eq!(&runner.run(x).unwrap(), wanted);
                let held: usize = runner.sessions.values().map(|s| s.plan().arena_bytes()).sum();
                let held = held + runner.engine.as_ref().unwrap().packed_bytes();
                assert!(held <= memory || runner.sessions.len() == 1, "{held} of {memory}");
            }
        }
    }
}
