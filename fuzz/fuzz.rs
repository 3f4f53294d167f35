//! What every fuzz target has in common.

use std::sync::Once;

use smi_sweep::error::expecting_panic;

#[path = "targets.rs"]
#[allow(dead_code, reason = "each binary uses one target")]
pub mod targets;

static HOOK: Once = Once::new();

/// Runs a target. Panics that the library contains, and reports as damage, are no findings.
pub fn one(target: fn(&[u8]), bytes: &[u8]) {
    HOOK.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !expecting_panic() {
                usual(panic);
            }
        }));
    });
    target(bytes);
}
