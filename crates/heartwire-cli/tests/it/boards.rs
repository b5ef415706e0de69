//! The examples of the C library for devices without this system: on lwIP, and on FreeRTOS.

use std::path::{Path, PathBuf};
use std::process::Command;

use heartwire_testkit::{Lines, SANITIZERS, c_sources, cc_has, compile_c, skip, wait_until};

mod freertos;
#[cfg(target_os = "linux")]
mod lwip;

/// Compiles an example together with what it needs here, for AddressSanitizer and
/// UndefinedBehaviorSanitizer where the compiler has them. `None`, having said so, where there is
/// no compiler.
#[track_caller]
fn compile(example: &str, sources: &[&str], options: &[&str], program: &Path) -> Option<PathBuf> {
    let path = |source: &&str| c_sources().join(source).to_str().unwrap().to_owned();
    let sources: Vec<String> = sources.iter().map(path).collect();
    let include = format!("-I{}", c_sources().join("examples").display());
    let mut all = vec![include.as_str()];
    all.extend(sources.iter().map(String::as_str).chain(options.iter().copied()));
    if cc_has(&SANITIZERS) {
        all.extend(SANITIZERS);
    }
    let compiled = compile_c(&c_sources().join(example), &all, program);
    if compiled.is_none() {
        skip("cc is not installed");
    }
    compiled
}

#[test]
fn c_examples_compile_for_a_cortex_m() {
    const TARGET: [&str; 9] = [
        "-mcpu=cortex-m4",
        "-mthumb",
        "-Os",
        "-std=c99",
        "-pedantic",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-fsyntax-only",
    ];
    if !Path::new("/usr/include/lwip/lwip/tcp.h").exists() {
        return skip("lwIP is not installed (Debian: liblwip-dev)");
    }
    let compile = |example: &str, options: &[&str]| {
        let mut compiler = Command::new("arm-none-eabi-gcc");
        compiler.args(TARGET).args(["-Iinclude", "-Iexamples", "-Itests/freertos/posix"]);
        compiler.args(["-isystem", "tests/lwip/arm", "-isystem", "/usr/include/lwip"]);
        compiler.args(options).arg(example).current_dir(c_sources()).output()
    };
    match compile("tests/freertos/posix/FreeRTOS.h", &["-include", "stdio.h"]) {
        Ok(compiled) if compiled.status.success() => {}
        _ => return skip("arm-none-eabi-gcc is not installed, or has no C library (newlib)"),
    }
    for (example, options) in [
        ("examples/lwip.c", &[][..]),
        ("examples/freertos.c", &[]),
        ("examples/net_posix.c", &["-DNET_LWIP", "-DNO_SYS=0"]),
    ] {
        let compiled = compile(example, options).unwrap();
        assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    }
}

/// The figures of a verdict that a program printed.
#[derive(Debug)]
struct Dead {
    silence: u32,
    earliest: u32,
    latest: u32,
    paused: u32,
}

impl Dead {
    /// Of the verdict with this number, from 0 on.
    #[track_caller]
    fn nth(printed: &Lines, number: usize) -> Self {
        let lines = printed.so_far();
        let line = lines.iter().filter(|line| line.text.starts_with("dead")).nth(number).unwrap();
        let figure = |name: &str| -> u32 {
            let (_, rest) = line.text.split_once(name).unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        Self {
            silence: figure("silence_ms="),
            earliest: figure("earliest_ms="),
            latest: figure("latest_ms="),
            paused: figure("paused_ms="),
        }
    }

    /// Checks that it came neither early nor late.
    #[track_caller]
    fn expect_bound(&self) {
        let silence = self.silence - self.paused;
        assert!((self.earliest..=self.latest).contains(&silence), "{self:?}");
    }
}

/// Waits until there are that many lines which begin so.
#[track_caller]
fn expect_count(printed: &Lines, start: &str, count: usize) {
    let has = || printed.so_far().iter().filter(|line| line.text.starts_with(start)).count();
    wait_until(&format!("{count} times {start}"), || has() >= count);
    assert_eq!(has(), count, "{:?}", printed.so_far());
}
