//! What a panic does where there is no system: it stops in a trap, which a debugger shows and a
//! watchdog ends. Nothing here panics that is known of; with optimisation nothing of it is linked.
#![expect(unsafe_code, reason = "a trap is an instruction")]

use core::panic::PanicInfo;

#[panic_handler]
fn stop(_: &PanicInfo<'_>) -> ! {
    loop {
        // SAFETY: it does nothing but end the program, or stop it in a debugger.
        #[cfg(target_arch = "arm")]
        unsafe {
            core::arch::asm!("udf #0")
        };
        // SAFETY: the same.
        #[cfg(any(target_arch = "riscv32", target_arch = "riscv64"))]
        unsafe {
            core::arch::asm!("unimp")
        };
        core::hint::spin_loop();
    }
}
