//! `sqlx::migrate!` reads the migrations while compiling, which Cargo cannot see.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
