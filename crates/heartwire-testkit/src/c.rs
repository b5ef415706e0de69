//! Programs in C, linked with the C library.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::OnceLock;

/// Checks of each access at run time; the first mistake ends the program with a report.
pub const SANITIZERS: [&str; 3] =
    ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];

/// What every program here keeps to.
const STRICT: [&str; 5] = ["-pedantic", "-Wall", "-Wextra", "-Werror", "-g"];

/// What a static library from Rust needs of the system.
const SYSTEM: [&str; 5] = ["-lpthread", "-ldl", "-lm", "-lrt", "-lgcc_s"];

/// The directory of the C library's sources, with its header and its examples.
#[must_use]
pub fn c_sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../heartwire-ffi")
}

/// The C library, built in the profile of this test.
///
/// Tests of other packages do not build it, and Cargo has no way to ask for that. It builds nothing
/// anew where nothing has changed.
#[track_caller]
pub fn c_library() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| {
        // target/PROFILE/deps/TEST
        let test = env::current_exe().unwrap();
        let built = test.ancestors().nth(2).expect("a test lies in the target directory");
        let profile = match built.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            name => name,
        };
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--quiet", "--locked", "--package", "heartwire-ffi", "--lib"]);
        command.args(["--profile", profile, "--target-dir"]).arg(built.parent().unwrap());
        let building = command.current_dir(c_sources()).output().unwrap();
        assert!(building.status.success(), "{}", String::from_utf8_lossy(&building.stderr));
        built.join("libheartwire_ffi.a")
    })
}

/// Compiles a program, without a warning, and links it with the C library: C99, or C++11 if its
/// name ends in `.cc`. `None` where there is no compiler for it.
///
/// # Panics
///
/// It does not compile.
#[track_caller]
pub fn compile_c(source: &Path, options: &[&str], program: &Path) -> Option<PathBuf> {
    // Another test may run the program meanwhile, or compile it as well.
    let fresh = program.with_extension(process::id().to_string());
    let is_cpp = source.extension().is_some_and(|extension| extension == "cc");
    let (cc, standard) = if is_cpp { ("c++", "-std=c++11") } else { ("cc", "-std=c99") };
    let mut compiler = Command::new(cc);
    compiler.arg(standard).args(STRICT).args(options).arg("-I").arg(c_sources().join("include"));
    compiler.arg("-o").arg(&fresh).arg(source).arg(c_library()).args(SYSTEM);
    match compiler.output() {
        Ok(compiled) => {
            assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => panic!("cannot run {cc}: {error}"),
    }
    fs::rename(&fresh, program).unwrap();
    Some(program.to_owned())
}

/// Whether the C compiler has these options, and what it makes of them runs: sanitizers and other
/// languages are packages of their own on some systems.
pub fn cc_has(options: &[&str]) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let (source, program) = (directory.path().join("empty.c"), directory.path().join("empty"));
    fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(options).arg("-o").arg(&program).arg(&source);
    let compiles = compiler.output().is_ok_and(|compiled| compiled.status.success());
    compiles && Command::new(&program).status().is_ok_and(|status| status.success())
}
