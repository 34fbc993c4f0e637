use std::time::Duration;

use tempfile::TempDir;

use super::*;

/// A workspace with a program that was built from two files, of which one belongs to a package.
struct World {
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        for file in ["Cargo.lock", "Cargo.toml", "bin/a/Cargo.toml", "bin/a/src/main.rs", "a b.txt"]
        {
            world.write(file, "", 0);
        }
        world.write("target/debug/prog", "", 10);
        world.list(&["bin/a/src/main.rs", "a b.txt"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file whose modification time is so many seconds after some moment.
    fn write(&self, name: &str, text: &str, second: u64) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::File::open(path).unwrap().set_modified(at(second)).unwrap();
    }

    fn list(&self, files: &[&str]) {
        let full = |file: &&str| self.path(file).display().to_string().replace(' ', "\\ ");
        let files: Vec<_> = files.iter().map(full).collect();
        self.write("target/debug/prog.d", &format!("prog: {}\n", files.join(" ")), 10);
    }

    fn artifact(&self) -> Artifact {
        Artifact::new(&self.path("target/debug"), "prog")
    }

    fn stale(&self) -> Option<String> {
        self.artifact().stale(self.dir.path())
    }
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + second)
}

#[test]
fn a_program_is_stale_when_anything_it_is_built_from_is_newer() {
    for file in ["Cargo.lock", "Cargo.toml", "bin/a/Cargo.toml", "bin/a/src/main.rs", "a b.txt"] {
        let world = World::new();
        assert_eq!(world.stale(), None);
        world.write(file, "", 10);
        assert_eq!(world.stale(), None, "{file} is as old as the program");
        world.write(file, "", 11);
        assert_eq!(world.stale(), Some(format!("{} is newer", world.path(file).display())));
    }
}

#[test]
fn a_program_is_stale_when_it_or_its_list_of_sources_does_not_exist() {
    for (file, reason) in [
        ("target/debug/prog", "it does not exist"),
        ("target/debug/prog.d", "the list of its sources does not exist"),
    ] {
        let world = World::new();
        std::fs::remove_file(world.path(file)).unwrap();
        assert_eq!(world.stale().as_deref(), Some(reason));
    }
}

#[test]
fn a_build_that_left_the_program_alone_is_remembered_until_the_next_change() {
    let world = World::new();
    world.write("Cargo.lock", "", 20);
    assert!(world.stale().is_some());
    world.artifact().checked(world.dir.path(), at(21)).unwrap();
    assert_eq!(world.stale(), None);
    world.write("Cargo.lock", "", 22);
    assert!(world.stale().is_some(), "what changes during the build is built again");
}

#[test]
fn a_source_that_is_gone_asks_for_one_build_and_no_more() {
    let world = World::new();
    std::fs::remove_file(world.path("a b.txt")).unwrap();
    let reason = world.stale().unwrap();
    assert!(reason.ends_with("a b.txt does not exist"), "{reason}");
    world.artifact().checked(world.dir.path(), at(20)).unwrap();
    assert_eq!(world.stale(), None);
    std::fs::remove_file(world.path("bin/a/src/main.rs")).unwrap();
    assert!(world.stale().is_some());
}

#[test]
fn the_build_goes_where_the_test_was_built() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("out");
    std::fs::create_dir_all(&target).unwrap();
    let of = |exe: &str| BuildDir::of(&target.join(exe));
    assert_eq!(of("debug/deps/it-1"), None, "not cargo's");
    std::fs::write(target.join(CARGO_CACHE), "{}").unwrap();
    assert_eq!(of("debug/it"), None, "no test");
    for (exe, programs, expected) in [
        ("debug/deps/it-1", "debug", &[][..]),
        ("release/deps/it-1", "release", &["--release"]),
        ("x-y-z/quick/deps/it-1", "x-y-z/quick", &["--profile", "quick", "--target", "x-y-z"]),
    ] {
        let build = of(exe).unwrap();
        assert_eq!(build.programs(), target.join(programs));
        let arguments = build.arguments("prog");
        let target_dir = target.display().to_string();
        let all = ["build", "--workspace", "--bin", "prog"].iter().chain(expected);
        let all: Vec<_> = all.copied().chain(["--target-dir", &target_dir]).collect();
        assert_eq!(arguments, all);
    }
}

#[test]
fn a_build_that_fails_shows_what_cargo_said() {
    let world = World::new();
    std::fs::remove_file(world.path("target/debug/prog")).unwrap();
    std::fs::write(world.path("target/.rustc_info.json"), "{}").unwrap();
    let build = BuildDir::of(&world.path("target/debug/deps/it-1")).unwrap();
    let error = build.up_to_date(world.dir.path(), "prog").unwrap_err().to_string();
    assert!(error.starts_with("prog (it does not exist) cannot be built:\n"), "{error}");
    assert!(error.contains("Cargo.toml"), "{error}");
}
