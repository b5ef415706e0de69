//! The library as it is installed: a program in C and one in C++ find it with pkg-config.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use heartwire_testkit::skip;

const C: &str = r#"
#include <heartwire.h>
#include <string.h>
int main(void) {
    return strcmp(hw_version(), VERSION) != 0;
}
"#;

const CPP: &str = r#"
#include <heartwire.hpp>
struct Counter : heartwire::Visitor {
    int closed = 0;
    void on_closed() override { closed++; }
};
int main() {
    static heartwire::Client<> client;
    hw_config config = client.default_config();
    config.protocol = HW_PROTOCOL_V0;
    if (client.poll(0) != HW_STEP_IDLE || client.init(config) != HW_OK) return 1;
    if (client.connected(0) != HW_OK || client.poll(0) != HW_STEP_WRITE) return 2;
    if (client.output().size != 8 || client.written(0, 8) != HW_OK) return 3;
    const uint8_t beat[8] = {0};
    if (client.feed(5, heartwire::Span{beat, 8}).size != 0) return 4;
    Counter counter;
    client.visit(5, counter);
    client.disconnected(6);
    client.visit(6, counter);
    return counter.closed == 1 ? 0 : 5;
}
"#;

/// Runs a program, if it is there.
fn run(command: &mut Command) -> Option<String> {
    match command.output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{command:?}: {said}");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => panic!("{command:?}: {error}"),
    }
}

#[test]
fn programs_find_the_installed_library() {
    for tool in ["make", "pkg-config", "cc", "c++"] {
        if run(Command::new(tool).arg("--version")).is_none() {
            skip(&format!("{tool} is not installed"));
            return;
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = tempfile::tempdir().unwrap();
    let prefix = directory.path().join("prefix");
    // In the profile and the directory of this test, target/PROFILE/deps, so that nothing is built
    // again.
    let test = std::env::current_exe().unwrap();
    let built = test.ancestors().nth(2).unwrap();
    let profile = built.file_name().and_then(|name| name.to_str()).unwrap();
    let profile = if profile == "debug" { "dev" } else { profile };
    run(Command::new("make")
        .current_dir(root)
        .args(["-s", "build", "install"])
        .arg(format!("PROFILE={profile}"))
        .arg(format!("CARGO={}", env!("CARGO")))
        .arg(format!("TARGET_DIR={}", built.parent().unwrap().display()))
        .arg(format!("BUILT={}", built.display()))
        .arg(format!("PREFIX={}", prefix.display())));
    let mut pkg_config = Command::new("pkg-config");
    pkg_config.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
    let flags = run(pkg_config.args(["--cflags", "--libs", "heartwire"])).unwrap();
    let version = format!("-DVERSION=\"{}\"", env!("CARGO_PKG_VERSION"));
    for (compiler, standard, name, source) in
        [("cc", "-std=c99", "program.c", C), ("c++", "-std=c++11", "program.cc", CPP)]
    {
        let (source_path, program) =
            (directory.path().join(name), directory.path().join("program"));
        std::fs::write(&source_path, source).unwrap();
        run(Command::new(compiler)
            .args([standard, "-pedantic", "-Wall", "-Wextra", "-Werror", &version, "-o"])
            .arg(&program)
            .arg(&source_path)
            .args(flags.split_whitespace()))
        .unwrap();
        run(Command::new(&program).env("LD_LIBRARY_PATH", prefix.join("lib"))).unwrap();
    }
}
