//! The binary: an allocator, a crypto provider, and the commands of [`tidegate::cli`].

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    tidegate::cli::run().into()
}
