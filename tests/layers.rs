//! The layer table of `src/lib.rs`, executed: a module imports only modules of lower layers.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Reads the table: lines `//! N  a b c` between the fence that follows "Layers".
fn layers() -> HashMap<String, usize> {
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs can be read");
    let table = text.split("//! ```layers\n").nth(1).expect("lib.rs has a layer table");
    let lines = table.lines().take_while(|line| !line.contains("```"));
    let mut layers = HashMap::new();
    for (nth, line) in lines.enumerate() {
        for module in line.trim_start_matches("//!").split_whitespace() {
            assert!(layers.insert(module.to_owned(), nth).is_none(), "{module} stands twice in the layer table");
        }
    }
    layers
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("a source folder's entry can be read").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The top-level module that a file belongs to.
fn module_of(file: &Path) -> String {
    let inside = file.strip_prefix(root().join("src")).expect("it is a source file");
    let first = inside.components().next().expect("it has a name").as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// Top-level modules named as `crate::<module>` in code, comments left out.
fn imports(text: &str) -> Vec<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    code.split("crate::")
        .skip(1)
        .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
        .filter(|name: &String| !name.is_empty())
        .collect()
}

#[test]
fn a_module_imports_only_lower_layers() {
    let layers = layers();
    let mut files = Vec::new();
    rust_files(&root().join("src"), &mut files);
    let mut wrong = Vec::new();
    let mut checked = 0;
    for file in &files {
        let module = module_of(file);
        if module == "main" || module == "lib" {
            continue;
        }
        let layer =
            *layers.get(&module).unwrap_or_else(|| panic!("`{module}` is missing in the layer table of lib.rs"));
        for import in imports(&fs::read_to_string(file).expect("a source file can be read")) {
            let Some(&imported) = layers.get(&import) else { continue };
            checked += 1;
            if import != module && imported >= layer {
                wrong.push(format!("{}: {module} imports {import}", file.display()));
            }
        }
    }
    assert!(checked > 50, "only {checked} imports were found: is the test looking at the right thing?");
    assert!(wrong.is_empty(), "against the layer table of lib.rs:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_table_exists() {
    for module in layers().keys() {
        let folder = root().join("src").join(module).join("mod.rs");
        let file = root().join("src").join(format!("{module}.rs"));
        assert!(folder.exists() || file.exists(), "`{module}` stands in the layer table and nowhere else");
    }
}
