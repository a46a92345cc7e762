//! `cargo xtask`: the project's own commands, in Rust so that a fresh machine needs nothing but cargo to start.
//!
//! Each command is one module. What must stay true: this crate has few dependencies and compiles in seconds, every
//! child `cargo` builds into one target directory outside the checkout, and every process started here is ended here.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool talks on its standard streams")]

mod bench;
mod codegen;
mod display;
mod files;
mod package;
mod process;
mod run;
mod screenshot;
mod session;
mod setup;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::prelude::*;

use crate::workspace::Workspace;

const HELP: &str = "\
Usage: cargo xtask COMMAND

  run         Set up, build and open the window on the demo fleet
                --no-demo                 start empty
                --headless                use a virtual display even when there is a real one
                --exit-after-screenshot   without a display: end once the picture is written
                -- ARGS                   handed to the app
  test        Everything that must hold, in stages; stops at the first that fails
                --only STAGE              this stage alone (may be repeated)
                --skip STAGE              all but this stage (may be repeated)
                --all                     also the stage `heavy`: gigabytes of model servers, many minutes
                --list                    print the stages
  setup       What `run` and `test` need on this machine: packages, node modules, UI build, Python servers
                --servers                 the model servers alone
                --all                     also those of the stage `heavy`
  codegen     Write the TypeScript types of the command surface (--check: only compare)
  tidy        Check the invariants of ARCHITECTURE.md
  package     Build the installable package (--debug: without optimisation)
  bench       Run the benchmarks and write docs/benchmarks.md (--only CRATE, may be repeated)
  screenshot  Take the README's pictures of the real window

Environment: CARGO_TARGET_DIR  where to build (default: $HOME/.cache/pilothouse-target)
";

fn main() -> ExitCode {
    match command() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<()> {
    let mut arguments = lexopt::Parser::from_env();
    let name = match arguments.next()? {
        Some(Value(name)) => name.string()?,
        Some(Short('h') | Long("help")) => {
            print!("{HELP}");
            return Ok(());
        }
        Some(other) => return Err(other.unexpected().into()),
        None => {
            print!("{HELP}");
            bail!("which command?");
        }
    };
    process::listen_for_interrupts().context("cannot listen for Ctrl-C")?;
    let workspace = Workspace::find()?;
    match name.as_str() {
        "run" => run::run(&workspace, &run::Options::parse(arguments)?),
        "test" => test::run(&workspace, &test::Options::parse(arguments)?),
        "setup" => {
            let [only_servers, heavy_servers] = flags(arguments, ["servers", "all"])?;
            if only_servers {
                setup::prepare(&workspace, setup::Needs { servers: true, heavy_servers, ..Default::default() })
            } else {
                setup::everything(&workspace, heavy_servers)
            }
        }
        "codegen" => {
            let check = flag(arguments, "check")?;
            codegen::run(&workspace, check)
        }
        "tidy" => {
            no_more(arguments)?;
            tidy::run(&workspace)
        }
        "package" => {
            let debug = flag(arguments, "debug")?;
            package::run(&workspace, debug)
        }
        "bench" => bench::run(&workspace, &bench::Options::parse(arguments)?),
        "screenshot" => {
            no_more(arguments)?;
            screenshot::run(&workspace)
        }
        "help" => {
            print!("{HELP}");
            Ok(())
        }
        other => bail!("no command `{other}`; `cargo xtask --help` lists them"),
    }
}

/// Refuses anything left on the command line.
fn no_more(mut arguments: lexopt::Parser) -> Result<()> {
    match arguments.next()? {
        Some(argument) => Err(argument.unexpected().into()),
        None => Ok(()),
    }
}

/// Reads the one flag a command knows.
fn flag(arguments: lexopt::Parser, name: &str) -> Result<bool> {
    flags(arguments, [name]).map(|[set]| set)
}

/// Reads the flags a command knows.
fn flags<const N: usize>(mut arguments: lexopt::Parser, names: [&str; N]) -> Result<[bool; N]> {
    let mut set = [false; N];
    while let Some(argument) = arguments.next()? {
        match argument {
            Long(given) if names.contains(&given) => {
                for (name, set) in names.iter().zip(&mut set) {
                    *set |= *name == given;
                }
            }
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(set)
}
