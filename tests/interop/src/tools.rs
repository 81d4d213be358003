//! The programs that the tests start, and where they are found.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs and the packages that they are in.
const PACKAGES: &str = include_str!("../packages.txt");

/// Returns the command that starts the program `name`.
///
/// # Panics
///
/// If the program is missing. The message names the package of Debian that has it.
pub fn program(name: &str) -> Command {
    Command::new(find(name))
}

/// Returns the command that starts the program `name` as `user`, where this process is root's:
/// PostgreSQL refuses to run as root.
///
/// # Panics
///
/// As [`program`].
pub fn program_as(user: &str, name: &str) -> Command {
    let path = find(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = program("setpriv");
    // A change of the user resets the signal that `Peer` asks the kernel for: it is asked for anew.
    command.args(["--reuid", user, "--regid", user, "--clear-groups", "--pdeathsig", "KILL"]);
    command.arg(path);
    command
}

/// Returns the command that runs `script`, a file of `tests/interop/python`, with the modules of
/// `requirements.txt`.
///
/// # Panics
///
/// If the environment of Python is missing. The message says what makes it.
pub fn python(script: &str) -> Command {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/interop-venv");
    let interpreter = environment.join("bin/python");
    assert!(
        interpreter.exists(),
        "{} is missing: `.ci/interop` makes it by `python3 -m venv` and `pip install -r \
         tests/interop/requirements.txt`",
        environment.display(),
    );
    let mut command = Command::new(interpreter);
    command.arg("-u").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script));
    command
}

/// Returns `true` if this process is root's.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").expect("procfs").uid() == 0
}

/// Folders of programs for which PATH has a script: it would stay between the test and the program, and
/// RabbitMQ's asks for a certain user.
const BEHIND_SCRIPTS: [&str; 2] = ["/usr/lib/rabbitmq/bin", "/usr/lib/chromium"];

/// Returns where the program `name` is: in one of [`BEHIND_SCRIPTS`], in a folder of PATH, in one of those
/// where servers are, which a user's PATH may lack, or in that of a version of PostgreSQL.
fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = BEHIND_SCRIPTS.map(PathBuf::from).to_vec();
    folders.extend(std::env::split_paths(&path));
    folders.extend(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from));
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    folders.extend(versions.map(|version| version.path().join("bin")));
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        let package = package_of(name);
        panic!("the program {name} is missing: `apt-get install {package}`, or run `.ci/interop`")
    })
}

/// Returns the package that `packages.txt` names for the program `name`.
fn package_of(name: &str) -> &'static str {
    let lines = PACKAGES.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut packages = lines.filter_map(|words| match words[..] {
        [program, package] if program == name => Some(package),
        _ => None,
    });
    packages.next().unwrap_or("(packages.txt does not name its package)")
}
