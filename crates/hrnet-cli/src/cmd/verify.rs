//! `hrnet verify`: golden vectors against what this program computes. Exit code 3 when a case fails.

use crate::cli::Verify;
use crate::outcome::{Failure, Outcome};
use crate::say;
use hrnet::error::one_line;
use hrnet_ir::Tensor;
use hrnet_kernels::{Isa, Pool};
use hrnet_proof::verify::{Check, Files, Setup, verify_file};
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

type BoxError = Box<dyn Error + Send + Sync>;

/// Files under the limits of this program.
struct Disk;

impl Files for Disk {
    fn bytes(&self, path: &Path) -> Result<Vec<u8>, BoxError> {
        Ok(hrnet::io::read(path)?)
    }

    fn array(&self, path: &Path) -> Result<Tensor, BoxError> {
        Ok(hrnet::npy::read(path)?)
    }
}

pub(super) fn run(args: &Verify) -> Outcome {
    let context = Setup {
        files: &Disk,
        executor: args.executor,
        isa: Isa::from_env()?,
        pool: Arc::new(Pool::new(args.compute.threads())),
        images: args.images.clone(),
    };
    let (mut failed, mut errors, mut results) = (0, 0, Vec::new());
    for file in &args.files {
        match verify_file(&context, file) {
            Ok(case) => {
                let ok = case.checks.iter().all(Check::passes);
                failed += usize::from(!ok);
                if !args.json {
                    say!("{} {} [{}]", if ok { "ok  " } else { "FAIL" }, case.name, case.kind);
                    for check in &case.checks {
                        say!("       {}", check.line());
                    }
                }
                let checks: Vec<Value> = case.checks.iter().map(Check::json).collect();
                results.push(
                    json!({"file": file, "case": case.name, "kind": case.kind, "ok": ok, "checks": checks}),
                );
            }
            Err(error) => {
                errors += 1;
                eprintln!("error: {}: {}", file.display(), one_line(&error));
                results.push(json!({"file": file, "ok": false, "error": one_line(&error)}));
            }
        }
    }
    let total = args.files.len();
    if args.json {
        say!("{}", json!({"cases": total, "failed": failed, "errors": errors, "results": results}));
    } else {
        say!("{} of {total} cases pass", total - failed - errors);
    }
    if failed > 0 {
        return Err(Failure::Check(format!("{failed} of {total} cases exceed their limits")));
    }
    if errors > 0 {
        return Err(Failure::Runtime(hrnet::err!("{errors} of {total} files could not be verified")));
    }
    Ok(())
}
