//! Every seed of the fuzzers, every cut of it, and every byte of it changed.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

#[path = "support/targets.rs"]
mod targets;

fn replay(name: &str, target: fn(&[u8])) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let seed = std::fs::read(entry.unwrap().path()).unwrap();
        target(&seed);
        (0..seed.len()).for_each(|length| target(&seed[..length]));
        for at in 0..seed.len() {
            for value in [0, 1, 2, 3, 4, 5, 9, 64, 73, 127, 128, 255] {
                let mut changed = seed.clone();
                changed[at] = value;
                target(&changed);
            }
        }
        count += 1;
    }
    assert!(count >= 3, "few seeds in {}", folder.display());
}

#[test]
fn seeds_of_messages_are_survived() {
    replay("sidecar_message", targets::sidecar_message);
}

#[test]
fn seeds_of_replies_are_survived() {
    replay("sidecar_reply", targets::sidecar_reply);
}
