//! Compiles the helper program that keeps runs (`src/claude/supervisor/helper.rs`), for the library to embed.
//!
//! By the compiler that cargo uses, for cargo's target, from one crate of this package that needs `core`
//! and no library: no network, no other tool, the same bytes from the same compiler. The compiler's own
//! linker needs nothing of the target either; the system's is the second choice, for compilers that come
//! without. Where neither works the build goes on without a helper, and the library says why (`doctor`
//! shows it): runs are then kept by the host program itself, started again.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where helper and library share their code, and what only the helper has.
const SOURCES: &str = "src/claude/supervisor";

/// The compiler's own linker, and the system's without the system's libraries.
const LINKERS: [&[&str]; 2] = [
    &["-Clinker=rust-lld", "-Clinker-flavor=ld.lld", "-Clink-self-contained=no"],
    &["-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib", "-Clink-arg=-static"],
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rustc-check-cfg=cfg(supervisor)");
    for source in ["helper.rs", "helper", "keeper.rs", "keeper"] {
        println!("cargo::rerun-if-changed={SOURCES}/{source}");
    }
    if !has_supervisors()? {
        return Ok(());
    }
    println!("cargo::rustc-cfg=supervisor");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let (helper, problem) = match build(&out) {
        Ok(helper) => (helper, String::new()),
        Err(problem) => (Vec::new(), problem.to_string()),
    };
    fs::write(out.join("helper"), helper)?;
    fs::write(out.join("helper.problem"), problem)?;
    Ok(())
}

/// Linux, on the architectures that claude runs on.
fn has_supervisors() -> Result<bool, env::VarError> {
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    Ok(env::var("CARGO_CFG_TARGET_OS")? == "linux"
        && env::var("CARGO_CFG_TARGET_POINTER_WIDTH")? == "64"
        && env::var("CARGO_CFG_TARGET_ENDIAN")? == "little"
        && ["x86_64", "aarch64"].contains(&architecture.as_str()))
}

fn build(out: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut problems = Vec::new();
    for linker in LINKERS {
        let program = out.join("helper.program");
        match compile(linker, &program) {
            Ok(()) => return Ok(fs::read(program)?),
            Err(problem) => problems.push(problem.to_string()),
        }
    }
    Err(problems.join("; ").into())
}

fn compile(linker: &[&str], program: &Path) -> Result<(), Box<dyn Error>> {
    let mut rustc = Command::new(env::var_os("RUSTC").ok_or("cargo names no compiler")?);
    rustc.args(["--edition=2024", "--crate-name=claude_jobs_helper", "--crate-type=bin"]);
    rustc.arg("--target").arg(env::var("TARGET")?);
    // Small, at a fixed address, complete in itself.
    rustc.args(["-Copt-level=s", "-Cpanic=abort", "-Clto=fat", "-Ccodegen-units=1", "-Cstrip=symbols"]);
    rustc.args(["-Crelocation-model=static", "-Ctarget-feature=+crt-static", "-Cforce-unwind-tables=no"]);
    if let Some(system) = env::var_os("RUSTC_LINKER").filter(|_| !linker[0].starts_with("-Clinker=")) {
        let mut argument = std::ffi::OsString::from("-Clinker=");
        argument.push(system);
        rustc.arg(argument);
    }
    rustc.args(linker).arg("-o").arg(program).arg(format!("{SOURCES}/helper.rs"));
    let output = rustc.output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = said.lines().find(|line| line.starts_with("error")).unwrap_or("no reason given");
    Err(format!("the compiler ended with {}: {why}", output.status).into())
}
