//! Links the binary at a fixed address where that is how Linux starts a program soonest: without it the loader
//! rewrites some 10,000 pointers and copies the pages they stand on before the first line runs (half of the time from
//! exec to the first accepted connection, and 0.27 MB of the file). The price is that the binary's own addresses
//! are not randomized; those of its libraries, heap and stacks are.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    #[expect(clippy::disallowed_methods, reason = "the environment is what a build script is told by")]
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo:rustc-link-arg-bins=-no-pie");
    }
}
