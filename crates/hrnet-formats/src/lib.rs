//! Weight files in and out: PyTorch checkpoints, safetensors, recipes.
#![forbid(unsafe_code)]

pub mod golden;
