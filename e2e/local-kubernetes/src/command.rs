//! Runs other programs to their end, and says which one failed and with what words.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Where Debian keeps programs; a user's own `PATH` often lacks the `sbin` folders.
const FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The program's file, looked up in `PATH` first and in the system's folders after that.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// A command for `program`, by its full path where it is known.
pub fn command(program: &str) -> Command {
    Command::new(find(program).unwrap_or_else(|| PathBuf::from(program)))
}

/// Runs the command; its output is swallowed when it succeeds and part of the error when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    output(command).map(|_| ())
}

/// Runs the command and returns what it wrote to its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let done = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{line}`; is the program installed?"))?;
    let written = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status.success() {
        return Ok(written);
    }
    let complaint = String::from_utf8_lossy(&done.stderr);
    bail!("`{line}` failed ({}): {}", done.status, last_lines(&format!("{written}{complaint}"), 15));
}

/// Runs the command with its output going straight to the user.
pub fn run_aloud(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed ({status}); its own words are above");
    }
    Ok(())
}

/// Writes a line for the user. Nobody reading it any more (`up | head -1`) is no failure.
pub fn tell(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// `run(ip("link set kl0 up"))`: for commands whose arguments hold no spaces.
pub fn words(program: &str, arguments: &str) -> Command {
    let mut made = command(program);
    made.args(arguments.split_whitespace());
    made
}

pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

fn describe(command: &Command) -> String {
    let name = PathBuf::from(command.get_program());
    let name = name.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let arguments = command.get_args().map(|a| a.to_string_lossy().into_owned());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_repeats_its_words() {
        let error =
            run(command("sh").args(["-c", "echo no such thing >&2; exit 3"])).unwrap_err().to_string();
        assert!(error.contains("sh -c"), "{error}");
        assert!(error.contains("no such thing"), "{error}");
        assert!(error.contains('3'), "{error}");
    }

    #[test]
    fn only_the_last_lines_are_kept() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 5), "a");
    }
}
