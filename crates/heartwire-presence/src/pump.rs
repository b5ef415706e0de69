//! Tells what is due, and looks each second at what this node can know of itself.

use core::time::Duration;
use std::sync::Arc;

use tokio::time;

use crate::hooks::Hooks;
use crate::interfaces::Interfaces;
use crate::shared::Shared;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Moves what is due from the gate to the sink, until this future is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut interfaces = Interfaces::new();
    let mut told_of_hooks = false;
    let mut look_at = shared.clock.now().saturating_add(LOOK_EVERY);
    loop {
        let mut events = Vec::new();
        let deadline = shared.pump(Some(&mut events));
        events.into_iter().for_each(|event| shared.tell(event));
        let until = deadline.unwrap_or(look_at).min(look_at);
        let wait = shared.clock.until(until);
        tokio::select! {
            () = shared.gate_changed.notified() => {}
            () = time::sleep(wait) => {}
        }
        if shared.clock.now() >= look_at {
            look_at = shared.clock.now().saturating_add(LOOK_EVERY);
            look(&shared, &mut interfaces);
            if !told_of_hooks && shared.sink().hooks.as_ref().is_some_and(Hooks::has_ended) {
                told_of_hooks = true;
                shared.fail("hooks", "its task has ended");
            }
        }
    }
}

fn look(shared: &Shared, interfaces: &mut Interfaces) {
    let arrivals = shared.server.get().map(|server| server.histograms().gap.count());
    let down = interfaces.went_down();
    shared.change(|gate, now| {
        for name in &down {
            gate.outgoing.interface_down(now, name);
        }
        if let Some(arrivals) = arrivals {
            gate.outgoing.arrivals(now, arrivals);
        }
    });
}
