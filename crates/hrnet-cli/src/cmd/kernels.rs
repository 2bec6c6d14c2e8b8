//! `hrnet kernels`: the rows of the kernel table.

use crate::cli::Kernels;
use crate::outcome::Outcome;
use crate::say;
use hrnet_kernels::{Isa, kernels};
use serde_json::{Value, json};

pub(super) fn run(args: &Kernels) -> Outcome {
    let isa = Isa::from_env()?;
    if args.json {
        let rows: Vec<Value> = kernels()
            .iter()
            .map(|k| json!({"name": k.name(), "isa": k.isa.name(), "usable": k.isa <= isa}))
            .collect();
        say!("{}", json!({"isa": isa.name(), "kernels": rows}));
        return Ok(());
    }
    say!("instruction set in use: {} (HRNET_ISA can lower it)", isa.name());
    for kernel in kernels() {
        say!("{:<40}{}", kernel.name(), if kernel.isa <= isa { "" } else { "  not on this machine" });
    }
    Ok(())
}
