//! Keeps the compiler's version for the results of `versus compare`.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(compiler).arg("--version").output();
    let text = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    println!("cargo:rustc-env=VERSUS_RUSTC={}", text.unwrap_or_else(|_| "rustc".to_owned()));
    println!("cargo:rustc-env=VERSUS_PROFILE={}", env::var("PROFILE").unwrap_or_default());
}
